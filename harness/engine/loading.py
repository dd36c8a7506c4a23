"""Loading of network and processor, and of adapters onto a shared base. Needs torch."""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.engine.checkpoint import sees
from harness.engine.weights import read_json
from harness.errors import UsageError, brief, pip
from harness.protocol import HF

_DTYPES = ("float32", "bfloat16", "float16")
_SMALL = 30_000_000


def gpus() -> tuple[str, ...]:
    """Name each GPU that torch sees, with its memory."""
    import torch

    seen = [torch.cuda.get_device_properties(at) for at in range(torch.cuda.device_count())]
    return tuple(f"{each.name} ({each.total_memory / 1024**3:.0f} GiB)" for each in seen)


def pick_device(device: str) -> str:
    """Return ``"cpu"``, ``"cuda"`` or ``"cuda:N"``; ``"auto"`` takes a GPU where there is one.

    Torch is asked only on machines that show a sign of a GPU, because importing it takes seconds.

    Raises:
        UsageError: if a GPU was asked for and there is none.
    """
    if device == "cpu" or (device == "auto" and not _may_have_gpu()):
        return "cpu"
    import torch

    if device == "auto":
        local = os.environ.get("LOCAL_RANK", "0")
        return f"cuda:{local}" if torch.cuda.is_available() else "cpu"
    named = re.fullmatch(r"cuda(?::([0-9]+))?", device)
    count = torch.cuda.device_count() if named else 0
    if named is None or int(named[1] or 0) >= count:
        raise UsageError(
            f"The device '{device}' cannot be used: torch finds {count} CUDA device(s). Use "
            "auto, cpu, cuda or cuda:N."
        )
    return device


def _may_have_gpu() -> bool:
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1") or sys.platform == "darwin":
        return False
    signs = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd", "/proc/driver/nvidia")
    return sys.platform == "win32" or any(Path(sign).exists() for sign in signs)


def pick_dtype(dtype: str, device: str) -> str:
    """Return the name of the number format; ``"auto"`` is float32 on a CPU and bfloat16 else.

    Raises:
        UsageError: if the name is unknown.
    """
    if dtype == "auto":
        return "float32" if device == "cpu" else "bfloat16"
    if dtype not in _DTYPES:
        raise UsageError(f"The dtype '{dtype}' is unknown. Use auto, {', '.join(_DTYPES)}.")
    return dtype


@dataclass(frozen=True)
class Source:
    """What to load: a checked folder, how to hold it, and how to speak to it."""

    path: Path
    device: str
    dtype: str
    remote_code: bool = False
    protocol: str = HF


@dataclass
class Loaded:
    """A network in memory with its processor; ``adapters`` are known to it by folder.

    One that ``sees`` reads images; else its processor is a tokeniser.
    """

    source: Source
    network: Any
    processor: Any
    adapters: dict[Path, str] = field(default_factory=dict)
    peft: Any = None
    state: tuple[object, ...] = ()
    sees: bool = True

    @property
    def tokenizer(self) -> Any:
        """The text tokeniser inside the processor."""
        return getattr(self.processor, "tokenizer", self.processor)

    @property
    def device(self) -> Any:
        """Where the input tensors go."""
        return self.network.device

    @property
    def dtype(self) -> Any:
        """Number format of the weights."""
        return self.network.dtype

    def is_modified(self) -> bool:
        """Tell whether the network was changed, by a trainer for example, since it was loaded."""
        return self.state != _state_of(self.network)

    @contextmanager
    def with_adapter(self, adapter: Path | None) -> Iterator[None]:
        """Use the base with this adapter, or alone, inside the ``with`` block.

        Raises:
            UsageError: if the adapter does not fit the base.
        """
        if adapter is None:
            if self.peft is None:
                yield
                return
            with self.peft.disable_adapter():
                yield
            return
        if adapter not in self.adapters:
            self._attach(adapter)
        self.peft.set_adapter(self.adapters[adapter])
        self.peft.eval()
        yield

    def _attach(self, adapter: Path) -> None:
        name = f"harness{len(self.adapters)}"
        before = sum(1 for _ in self.network.parameters())
        try:
            stored = self._own_tensors(adapter)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._inject(adapter, name)
        except UsageError:
            raise
        except Exception as error:  # safetensors and PEFT raise many kinds at a damaged adapter
            self.state = ()
            raise _misfit(adapter, self.source.path, str(error)) from error
        added = sum(1 for _ in self.network.parameters()) - before
        self.adapters[adapter] = name
        self.state = _state_of(self.network)
        if added != len(stored):
            del self.adapters[adapter]
            self.state = ()
            reason = f"it has {len(stored)} tensors and the base has a place for {added}"
            raise _misfit(adapter, self.source.path, reason)

    def _own_tensors(self, adapter: Path) -> set[str]:
        """Return the adapter's tensors without the copies of base weights that PEFT saves too.

        It does so for an output layer or embedding that the adapter changes, and loads them into
        the base, which is also the model before: they must be what the base holds already.
        """
        from safetensors import safe_open

        base = {
            name.replace(".base_layer.", "."): parameter
            for name, parameter in self.network.named_parameters(remove_duplicate=False)
        }
        whole = read_json(adapter / "adapter_config.json").get("modules_to_save") or ()
        own = set()
        with safe_open(adapter / "adapter_model.safetensors", framework="pt") as file:
            for key in file.keys():  # noqa: SIM118  (no mapping)
                name = key.removeprefix("base_model.model.").replace(".base_layer.", ".")
                if name not in base or any(f".{part}." in f".{name}" for part in whole):
                    own.add(key)
                    continue
                copy, mine = file.get_tensor(key), base[name].detach().cpu()
                if copy.shape != mine.shape or not bool((copy.to(mine.dtype) == mine).all()):
                    reason = (
                        f"it brings another {name} for the base itself, which would change the "
                        "model before as well; merge the adapter and name the result as the model"
                    )
                    raise _misfit(adapter, self.source.path, reason)
        return own

    def _inject(self, adapter: Path, name: str) -> None:
        from peft import PeftModel

        if self.peft is None:
            self.peft = PeftModel.from_pretrained(self.network, str(adapter), adapter_name=name)
        else:
            self.peft.load_adapter(str(adapter), adapter_name=name)


def _misfit(adapter: Path, base: Path, reason: str) -> UsageError:
    first = brief(reason.strip().partition("\n")[0]) or "unknown reason"
    return UsageError(
        f"The adapter {adapter} does not fit the model {base}: {first}. Name the model that the "
        "adapter was trained on (base_model_name_or_path in its adapter_config.json)."
    )


def _state_of(network: Any) -> tuple[object, ...]:
    parameters = list(network.parameters())
    return (
        len(parameters),
        sum(p._version for p in parameters),
        sum(p.data_ptr() for p in parameters),
        str(network.device),
        "forward" in vars(network),
    )


@dataclass(frozen=True)
class Outline:
    """What a checkpoint's small files say of its network, as the network in memory has it."""

    config: Any
    generation_config: Any


def read_outline(source: Source) -> tuple[Any, Outline]:
    """Read processor and configurations of a checked folder, and no weights.

    Raises:
        UsageError: if this transformers version cannot open it.
    """
    import transformers

    hub: Any = transformers
    _, _, wanted = _kinds(source)
    known = {"trust_remote_code": source.remote_code, "local_files_only": True}
    processor = _processor(source)
    try:
        with quietly():
            config = hub.AutoConfig.from_pretrained(str(source.path), **known)
            try:
                generation = hub.GenerationConfig.from_pretrained(
                    str(source.path), local_files_only=True
                )
            except OSError:  # there is none
                generation = hub.GenerationConfig.from_model_config(config)
    except Exception as error:
        raise _unopened(source, wanted, error) from error
    return processor, Outline(config, generation)


def load(source: Source, processor: Any = None) -> Loaded:
    """Load network and processor of a checked folder; a text model's processor is its tokeniser.

    Args:
        source: the folder.
        processor: if it was read before.

    Raises:
        UsageError: as :func:`read_network`.
    """
    import torch

    if processor is None:
        processor = _processor(source)
    network = read_network(source)
    network = network.to(source.device).eval()
    if source.device != "cpu":
        _tell_cudnn(source.dtype)
    if source.device == "cpu" and sum(p.numel() for p in network.parameters()) < _SMALL:
        # Its operations are too short to share: threads would mostly wait for each other.
        torch.set_num_threads(1)
    loaded = Loaded(source, network, processor, sees=sees(source.path))
    loaded.state = _state_of(network)
    return loaded


def _tell_cudnn(dtype: str) -> None:
    """Set for this process what cuDNN decides otherwise than the engine and training need.

    Its attention, torch's first choice on Hopper, builds a plan for every new length, and here
    every prompt, answer and training row has its own. Its float32 convolutions round products to
    10 bits unless told not to: answers in other batches then differ by 0.006 instead of 0.00001
    nats. See docs/performance.md, "On a GPU".
    """
    import torch

    torch.backends.cuda.enable_cudnn_sdp(False)
    if dtype == "float32":
        torch.backends.cudnn.allow_tf32 = False


def _kinds(source: Source) -> tuple[Any, Any, str]:
    """Return what reads the processor and the network of a folder, and both in words."""
    import transformers

    hub: Any = transformers
    if sees(source.path):
        wanted = "a vision-language model with its processor files"
        return hub.AutoProcessor, hub.AutoModelForImageTextToText, wanted
    wanted = "a causal text model with its tokeniser files"
    return hub.AutoTokenizer, hub.AutoModelForCausalLM, wanted


def _processor(source: Source) -> Any:
    reader, _, wanted = _kinds(source)
    try:
        with quietly():
            return reader.from_pretrained(
                str(source.path), trust_remote_code=source.remote_code, local_files_only=True
            )
    except Exception as error:  # tokenizers raises plain ones at a damaged tokenizer.json
        raise _unopened(source, wanted, error) from error


def read_network(source: Source) -> Any:
    """Return the network of a checked folder on the CPU, with all of its weights and no others.

    The dtype may be ``"auto"``, that of the files.

    Raises:
        UsageError: if this transformers version cannot open it, if the network has weights that the
            files lack, or the files hold some that it has no place for.
    """
    _, kind, wanted = _kinds(source)
    try:
        with quietly():
            network, told = kind.from_pretrained(
                str(source.path),
                dtype=source.dtype,
                use_safetensors=True,
                output_loading_info=True,
                trust_remote_code=source.remote_code,
                local_files_only=True,
            )
    except Exception as error:
        raise _unopened(source, wanted, error) from error
    _check_fit(source.path, told)
    return network


def _check_fit(folder: Path, told: Mapping[str, Any]) -> None:
    """Refuse what ``from_pretrained`` passes over: weights missing, of other shapes, or unused.

    What the architecture leaves out on purpose, and constants of older versions, do not count.
    """
    if lost := sorted(map(str, [*told["missing_keys"], *told["mismatched_keys"]])):
        raise UsageError(
            f"The model folder {folder} has no fitting weights for {len(lost)} parts of the "
            f"network, such as {lost[0]}; they would be random. Download or save the checkpoint "
            "again."
        )
    if spare := sorted(told["unexpected_keys"]):
        raise UsageError(
            f"The model folder {folder} holds {len(spare)} weights that its config.json has no "
            f"place for, such as {', '.join(spare[:3])}; without them it would be another network. "
            "Take the config.json that was saved with these weights (it may have more layers), or "
            "save the checkpoint without them."
        )


def _unopened(source: Source, wanted: str, error: Exception) -> UsageError:
    """Say why a folder cannot be opened; for the usual reasons, what to do."""
    folder, reason = source.path, brief(str(error)) or type(error).__name__
    if "trust_remote_code" in str(error):
        return UsageError(
            f"The model folder {folder} brings Python code of its own (auto_map in its "
            "configuration), which is not run. Take a checkpoint that transformers opens without "
            "such code: on the hub its name often ends in -hf."
        )
    if sees(folder) and not any(folder.glob("*processor_config.json")):
        return UsageError(
            f"The model folder {folder} has neither processor_config.json nor "
            "preprocessor_config.json; a trainer's checkpoint-N often lacks them. Copy the "
            "processor files of the model that was trained into it."
        )
    return UsageError(
        f"The model folder {folder} cannot be opened: {reason.rstrip('.')}. Check that it holds "
        f"{wanted}, and that this transformers version knows it ({pip('install')} -U transformers)."
    )


@contextmanager
def quietly() -> Iterator[None]:
    """Keep transformers' bars and advice off stderr; what matters is raised as an error."""
    import transformers

    logging: Any = transformers.utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
