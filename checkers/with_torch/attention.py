"""Attention in PyTorch: y = f(op, parameters, x).

F.scaled_dot_product_attention differentiates its softmax to y (g - sum(g y)), which cancels
where one weight is nearly 1.  With queries, keys and values of size 16 its gradient of the
queries, 3.5e-12, is wrong by 140 u: by 0.4%.  So the softmax is ours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from ...architectures import operators
from .forms import Forward, Tensors
from .pieces import softmax

ROTARY_BASE = operators.Rotary().base


def _attention(
    q: Tensor, k: Tensor, v: Tensor, scale: float, causal: bool, lengths: tuple[int, ...]
) -> Tensor:
    """softmax(q k^T scale) v over the keys that are seen."""
    scores = q @ k.mT * scale
    hidden = _hidden(scores, causal, lengths)
    if hidden is not None:
        scores = scores.masked_fill(hidden, -math.inf)
    return softmax(scores, -1) @ v


def _hidden(scores: Tensor, causal: bool, lengths: tuple[int, ...]) -> Tensor | None:
    """Which keys a query does not see, matching the scores (N, ..., T, S); None for none."""
    queries, keys = scores.shape[-2:]
    j = torch.arange(keys, device=scores.device)
    hidden = None
    if causal:
        i = torch.arange(queries, device=scores.device)
        hidden = j > i[:, None] + (keys - queries)
    if lengths:
        n = torch.tensor(lengths, device=scores.device)
        beyond = j >= n.reshape(-1, *(1,) * (scores.dim() - 1))
        hidden = beyond if hidden is None else hidden | beyond
    return hidden


def _scaled_dot_product(op: operators.Attention, x: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    q, k, v = x
    scale = 1 / math.sqrt(q.shape[-1]) if op.scale is None else op.scale
    return _attention(q, k, v, scale, op.causal, op.lengths)


def _multi_head(
    op: operators.MultiHeadAttention, p: Tensors, x: Tensor | tuple[Tensor, Tensor]
) -> Tensor:
    # F.multi_head_attention_forward knows neither grouped queries nor rotary positions.
    x, m = (x, x) if isinstance(x, Tensor) else x
    groups = op.key_value_heads or op.heads

    def projected(of: Tensor, name: str, heads: int) -> Tensor:
        flat = F.linear(of, p[f"{name}_weight"], p.get(f"{name}_bias"))
        return flat.reshape(*flat.shape[:2], heads, -1).transpose(1, 2)  # (N, heads, T, d)

    q, k = projected(x, "query", op.heads), projected(m, "key", groups)
    v = projected(m, "value", groups)
    if op.rotary:
        q, k = rotary(q, ROTARY_BASE), rotary(k, ROTARY_BASE)
    k, v = (z.repeat_interleave(op.heads // groups, dim=1) for z in (k, v))
    o = _attention(q, k, v, 1 / math.sqrt(q.shape[-1]), op.causal, op.lengths)
    return F.linear(o.transpose(1, 2).flatten(-2), p["output_weight"], p.get("output_bias"))


def rotary(x: Tensor, base: float) -> Tensor:
    """Each pair (i, i + D/2) of features turned by t / base^(2 i / D)."""
    steps, features = x.shape[-2:]
    t = torch.arange(steps, dtype=x.dtype, device=x.device)
    i = torch.arange(features // 2, dtype=x.dtype, device=x.device)
    angle = t[:, None] / base ** (2 * i / features)
    a, b = x.chunk(2, dim=-1)
    c, s = angle.cos(), angle.sin()
    return torch.cat((a * c - b * s, a * s + b * c), dim=-1)


FORWARD: Mapping[type[operators.Operator], Forward] = {
    operators.Attention: lambda op, p, x: _scaled_dot_product(op, x),
    operators.MultiHeadAttention: _multi_head,
    operators.Rotary: lambda op, p, x: rotary(x, op.base),
}
"""Each operator's y = f(op, parameters, x)."""
