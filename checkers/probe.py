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
from ..architectures.operators import Dense
from ..reference import network
from ..reference.arrays import Array
from ..reference.losses import penalties
from ..reference.pages import LAYERS, LOSSES
from .rounding import REPLICAS, UNIT, Noise, promote, replicate, rms

MEMORY = 64 * 2**20
"""Bytes of perturbed values at the widest edge that one chunk may take."""


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

    def entry_losses(self, name: str, entries: Array, step: float) -> Array:
        """The loss with `step` added to one entry of a tensor, for each of the flat `entries`.

        A change of one entry of a dense layer's W or b moves one column of its output, by
        the step times a column of its input: that rank-1 update replaces the layer.
        """
        shape = self.tensor(name).shape
        layer = None if name in self._edges else int(name.split(".")[1])
        if layer is None or not isinstance(self.architecture.layers[layer], Dense):
            offsets = np.zeros((len(entries), *shape))
            offsets.reshape(len(entries), -1)[np.arange(len(entries)), entries] = step
            return self.losses(name, offsets)
        x = self.trace.edges[layer]
        y = np.repeat(self.trace.edges[layer + 1][None], len(entries), axis=0)
        rows = np.arange(len(entries))
        if name.endswith("bias"):
            y[rows, :, entries] += step
            return self._run(y, layer + 1, self.case.parameters).loss
        units, columns = np.divmod(entries, shape[-1])
        y[rows, :, units] += step * x.T[columns]
        loss = self._run(y, layer + 1, self.case.parameters).loss
        return loss + self._penalty_changes(name, entries, step)

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
        own size.  The grain is the t that moves that same entry by one rounding, or, where
        `strict`, every entry that moves at all: steps must be far above it.
        """
        small = 2.0**-20
        trace = self.perturbed(name, small * offsets)
        d = len(offsets)
        own = np.linalg.norm(self.tensor(name)) or 1.0
        far = own / np.linalg.norm(offsets.reshape(d, -1), axis=1)
        reach, grain, coarsest = np.full(d, np.inf), np.zeros(d), np.zeros(d)
        for i, moved in enumerate(trace.edges, trace.start):
            base = self.trace.edges[i]
            size = np.max(np.abs(base), initial=0.0) or np.inf
            radius = np.broadcast_to(self._radius(i), base.shape)
            radius = np.where(np.isinf(radius), size, radius)
            with np.errstate(all="ignore"):
                rate = np.broadcast_to(np.abs(moved - base) / small, (d, *base.shape))
                steps = np.where(rate > 0, radius / rate, np.inf).reshape(d, -1)
                grains = np.where(rate > 0, UNIT["float64"] * np.abs(base) / rate, 0.0)
            nearest = np.argmin(steps, axis=1)
            found = steps[np.arange(d), nearest]
            grains = grains.reshape(d, -1)
            at_nearest = grains[np.arange(d), nearest]
            grain = np.where(found < reach, at_nearest, grain)
            coarsest = np.maximum(coarsest, grains.max(axis=1))
            reach = np.minimum(found, reach)
        reach = np.minimum(np.where(np.isinf(reach), far, reach), 2.0**500)
        return reach, coarsest if strict else grain

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

    def _penalty_changes(self, name: str, entries: Array, step: float) -> Array:
        """What the step on one weight adds to the penalties, which see that weight alone."""
        change = np.zeros(len(entries))
        for site, penalty, weight in network.penalty_sites(self.architecture):
            if weight == name:
                w = self.case.parameters[name].reshape(-1)[entries][:, None, None]
                piece = self.trace.branches.get(site)
                piece = None if piece is None else piece.reshape(-1)[entries][:, None, None]
                change += penalties.forward(penalty, w + step, piece)
                change -= penalties.forward(penalty, w, piece)
        return change
