"""How many operations of a GPU a decoding step needs for each layer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import LlamaConfig, LlamaForCausalLM

from harness.engine.attention import Prefixes
from harness.engine.forward import Passes
from harness.engine.prefixes import State
from harness.engine.step import Step

MOST = 60
ROWS, SHARED, HEADS, WIDTH = 4, 16, 2, 16


class Counted(TorchDispatchMode):
    """Counts the operations that compute or copy; a view of a tensor is none."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += not (func.is_view or func is torch.ops.aten._unsafe_view.default)
        return func(*args, **(kwargs or {}))


def of_a_step(layers: int, groups: list[int], *, fixed: bool) -> int:
    """Count those of one step of a LLaMA whose rows share prefixes of unequal length.

    Tensors of the device "meta" have shapes and no numbers; the engine treats them as on a GPU.
    """
    sizes = {"hidden_size": 64, "intermediate_size": 128, "vocab_size": 100}
    heads = {"num_attention_heads": 2 * HEADS, "num_key_value_heads": HEADS}
    with torch.device("meta"):
        network = LlamaForCausalLM(LlamaConfig(num_hidden_layers=layers, **sizes, **heads))
        shared = [torch.empty((2, HEADS, SHARED, WIDTH)) for _ in range(layers)]
        hidden = torch.empty((2, 1, 1, SHARED), dtype=torch.bool)
    loaded = SimpleNamespace(network=network, device=torch.device("meta"))
    passes = Passes(loaded, None, 0)  # type: ignore[arg-type]
    prefixes = Prefixes(shared, shared, hidden)
    state = State(prefixes, passes._own(ROWS), groups, [SHARED] * ROWS)
    with torch.no_grad():
        step = Step(passes, state, 8)
        with Counted() as counted:
            if fixed:
                step.advance([1] * ROWS)
            else:
                passes.advance(state, [[1]] * ROWS)
    return counted.count


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("groups", [[0, 0, 1, 1], [0, 0, 0, 1]])
def test_a_step_needs_few_operations_a_layer(groups: list[int], fixed: bool) -> None:
    two, four = (of_a_step(layers, groups, fixed=fixed) for layers in (2, 4))
    assert 0 < two < four
    assert (four - two) / 2 <= MOST
