"""The loss as a function of one tensor: what every numerical checker evaluates.

`Probe` keeps one forward pass of the reference, with its value at every edge and its
branch signature.  `losses` adds offsets to one tensor, many at once along a leading axis,
and runs only the layers that lie above it, on the pieces of the base point: the function
that is differentiated is analytic, and no stencil crosses a kink.  Only the reference's
forward is used, never its backward.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from ..architectures.architecture import edge_name
from ..architectures.cases import Case, stream
from ..architectures.operators import (
    GLU,
    Dense,
    LogSoftmax,
    Operator,
    PReLU,
    Softmax,
    SwiGLU,
)
from ..reference import network
from ..reference.arrays import Array
from ..reference.losses import penalties
from ..reference.pages import LAYERS, LOSSES
from .rounding import REPLICAS, UNIT, Noise, promote, replicate, rms

MEMORY = 16 * 2**20
"""Bytes of perturbed values at the widest edge that one chunk may take."""


CORRECTIONS = 3
"""Of the reach, each of which takes the root of how far it is off."""


class Probe:
    """One case in float64, ready to be perturbed.  `branches` default to its own signature."""

    def __init__(self, case: Case, branches: network.Branches | None = None) -> None:
        self.case = promote(case)
        self.architecture = case.architecture
        with np.errstate(all="ignore"):
            self.trace = network.forward(
                self.architecture,
                self.case.parameters,
                self.case.input,
                self.case.target,
                branches=branches,
            )
        self._edges = {edge_name(i): i for i in range(len(self.architecture.layers) + 1)}
        self._noise: dict[int, float] = {}
        self._flattened: dict[int, tuple[Array, Array]] = {}

    @property
    def loss(self) -> float:
        return float(self.trace.loss)

    def tensor(self, name: str) -> Array:
        """The value of a parameter or of an edge."""
        return (
            self.trace.edges[self._edges[name]]
            if name in self._edges
            else self.case.parameters[name]
        )

    def _start(self, name: str) -> int:
        """The edge above which everything depends on a tensor."""
        return self._edges[name] if name in self._edges else int(name.split(".")[1])

    def perturbed(
        self, name: str, offsets: Array, wrap: Callable[[Array], Array] = lambda x: x
    ) -> network.Trace:
        """The passes with `offsets` (d, *shape), real or complex, added to one tensor.

        `wrap` is applied to every value that enters: how rounding noise gets in.
        """
        parameters, start = dict(self.case.parameters), self._start(name)
        if name not in self._edges:
            parameters[name] = parameters[name] + offsets
            x = self.trace.edges[start]
        else:
            x = self.trace.edges[start] + offsets
        return self._run(wrap(x), start, {n: wrap(p) for n, p in parameters.items()})

    def losses(self, name: str, offsets: Array) -> Array:
        """The loss for each of `offsets`; shape (d,)."""
        loss = self.perturbed(name, offsets).loss
        return np.broadcast_to(loss, (len(offsets),))

    def noise(self, name: str) -> float:
        """The rms rounding error of `losses`, by Monte Carlo arithmetic on the layers above.

        What enters is rounded first: a step is lost that way too, and differences of close
        values would not show it.
        """
        start = self._start(name)
        if start not in self._noise:
            noise = Noise(stream(0, f"noise above edge {start}"), "float64", REPLICAS)
            edge = edge_name(start)
            still = np.zeros_like(self.tensor(edge))
            loss = self.perturbed(edge, still, lambda x: replicate(x, noise) * 1.0).loss
            errors = np.asarray(loss).view(np.ndarray) - self.trace.loss
            spread = rms(np.broadcast_to(errors, (REPLICAS,)))
            self._noise[start] = UNIT["float64"] / noise.unit * float(spread)
        return self._noise[start]

    def entry_losses(self, name: str, entries: Array, step: Array | float) -> Array:
        """The loss with `step` added to one entry of a tensor, for each of the flat `entries`.

        `step` is one number, or one for each.  A change of one entry of a dense layer's W
        or b moves one column of its output, by the step times a column of its input: that
        rank-1 update replaces the layer.
        """
        shape = self.tensor(name).shape
        layer = None if name in self._edges else int(name.split(".")[1])
        rows, steps = np.arange(len(entries)), np.broadcast_to(step, entries.shape)
        if layer is None or not isinstance(self.architecture.layers[layer], Dense):
            offsets = np.zeros((len(entries), *shape))
            offsets.reshape(len(entries), -1)[rows, entries] = steps
            return self.losses(name, offsets)
        if name.endswith("bias"):
            return self._column_losses(layer + 1, entries, steps[:, None])
        units, columns = np.divmod(entries, shape[-1])
        moves = steps[:, None] * self.trace.edges[layer].T[columns]
        loss = self._column_losses(layer + 1, units, moves)
        return loss + self._penalty_changes(name, entries, steps)

    def _column_losses(self, edge: int, columns: Array, moves: Array) -> Array:
        """The loss with `moves` (R, batch or 1) added to one column each of an edge's value.

        An activation that works entry by entry moves the same column of its output, and the
        dense layer above it adds the column's change times a row of its weights: another
        rank-1 update, so that the widest part of the network is never run again.
        """
        layers, edges = self.architecture.layers, self.trace.edges
        base = edges[edge]
        if edge + 1 < len(layers) and _entrywise(layers[edge]) and _is_dense(layers[edge + 1]):
            x = (base.T[columns] + moves)[..., None]
            piece = self.trace.branches.get(f"layers.{edge}")
            piece = None if piece is None else piece.T[columns][..., None]
            p = network.layer_parameters(self.case.parameters, edge)
            with np.errstate(all="ignore"):
                y, _ = LAYERS[type(layers[edge])].forward(layers[edge], p, x, piece)
                change = y - edges[edge + 1].T[columns][..., None]
                weights = self.case.parameters[f"layers.{edge + 1}.weight"].T[columns]
                z = edges[edge + 2] + change * weights[:, None, :]
            return self._run(z, edge + 2, self.case.parameters).loss
        x = np.repeat(base[None], len(columns), axis=0)
        x[np.arange(len(columns)), :, columns] += moves
        return self._run(x, edge, self.case.parameters).loss

    def chunks(self, name: str, copies: int) -> Iterator[Array]:
        """The flat entries of a tensor in chunks whose copies stay within MEMORY."""
        size = self.tensor(name).size
        widest = max(e.size for e in (*self.trace.edges, self.tensor(name)))
        chunk = max(1, MEMORY // (8 * copies * widest))
        for begin in range(0, size, chunk):
            yield np.arange(begin, min(begin + chunk, size))

    def reach(self, name: str, offsets: Array, *, strict: bool = False) -> tuple[Array, Array]:
        """How far along each of `offsets` the loss stays on one scale, and its grain; (d,) each.

        The reach is the least t at which t * offset moves some edge by the radius of the
        function that takes it: its distance from a singularity or, for a polynomial, its
        own size.  It is read off a small step, and corrected where a quarter of it moves an
        edge much further than in proportion, as x^2 at 0 does: with t^2 for t, the geometric
        mean of the two readings is twice the right t.  The grain is the t that moves that
        same entry by one rounding, or, where `strict`, every entry that moves at all: steps
        must be far above it.
        """
        d = len(offsets)
        steps, grains = self._steps(name, offsets, np.full(d, 2.0**-20))
        nearest = np.argmin(steps, axis=1)[:, None]
        reach = np.take_along_axis(steps, nearest, axis=1)[:, 0]
        grain = grains.max(axis=1) if strict else np.take_along_axis(grains, nearest, axis=1)[:, 0]
        own = np.linalg.norm(self.tensor(name)) or 1.0
        far = own / np.linalg.norm(offsets.reshape(d, -1), axis=1)
        reach = np.minimum(np.where(np.isinf(reach), far, reach), 2.0**500)
        for _ in range(CORRECTIONS):
            there = [self._steps(name, offsets, t)[0].min(axis=1) for t in (reach / 4, -reach / 4)]
            bent = np.minimum(*there)
            if not (bent < reach / 2).any():
                break
            reach = np.where(bent < reach / 2, np.sqrt(reach) * np.sqrt(bent), reach)
        return reach, grain

    def _steps(self, name: str, offsets: Array, t: Array) -> tuple[Array, Array]:
        """For each edge's entry the step to its radius, and its grain, at its rate over t (d,)."""
        d = len(offsets)
        trace = self.perturbed(name, t.reshape(d, *(1,) * (offsets.ndim - 1)) * offsets)
        base, radius = self._flat(trace.start)
        shapes = ((d, *x.shape) for x in self.trace.edges[trace.start :])
        moved = np.concatenate(
            [
                np.broadcast_to(x, s).reshape(d, -1)
                for x, s in zip(trace.edges, shapes, strict=True)
            ],
            axis=1,
        )
        with np.errstate(all="ignore"):
            rate = np.abs((moved - base) / t[:, None])
            steps = np.where(rate > 0, radius / rate, np.inf)
            grains = np.where(rate > 0, UNIT["float64"] * np.abs(base) / rate, 0.0)
        return steps, grains

    def _flat(self, start: int) -> tuple[Array, Array]:
        """All values at the edges from `start` on, and the radius of each, as vectors."""
        if start not in self._flattened:
            values, radii = [], []
            for i, x in enumerate(self.trace.edges[start:], start):
                size = np.max(np.abs(x), initial=0.0) or np.inf
                radius = np.broadcast_to(self._radius(i), x.shape)
                values.append(x.ravel())
                radii.append(np.where(np.isinf(radius), size, radius).ravel())
            self._flattened[start] = np.concatenate(values), np.concatenate(radii)
        return self._flattened[start]

    def _radius(self, i: int) -> Array | float:
        """The radius, entry by entry, of the function that takes edge i."""
        x = self.trace.edges[i]
        if i < len(self.architecture.layers):
            layer = self.architecture.layers[i]
            find = LAYERS[type(layer)].radius
            return find(layer, x) if find else 1.0
        loss = self.architecture.loss
        find = LOSSES[type(loss)].radius
        return find(loss, x, self.case.target) if find else 1.0

    def _run(self, x: Array, start: int, parameters: Mapping[str, Array]) -> network.Trace:
        with np.errstate(all="ignore"):
            return network.forward(
                self.architecture,
                parameters,
                x,
                self.case.target,
                branches=self.trace.branches,
                start=start,
            )

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


def _is_dense(layer: Operator) -> bool:
    return isinstance(layer, Dense)


def _entrywise(layer: Operator) -> bool:
    """Whether an entry of the output depends on the same entry of the input alone.

    PReLU with a slope for each feature does too, but needs the feature's number.
    """
    mixes = (Dense, Softmax, LogSoftmax, GLU, SwiGLU)
    return not isinstance(layer, mixes) and not (isinstance(layer, PReLU) and not layer.shared)
