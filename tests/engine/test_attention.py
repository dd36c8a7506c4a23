"""The two ways to attend with the weights that join parts, against each other and torch's own."""

from __future__ import annotations

import pytest
import torch

from harness.engine.attention import LONG, _bias, _look, _look_fused


@pytest.mark.parametrize(("heads", "kept"), [(6, 6), (8, 2)])
@pytest.mark.parametrize("kind", ["all", "columns", "causal"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_kernel_gives_what_the_scores_give(heads, kept, kind, dtype):
    torch.manual_seed(0)
    lines, tokens, columns, width = 3, LONG + 6, 90, 24
    query = torch.randn(lines, heads, tokens, width, dtype=dtype)
    key, value = (torch.randn(lines, kept, columns, width, dtype=dtype) for _ in range(2))
    hidden = {
        "all": None,
        "columns": torch.arange(columns) > torch.tensor([89, 40, 0]).view(-1, 1, 1, 1),
        "causal": (torch.arange(columns) > 20 + torch.arange(tokens)[:, None])[None, None],
    }[kind]
    found, weight = _look_fused(query, key, value, 0.3, _bias(hidden, heads // kept, dtype))
    plain, denominator = _look(query, key, value, 0.3, hidden)
    near = {"atol": 2e-5, "rtol": 1e-5} if dtype == torch.float32 else {"atol": 0.05, "rtol": 0.05}
    torch.testing.assert_close(found, plain, **near)
    torch.testing.assert_close(weight.float(), denominator, **near)
    seen = torch.ones(1, 1, 1, columns, dtype=torch.bool) if hidden is None else ~hidden
    whole = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=seen, scale=0.3, enable_gqa=heads != kept
    )
    torch.testing.assert_close(found, whole, **near)
