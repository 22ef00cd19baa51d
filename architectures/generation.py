"""Random architectures, valid by construction.

One function, `build`, grows a network layer by layer (`growing.py`), choosing among the
operators that fit the shape at hand (`strategies.py`, `joint_strategies.py`), each list of
them ordered from simple to complex, with a continue flag for every block; then a loss
(`loss_strategies.py`), penalties, and a second loss that may look at an earlier edge.

Who chooses is a parameter: `generate` chooses by a seed, and prefers pairs of neighbours that
it has drawn least often; `architectures` lets Hypothesis choose, which then shrinks a failing
network to a small one.  Only structure is drawn; values come from the seed (`cases.py`).

The seeded networks do not come from Hypothesis's engine: it mixes in constants that it
finds in the modules of its host, and would make the same seed mean another run elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from . import losses as ls
from .architecture import Architecture, edge_name
from .cases import DType, Lane, stream
from .coverage import Seen
from .drawing import Choose, Drawing
from .exactness import EXACT_OPERATORS, is_exact
from .growing import Growing, begin, finish, grow
from .limits import Limits
from .loss_strategies import EXACT_LOSSES, auxiliary_losses, choose_loss
from .surgery import rebuilt

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

__all__ = ["Limits", "architectures", "build", "generate"]

SMALL = {"exact": (3, 4, 4), "tie": (2, 3, 3)}
"""The most depth, width and batch of the lanes that need small networks."""


def build(
    choose: Choose,
    limits: Limits,
    lane: Lane = "generic",
    dtype: DType = "float64",
    seen: Seen | None = None,
) -> Architecture:
    """A network within `limits`, fit for a lane and a dtype.

    With `seen` the pairs of neighbours drawn least often are preferred.
    """
    depth, width, batch = SMALL.get(lane, (limits.max_depth, limits.max_width, limits.max_batch))
    depth, width = min(depth, limits.max_depth), min(width, limits.max_width)
    drawing = Drawing(choose, width, lane == "exact")
    growing = Growing(choose, limits, lane, seen, drawing)
    rows = int(choose(range(1, min(batch, limits.max_batch) + 1)))
    begin(growing, rows)
    required = bool(limits.names)
    for block in range(depth + 1):
        more = choose(range(4))  # also where it does not count, so that a block that is
        if block == depth or not (more or required):  # deleted leaves the others in step
            break
        required = not grow(growing) and required
    finish(growing)
    loss = choose_loss(growing)
    further = auxiliary_losses(growing)
    strengths = (0.0, 0.5) if lane == "exact" else (0.0, 0.5, 0.01)
    count = choose(range(3)) if choose((False, True)) else 0
    penalties = tuple(choose((ls.L1, ls.L2))(choose(strengths)) for _ in range(count))
    return _fitted(growing, loss, penalties, further, dtype)


def _fitted(
    g: Growing, loss: Any, penalties: tuple[Any, ...], auxiliary: Any, dtype: DType
) -> Architecture:
    """The network; on the exact lane, cut off where it would need more bits.

    Another loss than the exact lane's never becomes exact, and may depend on its last layer;
    nor does a network of other operators, where those are asked for.
    """
    a = Architecture(g.input, tuple(g.layers), loss, penalties, auxiliary)
    kinds = {type(layer) for layer in g.layers}
    if g.lane != "exact" or loss not in EXACT_LOSSES or not kinds <= set(EXACT_OPERATORS):
        return a
    fewest = 2 if g.limits.names else 1
    while not is_exact(a, dtype) and len(a.layers) > fewest:
        earlier = edge_name(len(a.layers) - 1)
        a = rebuilt(a, loss=msgspec.structs.replace(loss, inputs=(earlier,)), auxiliary=())
    return a


# --- who chooses ------------------------------------------------------------------------


def generate(
    limits: Limits,
    lane: Lane,
    dtype: DType,
    start: int,
    count: int,
    seen: Seen | None = None,
) -> list[Architecture]:
    """`count` architectures from the seed `start`; the same arguments give the same list.

    With `seen` they steer towards pairs that it does not hold yet, and are added to it.
    """

    def network(i: int) -> Architecture:
        rng = stream(start, f"architecture/{i}")
        a = build(
            lambda options: options[int(rng.integers(len(options)))], limits, lane, dtype, seen
        )
        if seen is not None:
            seen.add(a)
        return a

    return [network(i) for i in range(count)]


def architectures(
    limits: Limits, lane: Lane = "generic", dtype: DType = "float64"
) -> SearchStrategy[Architecture]:
    """The same networks as a Hypothesis strategy.  ImportError where it is not installed."""
    from hypothesis import strategies as st

    @st.composite
    def networks(draw: st.DrawFn) -> Architecture:
        return build(lambda options: draw(st.sampled_from(options)), limits, lane, dtype)

    return networks()
