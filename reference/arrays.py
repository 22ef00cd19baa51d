"""Arrays and branches: what every page of derivation rests on.

**Replicas.**  An array may carry extra leading axes, one replica of the network for each
index; every page therefore counts its axes from the end (-2 the batch, -1 the features).
The Monte Carlo rounding model and the numerical checkers run hundreds of perturbed
networks in one call that way.

**Branches.**  A piecewise function is analytic on each of its pieces.  `Kink` says where
the pieces meet, `regions` which piece each entry is on, and a page's `forward` is handed
those numbers instead of testing signs itself.  A caller that hands the same numbers for a
perturbed input stays on the same analytic piece: that is how complex step and finite
differences never cross a kink.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Arrays = dict[str, Array]
Saved = Any
"""What a forward pass keeps for its backward pass; known to that page alone."""


class Kink(NamedTuple):
    """Where a piecewise function changes its piece.

    `argument` (any shape) is what is compared with the ascending `breakpoints`.  `smooth`
    says that the first derivative is continuous there (Huber, CELU): a piece to hold on
    to, but no tie.
    """

    argument: Array
    breakpoints: tuple[float, ...]
    smooth: bool = False


def regions(kink: Kink) -> Array:
    """The piece of each entry: the number of breakpoints below it.  int8, argument's shape.

    At a breakpoint itself it is the piece on the left: our convention at ties.
    """
    x = kink.argument.real
    piece = (x > kink.breakpoints[0]).astype(np.int8)
    for b in kink.breakpoints[1:]:
        piece += x > b
    return piece
