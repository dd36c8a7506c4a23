"""What TRL, ``transformers`` and PEFT call an option or a loss that has another name here, or none.

Only messages use this: none of these names is accepted, since some say something slightly else.
``{value}`` stands for the value that was asked for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from harness.errors import plain

_ONE_SUM = "Losses are summed in loss itself, as in loss=dpo+{value}*sft"
_SMOOTHED = (
    "It is set in the loss, as in loss=cdpo:label_smoothing={value}; aot, aot_unpaired, cdpo, "
    "exo_pair, robust and simpo have it"
)
_DIVERGENCE = "There is none: the losses are those of TRL's default, reverse_kl"
_MOVING = (
    "There is none: the reference model stays as it is while a round trains. With --rounds N it "
    "is the model of the previous round"
)
_PRECISION = "The precision is an option of the command: --dtype bfloat16 or float32"
_MEASURED = "Held-out pairs are measured every eval_steps steps; it needs holdout, as holdout=0.05"
_MODEL = "The model is an option of the command: --model DIR"
_PAIRS = "Pairs are an option of the command: --method given --pairs FILE"
_CUT = "max_length limits prompt and answer together, and cut says what becomes of longer ones"
_FOUR = "quantize=4bit holds the language model in 4 bits"
_RATE = "There is none: everything that is trained has learning_rate"

OPTIONS: Mapping[str, str] = {
    # TRL's preference losses
    "loss_type": "It is loss here",
    "rpo_alpha": _ONE_SUM,
    "cpo_alpha": _ONE_SUM,
    "sft_weight": _ONE_SUM,
    "label_smoothing": _SMOOTHED,
    "label_smoothing_factor": _SMOOTHED,
    "simpo_gamma": "It is set in the loss: loss=simpo:gamma={value}",
    "ld_alpha": "It is set in the loss: loss=ld_dpo:alpha={value}",
    "discopop_tau": "It is set in the loss: loss=discopop:tau={value}",
    "desirable_weight": "It is set in the loss: loss=kto:desirable={value}",
    "undesirable_weight": "It is set in the loss: loss=kto:undesirable={value}",
    "reference_free": "Losses without a reference are simpo, orpo and sft, as in loss=simpo",
    "f_divergence_type": _DIVERGENCE,
    "f_alpha_divergence_coef": _DIVERGENCE,
    "use_weighting": "There is no weighting of pairs by their likelihood (WPO)",
    "router_aux_loss_coef": "There is no loss that balances the experts of a model",
    "precompute_ref_log_probs": "It is precompute_reference here",
    "precompute_ref_batch_size": "batch_size holds for it too",
    "sync_ref_model": _MOVING,
    "ref_model_mixup_alpha": _MOVING,
    "ref_model_sync_steps": _MOVING,
    "ref_model": "The reference is the model before training: --model DIR",
    "disable_dropout": "Dropout is off, unless lora_dropout is above zero",
    # lengths
    "max_prompt_length": _CUT,
    "max_completion_length": _CUT,
    "truncation_mode": _CUT,
    "model_max_length": _CUT,
    "padding_free": "It is packed here, which the model's family decides where it is left out",
    "use_logits_to_keep": "Logits are computed of the answers alone; there is nothing to set",
    # steps and optimiser
    "num_train_epochs": "It is epochs here: epochs={value}",
    "per_device_train_batch_size": "It is batch_size here: batch_size={value}. A step has "
    "batch_size x accumulation pairs, however many processes share them",
    "train_batch_size": "It is batch_size here: batch_size={value}",
    "per_device_eval_batch_size": "batch_size holds for held-out pairs too",
    "gradient_accumulation_steps": "It is accumulation here: accumulation={value}",
    "lr": "It is learning_rate here: learning_rate={value}",
    "lr_scheduler_type": "It is scheduler here: scheduler={value}",
    "optim": "It is optimizer here, adamw_torch, adafactor or sgd",
    "gradient_clipping": "It is max_grad_norm here: max_grad_norm={value}",
    "adam_beta1": "There is none: the optimiser's own default holds",
    "adam_beta2": "There is none: the optimiser's own default holds",
    "adam_epsilon": "There is none: the optimiser's own default holds",
    "mm_projector_lr": _RATE,
    "vision_lr": _RATE,
    "seed": "It is an option of the command: --seed {value}",
    "data_seed": "It is an option of the command: --seed {value}",
    # adapters and what is trained
    "r": "It is lora_rank here: lora_rank={value}",
    "lora_r": "It is lora_rank here: lora_rank={value}",
    "target_modules": "It is lora_targets here, as in lora_targets=q_proj,v_proj",
    "lora_target_modules": "It is lora_targets here, as in lora_targets=q_proj,v_proj",
    "modules_to_save": "train_projector=true trains the projector's own weights beside the adapter",
    "use_peft": "tune=lora trains an adapter and tune=full the weights themselves",
    "lora_enable": "tune=lora trains an adapter and tune=full the weights themselves",
    "freeze_backbone": "parts says what is trained, as in parts=projector",
    "freeze_vision_tower": "parts says what is trained, of language, projector and vision",
    "freeze_mm_mlp_adapter": "parts says what is trained, of language, projector and vision",
    "tune_mm_mlp_adapter": "parts says what is trained, as in parts=projector",
    "load_in_4bit": _FOUR,
    "bits": _FOUR,
    # files and measurements
    "save_total_limit": "It is save_limit here: save_limit={value}",
    "save_strategy": "Checkpoints are kept every save_steps steps",
    "evaluation_strategy": _MEASURED,
    "eval_strategy": _MEASURED,
    "do_eval": _MEASURED,
    "load_best_model_at_end": "With eval_steps the best checkpoint seen is what is returned",
    "metric_for_best_model": "With eval_steps the best checkpoint is that of the least loss",
    "early_stopping_patience": "It is patience here: patience={value}",
    "resume_from_checkpoint": "The same command, run again, goes on where it stopped",
    "output_dir": "It is an option of the command: --out DIR",
    "push_to_hub": "It is a command of its own: harness push RUN USER/NAME",
    "model_name_or_path": _MODEL,
    "dataset_name": _PAIRS,
    "data_path": _PAIRS,
    "image_folder": "It is an option of the command: --images DIR",
    # hardware
    "bf16": _PRECISION,
    "fp16": _PRECISION,
    "torch_dtype": _PRECISION,
    "dtype": _PRECISION,
    "use_cpu": "It is an option of the command: --device cpu",
    "deepspeed": "There is none: every process holds the whole model. Several GPUs: --nproc N",
    "fsdp": "There is none: every process holds the whole model. Several GPUs: --nproc N",
    "activation_checkpointing": "It is gradient_checkpointing here: gradient_checkpointing={value}",
    "trust_remote_code": "There is none: code that comes with a checkpoint is never run",
}
"""What to say, where no option has the name."""

_WITHOUT = """
accelerator_config activation_checkpointing_kwargs activation_offloading auto_find_batch_size
average_tokens_across_devices batch_eval_metrics bf16_full_eval dataloader_drop_last
dataloader_in_order dataloader_multiprocessing_context dataloader_num_workers
dataloader_persistent_workers dataloader_pin_memory dataloader_prefetch_factor dataset_num_proc
ddp_backend ddp_broadcast_buffers ddp_bucket_cap_mb ddp_find_unused_parameters ddp_static_graph
ddp_timeout debug disable_tqdm do_predict do_train enable_jit_checkpoint eval_accumulation_steps
eval_delay eval_do_concat_batches eval_on_start eval_use_gather_object fp16_full_eval fsdp_config
full_determinism gradient_checkpointing_kwargs greater_is_better hub_always_push hub_model_id
hub_private_repo hub_revision hub_strategy hub_token ignore_data_skip include_for_metrics
include_num_input_tokens_seen label_names length_column_name liger_kernel_config local_rank
log_level log_level_replica log_on_each_node logging_first_step logging_nan_inf_filter
logging_steps logging_strategy lr_scheduler_kwargs model_init_kwargs neftune_noise_alpha
optim_args optim_target_modules pad_to_multiple_of pad_token parallelism_config
prediction_loss_only project remove_unused_columns restore_callback_states_from_checkpoint
run_name save_on_each_node save_only_model skip_memory_metrics tf32 torch_compile
torch_compile_backend torch_compile_mode torch_empty_cache_steps trackio_bucket_id
trackio_space_id trackio_static_space_id train_sampling_strategy use_cache use_liger_kernel
"""
WITHOUT = frozenset(_WITHOUT.split())
"""Other fields of TRL's ``DPOConfig``: there is nothing here that does what they do."""

LOSSES: Mapping[str, str] = {
    "sigmoid": "dpo",
    "sigmoid_norm": "dpo_norm",
    "nca_pair": "nca",
    "slic": "hinge",
    "rpo": "dpo+1*sft",
    "bco": "bco_pair",
    "exo": "exo_pair",
    "sppo": "sppo_hard",
    "kto_pair": "kto",
    "mdpo": "dpo+conditional+anchor",
    "nll": "sft",
}
"""TRL's and papers' names of losses, and what they are here."""


def option_here(name: str, value: str) -> str:
    """Return what an option of TRL, ``transformers`` or PEFT is here; empty for an unknown name."""
    if name == "loss_type":
        return f" It is loss here: loss={_losses_here(value)}."
    if name in OPTIONS:
        return f" {OPTIONS[name].format(value=plain(value))}."
    return " Nothing here does what it does in TRL; leave it out." if name in WITHOUT else ""


def loss_here(name: str) -> str:
    """Return what a loss is here that has another name elsewhere; empty for an unknown name."""
    return f" It is {LOSSES[name]} here." if name in LOSSES else ""


def _losses_here(value: str) -> str:
    """Translate the losses of a text, such as ``['sigmoid', 'sft']``."""
    return "+".join(LOSSES.get(name, name) for name in re.findall(r"\w+", value))
