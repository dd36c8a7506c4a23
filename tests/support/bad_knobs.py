"""Values of knobs that no training or pair stage can take: each as ``--set`` takes it."""

from __future__ import annotations

BAD_KNOBS = (
    *("beta=0", "beta=-1", "beta=1e8", "beta=nan", "beta=abc"),
    *("learning_rate=0", "learning_rate=10", "learning_rate=-1e-6", "learning_rate=inf"),
    *("epochs=0", "epochs=-2", "epochs=1e9", "repeats=0", "batch_size=0", "batch_size=100000"),
    *("batch_size=2.5", "accumulation=0", "accumulation=-4", "warmup_ratio=-1", "warmup_ratio=5"),
    *("warmup_steps=-1", "max_steps=0", "scheduler=cosin", "optimizer=adam", "weight_decay=-5"),
    *("max_grad_norm=-1", "tune=half", "parts=tower", "quantize=8bit", "lora_rank=0"),
    *(
        "lora_alpha=0.5",
        "lora_dropout=2",
        "lora_targets=[(",
        "max_length=-5",
        "cut=maybe",
    ),
    *(
        "feature_cache=-1",
        "loss=dppo",
        "loss_weights=1,2",
        "holdout=0.9",
        "eval_steps=10",
    ),
    *("patience=2", "save_steps=-5", "save_limit=0", "report_to=nonsense", "noise_step=1000"),
    *("lora_targets=", "loss=robust:smoothing=0.1", "loss=sima_released+sft"),
    *("max_new_tokens=0", "corruption=nois", "load_in_4bit=true", "gradient_checkpointing=perhaps"),
)
