"""How backward passes go wrong: the kinds of mistake, and the survey they were counted in.

Every fault of this package says what kind of mistake it is, which row of the survey (or what
habit, for those added to it) it mimics, where it shows, and where it cannot.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Kind = Literal[
    "sign",
    "factor",
    "missing",
    "extra",
    "argument",
    "axis",
    "index",
    "accumulation",
    "numerics",
    "tie",
    "state",
]

KINDS: Mapping[Kind, str] = {
    "sign": "a gradient, or one operand's, has the other sign",
    "factor": "a constant is wrong or left out: a count, a scale, a relative error",
    "missing": "a term or a derivative is left out, held constant, zeros or None",
    "extra": "a derivative is applied twice, or a gradient stands where there is none",
    "argument": "a derivative is taken at another value, on another piece, of another formula",
    "axis": "an axis, a transpose, an order of parts or a reshape is wrong",
    "index": "single entries, a border, a stride, a group, a mask: an index is wrong",
    "accumulation": "what should be added is overwritten, averaged or taken once",
    "numerics": "NaN, overflow, or a coarser precision",
    "tie": "another slope is taken where a function has several",
    "state": "something outlives a call, or is written into the caller's arrays",
}
"""The kinds of mistake, each in one sentence."""

SURVEY: Mapping[int, str] = {
    1: "division by the batch size dropped",
    2: "one division too many, by the number of outputs",
    3: "parameter gradient averaged over the batch",
    4: "factor 2 or 1/2 of a square dropped",
    5: "one operand's gradient negated",
    6: "sign of the penalty's gradient",
    7: "upstream dropped in an activation",
    8: "derivative omitted at the output layer",
    9: "derivative applied twice",
    10: "diagonal of the softmax's Jacobian alone",
    11: "f'(z) evaluated at f(z)",
    12: "gate recomputed with another gate's bias",
    13: "= for += on a shared input or weight",
    14: "gradient buffer not zeroed between calls",
    15: "one array returned for both parents",
    16: "write into the caller's upstream array",
    17: "weight updated before the error goes through it",
    18: "batch normalisation without the mean term",
    19: "normalisation with detached statistics",
    20: "batch normalisation that counts N, not N H W",
    21: "layer normalisation over the wrong axis",
    22: "normalisation without epsilon",
    23: "W for its transpose, or the wrong axis, in a square layer",
    24: "bias gradient summed over the wrong axis, or not reduced",
    25: "reshape that does not move the axis",
    26: "padding sliced off by one, or by -0",
    27: "stride and dilation exchanged, or the wrong group",
    28: "overlapping windows overwritten, or an average not divided",
    29: "rule at a tie, or a tie counted twice",
    30: "slope where a function is clipped",
    31: "hidden-to-hidden transpose omitted",
    32: "local step alone, or the last step skipped",
    33: "attention's scale or transpose dropped",
    34: "penalty's gradient missing, or there at strength 0",
    35: "optimiser's count of steps, correction or order",
    36: "NaN of an unstable formula",
    37: "cast to half precision or to integers",
    38: "zeros or None for one gradient",
}
"""The rows of the survey of historical gradient bugs, by number, in a few words."""


def mimicked(number: int | None, like: str) -> str:
    """What a fault mimics: its row of the survey, or `like` for an addition to it."""
    return like if number is None else SURVEY[number]
