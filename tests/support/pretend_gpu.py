"""A pretend GPU: on any machine, tensors that say ``gpu:0`` and refuse what a GPU refuses.

``with pretend() as seen: network.to(GPU)``. The numbers are computed by the CPU, so results can be
compared with plain ones; what is tried is the code's care for devices:

- an operation on tensors of both devices fails, as on CUDA; numbers without dimensions and CPU
  indices are allowed, as on CUDA;
- what makes the host wait for a GPU's result is counted in ``seen.reads``: reading a number,
  copying to the CPU, and operations whose result has a size that only the GPU knows;
- copies to the GPU are counted in ``seen.uploads``.

It is no GPU: it has no memory limit, no kernels of its own and no speed. It rests on torch's
support for backends written in Python (2.10 and later). Importing this registers it for the whole
process, which must not have run a backward pass yet: import it in a process of its own.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "gpu"
GPU = "gpu:0"
LETS_MIX = (
    "aten::copy_", "aten::_to_copy", "aten::index", "aten::index_put", "aten::index_put_",
    "aten::_index_put_impl_", "aten::_unsafe_index", "aten::_unsafe_index_put",
)  # fmt: skip
SIZED_BY_CONTENT = (
    "aten::nonzero", "aten::masked_select", "aten::_unique2", "aten::unique_consecutive",
    "aten::unique_dim", "aten::bincount", "aten::equal",
)  # fmt: skip


@dataclass
class Seen:
    """What happened on the pretend GPU; see the module."""

    operations: int = 0
    reads: Counter[str] = field(default_factory=Counter)
    uploads: int = 0

    def clear(self) -> None:
        """Count from zero."""
        self.operations = self.uploads = 0
        self.reads.clear()

    @property
    def waits(self) -> int:
        """How often the host waited for a result."""
        return sum(self.reads.values())


SEEN = Seen()


class Far(torch.Tensor):
    """A tensor of the pretend GPU; ``held`` is where its numbers are."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> Far:
        made: Far = torch.Tensor._make_wrapper_subclass(
            cls, held.size(), strides=held.stride(), storage_offset=held.storage_offset(),
            dtype=held.dtype, layout=held.layout, requires_grad=held.requires_grad, device=GPU,
        )  # fmt: skip
        made.held = held
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl

    def __repr__(self) -> str:
        return f"Far({self.held})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return compute(func, args, kwargs or {})


def is_far(device: Any) -> bool:
    """Whether this names the pretend GPU."""
    return device is not None and torch.device(device).type == NAME


def compute(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Do one operation on the CPU, if a GPU would."""
    SEEN.operations += 1
    name = func._schema.name
    tensors = [one for one in tree_leaves((args, kwargs)) if isinstance(one, torch.Tensor)]
    far = [one for one in tensors if isinstance(one, Far)]
    near = [one for one in tensors if not isinstance(one, Far) and one.dim() > 0]
    if far and near and name not in LETS_MIX:
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but {name} found "
            f"{[(str(one.device), tuple(one.shape)) for one in tensors]}"
        )
    wanted = kwargs.get("device")
    goes = is_far(wanted) if wanted is not None else bool(far)
    if name == "aten::copy_":
        goes = isinstance(args[0], Far)
    _count(name, args, goes, bool(far))
    plain = tree_map(lambda one: one.held if isinstance(one, Far) else one, (args, kwargs))
    given: dict[str, Any] = plain[1]
    if wanted is not None:
        given["device"] = torch.device("cpu")
    if given.get("pin_memory"):
        given["pin_memory"] = False
    if name == "aten::_scaled_dot_product_efficient_attention":
        out = _attention(*plain[0], **given)
    else:
        out = func(*plain[0], **given)
    if name == "aten::_to_copy" and out.numel() and out.data_ptr() == plain[0][0].data_ptr():
        out = out.clone()
    written = _written(func, args)
    if written is not None and isinstance(out, torch.Tensor):
        return written
    return tree_map(_wrap, out) if goes else out


def _wrap(value: Any) -> Any:
    return Far(value) if isinstance(value, torch.Tensor) and not isinstance(value, Far) else value


def _written(func: Any, args: Any) -> Any:
    """Return the argument that an operation works in and returns, if it is of that kind."""
    if not func._schema.is_mutable or len(func._schema.returns) != 1:
        return None
    for value, known in zip(args, func._schema.arguments, strict=False):
        if known.alias_info is not None and known.alias_info.is_write:
            return value if isinstance(value, torch.Tensor) else None
    return None


def _count(name: str, args: Any, goes: bool, came: bool) -> None:
    if name in ("aten::_to_copy", "aten::copy_"):
        source = args[1] if name == "aten::copy_" else args[0]
        if isinstance(source, Far) and not goes:
            SEEN.reads["to the CPU"] += 1
        elif not isinstance(source, Far) and goes:
            SEEN.uploads += 1
    elif came and (name == "aten::_local_scalar_dense" or name in SIZED_BY_CONTENT):
        SEEN.reads[name] += 1
    elif came and name in LETS_MIX:
        picks = [one for one in tree_leaves(args[1]) if isinstance(one, torch.Tensor)]
        if any(one.dtype in (torch.bool, torch.uint8) for one in picks):
            SEEN.reads["a mask as index"] += 1
    elif came and name == "aten::repeat_interleave":
        SEEN.reads[name] += 1


def _attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    bias: torch.Tensor | None,
    compute_log_sumexp: bool,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float,
) -> tuple[torch.Tensor, ...]:
    """What CUDA's memory-efficient kernel computes, with its demands on the mask's shape."""
    assert compute_log_sumexp
    assert not dropout_p
    assert not is_causal
    scores = query.float() @ key.float().transpose(2, 3) * scale
    if bias is not None:
        if bias.shape != scores.shape or bias.dtype != query.dtype or bias.stride(-1) != 1:
            raise RuntimeError("attn_bias does not fit")
        unit = 16 // bias.element_size()
        if any(step % unit for step in bias.stride()[:-1]):
            raise RuntimeError("attn_bias is not correctly aligned")
        scores = scores + bias.float()
    weight = scores.logsumexp(-1)
    found = ((scores - weight[..., None]).exp() @ value.float()).to(query.dtype)
    # The kernel lays its result out as (batch, tokens, heads, width) and pads the weights.
    found = found.transpose(1, 2).contiguous().transpose(1, 2)
    spare = -weight.shape[-1] % 32
    weight = torch.nn.functional.pad(weight, (0, spare), value=torch.inf)
    nothing = torch.zeros((), dtype=torch.long)
    return found, weight, nothing, nothing


class _Operations(TorchDispatchMode):
    """Sees the operations that have no tensor of the GPU among their arguments yet."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        known = dict(kwargs or {})
        for place, about in enumerate(func._schema.arguments[: len(args)]):
            if about.name == "device":  # given by position: name it and what follows
                rest = zip(args[place:], func._schema.arguments[place:], strict=False)
                known |= {one.name: given for given, one in rest}
                args = args[:place]
                break
        here = [one for one in tree_leaves((args, known)) if isinstance(one, Far)]
        if not here and not is_far(known.get("device")):
            return func(*args, **known)
        if torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd"):
            with self:
                out = func.decompose(*args, **known)
            if out is not NotImplemented:
                return out
        return compute(func, args, known)


class _Calls(TorchFunctionMode):
    """Sees the calls that reach into a tensor's memory without an operation."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        known = dict(kwargs or {})
        first = args[0] if args else None
        if func in (torch.tensor, torch.as_tensor, torch.asarray) and is_far(known.get("device")):
            device = known.pop("device")
            read = tree_map(lambda one: one.item() if isinstance(one, Far) else one, args)
            return func(*read, **known).to(device)
        if not isinstance(first, torch.Tensor) or first.device.type != NAME:
            return func(*args, **known)
        if func is torch.Tensor.tolist:
            return first.cpu().tolist()
        if func is torch.Tensor.numpy:
            raise TypeError("can't convert a tensor on gpu:0 to numpy; copy it to the CPU first")
        if func is torch.Tensor.data_ptr:
            return first.held.data_ptr()
        if func in (torch.Tensor.storage, torch.Tensor.untyped_storage):  # asked who shares one
            return func(first.held)
        if func is torch.Tensor.new_tensor:
            return torch.tensor(
                *args[1:], **{"device": first.device, "dtype": first.dtype, **known}
            )
        if func in (torch.Tensor.__getitem__, torch.Tensor.__setitem__):
            args = (first, _listed(args[1], first.device), *args[2:])
        return func(*args, **known)


def _listed(index: Any, device: torch.device) -> Any:
    """Turn lists within an index into tensors on the device, as torch does inside."""
    if isinstance(index, tuple):
        return tuple(_listed(one, device) for one in index)
    return torch.tensor(index).to(device) if isinstance(index, list) else index


class _Backend:
    """What torch asks a backend's module for."""

    def is_available(self) -> bool:
        return True

    def is_initialized(self) -> bool:
        return True

    def _is_in_bad_fork(self) -> bool:
        return False

    def device_count(self) -> int:
        return 1

    def current_device(self) -> int:
        return 0

    def set_device(self, device: Any) -> None:
        pass

    def get_rng_state(self, device: Any = 0) -> torch.Tensor:
        return torch.zeros(16, dtype=torch.uint8)

    def set_rng_state(self, state: Any, device: Any = 0) -> None:
        pass

    def manual_seed_all(self, seed: int) -> None:
        pass

    def manual_seed(self, seed: int) -> None:
        pass

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]

    def empty_cache(self) -> None:
        pass

    def synchronize(self, device: Any = None) -> None:
        pass


_setup_privateuseone_for_python_backend(NAME, backend_module=_Backend())


@contextlib.contextmanager
def pretend() -> Iterator[Seen]:
    """Have the GPU inside the ``with`` block; yields what is counted, from zero."""
    before = torch.__future__.get_swap_module_params_on_conversion(), torch.inference_mode
    torch.__future__.set_swap_module_params_on_conversion(True)  # an optimiser keeps its weights
    # In inference mode composite operations would arrive whole, and views would not be views.
    torch.inference_mode = torch.no_grad  # type: ignore[misc, assignment]
    SEEN.clear()
    try:
        with _Operations(), _Calls():
            yield SEEN
    finally:
        torch.__future__.set_swap_module_params_on_conversion(before[0])
        torch.inference_mode = before[1]  # type: ignore[misc]
