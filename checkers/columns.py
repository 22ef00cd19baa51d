"""One entry of a dense layer's weight or bias changed: rank-1 updates instead of a new pass.

A change of one entry of W or b moves one column of the layer's output, by the step times a
column of its input.  An activation that works entry by entry moves the same column of its
own output, and a dense layer above it adds the column's change times a row of its weights:
another rank-1 update, so that the widest part of a network is never run again.
"""

from __future__ import annotations

import numpy as np

from ..architectures import operators as ops
from ..architectures.architecture import edge_name
from ..architectures.cases import Case
from ..reference import network
from ..reference.arrays import Array
from ..reference.losses import penalties
from ..reference.pages import LAYERS

ENTRYWISE = frozenset(ops.ACTIVATIONS) - {
    ops.Softmax, ops.LogSoftmax, ops.GLU, ops.SwiGLU, ops.PReLU,
}  # fmt: skip
"""Activations whose entry of the output depends on the same entry of the input alone.

PReLU with a slope for each feature does too, but needs the feature's number.
"""


class Columns:
    """The losses of one case with one entry of a dense layer's parameters changed."""

    def __init__(self, case: Case, trace: network.Trace) -> None:
        self.case, self.trace, self.architecture = case, trace, case.architecture

    def fits(self, name: str) -> bool:
        """Whether a tensor is the parameter of one dense layer on (batch, features)."""
        a = self.architecture
        slots = a.slots_of(name)
        if name not in a.parameters or len(slots) != 1:
            return False
        i = int(slots[0].site.split(".")[1])
        return isinstance(a.layers[i], ops.Dense) and len(a.inputs_of(i)[0]) == 2

    def losses(self, name: str, entries: Array, steps: Array) -> Array:
        """The loss with each of `steps` added to each of the flat `entries` of a parameter."""
        i = int(name.split(".")[1])
        if name.endswith("bias"):
            return self._moved(i, entries, steps[:, None])
        units, columns = np.divmod(entries, self.case.parameters[name].shape[-1])
        moves = steps[:, None] * self.trace.edges[self.architecture.sources[i][0]].T[columns]
        return self._moved(i, units, moves) + self._penalty_changes(name, entries, steps)

    def _moved(self, i: int, columns: Array, moves: Array) -> Array:
        """The loss with `moves` (R, batch or 1) added to one column each of layer i's output."""
        a, edges = self.architecture, self.trace.edges
        base = edges[edge_name(i + 1)]
        above = self._through_an_activation(i)
        if above is None:
            x = np.repeat(base[None], len(columns), axis=0)
            x[np.arange(len(columns)), :, columns] += moves
            return self._run(edge_name(i + 1), x)
        j, k = above
        activation = a.layers[j]
        x = (base.T[columns] + moves)[..., None]
        piece = self.trace.branches.get(f"layers.{j}")
        piece = None if piece is None else piece.T[columns][..., None]
        with np.errstate(all="ignore"):
            y, _ = LAYERS[type(activation)].forward(activation, {}, x, piece)
            change = y - edges[edge_name(j + 1)].T[columns][..., None]
            weights = self.case.parameters[a.own[k]["weight"]].T[columns]
            z = edges[edge_name(k + 1)] + change * weights[:, None, :]
        return self._run(edge_name(k + 1), z)

    def _through_an_activation(self, i: int) -> tuple[int, int] | None:
        """(j, k): layer j is entrywise and alone takes layer i, the dense layer k alone takes j."""
        a = self.architecture
        found = []
        for kinds in (ENTRYWISE, {ops.Dense}):
            slots = a.slots_of(edge_name(i + 1))
            if len(slots) != 1 or not slots[0].site.startswith("layers."):
                return None
            i = int(slots[0].site.split(".")[1])
            if type(a.layers[i]) not in kinds:
                return None
            found.append(i)
        return found[0], found[1]

    def _run(self, edge: str, value: Array) -> Array:
        change = network.Change(self.trace, edges={edge: value})
        with np.errstate(all="ignore"):
            return network.forward(self.case, branches=self.trace.branches, change=change).loss

    def _penalty_changes(self, name: str, entries: Array, steps: Array) -> Array:
        """What a step on one weight adds to the penalties, which see that weight alone."""
        change = np.zeros(len(entries))
        for site, penalty, weight in network.penalty_sites(self.architecture):
            if weight == name:
                w = self.case.parameters[name].reshape(-1)[entries][:, None, None]
                piece = self.trace.branches.get(site)
                piece = None if piece is None else piece.reshape(-1)[entries][:, None, None]
                change += penalties.forward(penalty, w + steps[:, None, None], piece)
                change -= penalties.forward(penalty, w, piece)
        return change
