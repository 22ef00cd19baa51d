"""The loss as a function of one tensor: what every numerical checker evaluates.

`Probe` keeps one forward pass of the reference, with its value at every edge and its
branch signature.  `losses` adds offsets to one tensor (an edge, a parameter, or one use of
either), many at once along a leading axis, and runs only the layers that depend on it, on
the pieces of the base point: the function that is differentiated is analytic, and no stencil
crosses a kink.  Only the reference's forward is used, never its backward.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from ..architectures.architecture import edge_name, is_weight
from ..architectures.cases import Case, stream
from ..architectures.losses import flat_shape
from ..reference import network
from ..reference.arrays import Array, Arrays
from ..reference.network import Change
from ..reference.pages import LAYERS, LOSSES
from .columns import Columns
from .noise import UNIT, Noise, replicate
from .rounding import REPLICAS, noisy, promote, rms

MEMORY = 16 * 2**20
"""Bytes of perturbed values at the widest edge that one chunk may take."""


STARTS = 4
"""Rounding is measured from so many starting layers, evenly spread over the network."""

CORRECTIONS = 3
"""Of the reach, each of which takes the root of how far it is off."""


class Probe:
    """One case in float64, ready to be perturbed.  `branches` default to its own signature."""

    def __init__(self, case: Case, branches: network.Branches | None = None) -> None:
        self.case = promote(case)
        self.architecture = case.architecture
        with np.errstate(all="ignore"):
            self.trace = network.forward(self.case, branches=branches)
        self._noise: dict[tuple[int, bool], float] = {}
        self._flattened: dict[str, tuple[Array, Array]] = {}
        self._columns = Columns(self.case, self.trace)

    @property
    def loss(self) -> float:
        return float(self.trace.loss)

    def tensor(self, name: str) -> Array:
        """The value of an edge, of a parameter, or of what enters at a use."""
        slot = self.architecture.named_slots.get(name)
        source = name if slot is None else slot.source
        return (
            self.trace.edges[source]
            if source in self.trace.edges
            else (self.case.parameters[source])
        )

    def perturbed(self, name: str, offsets: Array, noise: Noise | None = None) -> network.Trace:
        """The passes with `offsets` (d, *shape), real or complex, added to one tensor.

        With `noise` every operation from there on is perturbed, the sum as well, in as many
        replicas as it has; `offsets` then has the tensor's own shape.
        """
        value, case, base = self.tensor(name) + offsets, self.case, self.trace
        if noise is not None:
            value = replicate(value, noise) * 1.0
            case = noisy(case, noise)
            base = self._replicated(noise)
        return self._run(case, self._change(name, value, base))

    def _change(self, name: str, value: Array, base: network.Trace) -> Change:
        moved = {name: value}
        if name in self.architecture.named_slots:
            return Change(base, slots=moved)
        if name in base.edges:
            return Change(base, edges=moved)
        return Change(base, parameters=moved)

    def _run(self, case: Case, change: Change) -> network.Trace:
        with np.errstate(all="ignore"):
            return network.forward(case, branches=self.trace.branches, change=change)

    def losses(self, name: str, offsets: Array) -> Array:
        """The loss for each of `offsets`; shape (d,)."""
        loss = self.perturbed(name, offsets).loss
        return np.broadcast_to(loss, (len(offsets),))

    def noise(self, name: str) -> float:
        """The rms rounding error of `losses`, by Monte Carlo arithmetic on the layers above.

        It is measured from STARTS layers alone; the nearest one at or below the tensor counts,
        above which the noise is at least as large.  A step along one use of a tensor is rounded
        there alone: what cancels between the uses of a tensor does not cancel then.
        """
        start = self._first_layer(name)
        start -= start % -(-max(len(self.architecture.layers), 1) // STARTS)
        key = start, name in self.architecture.named_slots
        if key not in self._noise:
            noise = Noise(stream(0, f"noise above layer {start}"), "float64", REPLICAS)
            loss = self._run(*self._noisy_from(*key, noise)).loss
            errors = np.asarray(loss) - self.trace.loss
            spread = rms(np.broadcast_to(errors, (REPLICAS,)))
            self._noise[key] = UNIT["float64"] / noise.unit * float(spread)
        return self._noise[key]

    def _first_layer(self, name: str) -> int:
        """The first layer that takes a tensor; the number of layers where only losses do."""
        a = self.architecture
        slots = (a.named_slots[name],) if name in a.named_slots else a.slots_of(name)
        layers = (slot.site.partition("layers.")[2] for slot in slots)
        return min(int(number) if number else len(a.layers) for number in layers)

    def _noisy_from(self, start: int, each_use: bool, noise: Noise) -> tuple[Case, Change]:
        """A pass from layer `start` on with noise, where all that it is given is rounded too.

        A step is lost in that rounding, and differences of close values would not show it.
        With `each_use` every use of what is given is rounded by itself.
        """
        a, base, case = self.architecture, self._replicated(noise), noisy(self.case, noise)
        below = (n for n in (edge_name(i) for i in range(start + 1)) if n in base.edges)
        leaves = (i for i in range(start, len(a.layers)) if not a.sources[i])
        given = {n for i in leaves for n in a.own[i].values()}
        if a.penalties:
            given |= set(filter(is_weight, a.parameters))
        edges: Arrays = {n: base.edges[n] * 1.0 for n in below}
        parameters = {n: case.parameters[n] * 1.0 for n in sorted(given)}
        slots = a.named_slots.values() if each_use else ()
        entering: Arrays = {**base.edges, **case.parameters}
        uses = {s.name: entering[s.source] * 1.0 for s in slots if s.source in edges | parameters}
        return case, Change(base, edges, parameters, uses)

    def _replicated(self, noise: Noise) -> network.Trace:
        edges: Arrays = {n: replicate(x, noise) for n, x in self.trace.edges.items()}
        return replace(self.trace, edges=edges)

    def entry_losses(self, name: str, entries: Array, step: Array | float) -> Array:
        """The loss with `step` added to one entry of a tensor, for each of the flat `entries`.

        `step` is one number, or one for each.  In a chain of dense layers a rank-1 update
        replaces the layer (`columns.py`).
        """
        steps = np.broadcast_to(step, entries.shape)
        if self._columns.fits(name):
            return self._columns.losses(name, entries, steps)
        shape = self.tensor(name).shape
        offsets = np.zeros((len(entries), *shape))
        offsets.reshape(len(entries), -1)[np.arange(len(entries)), entries] = steps
        return self.losses(name, offsets)

    def chunks(self, name: str, copies: int) -> Iterator[Array]:
        """The flat entries of a tensor in chunks whose copies stay within MEMORY."""
        size = self.tensor(name).size
        widest = max(e.size for e in (*self.trace.edges.values(), self.tensor(name)))
        chunk = max(1, MEMORY // (8 * copies * widest))
        for begin in range(0, size, chunk):
            yield np.arange(begin, min(begin + chunk, size))

    def reach(self, name: str, offsets: Array, *, strict: bool = False) -> tuple[Array, Array]:
        """How far along each of `offsets` the loss stays on one scale, and its grain; (d,) each.

        The reach is the least t at which t * offset moves some edge by the radius of a
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
            both, there = np.concatenate([offsets, offsets]), np.concatenate([reach, -reach]) / 4
            bent = self._steps(name, both, there)[0].min(axis=1).reshape(2, d).min(axis=0)
            if not (bent < reach / 2).any():
                break
            reach = np.where(bent < reach / 2, np.sqrt(reach) * np.sqrt(bent), reach)
        return reach, grain

    def _steps(self, name: str, offsets: Array, t: Array) -> tuple[Array, Array]:
        """For each watched entry the step to its radius, and its grain, at its rate over t (d,).

        Watched are the edges that move, and what moves inside layers.
        """
        d = len(offsets)
        t_offsets = t.reshape(d, *(1,) * (offsets.ndim - 1)) * offsets
        trace = self.perturbed(name, t_offsets)
        watched = [n for n, x in trace.edges.items() if x is not self.trace.edges[n]]
        inner = [s for s, kept in trace.saved.items() if kept is not self.trace.saved[s]]
        moved = [_rows(trace.edges[n], self.trace.edges[n], d) for n in watched]
        slot = self.architecture.named_slots.get(name)
        if slot is not None and slot.source in self.trace.edges:  # a loss alone may take it
            moved.append(_rows(self.tensor(name) + t_offsets, self.tensor(name), d))
            watched.append(slot.source)
        base, radius = self._flat(tuple(watched), tuple(inner))
        for site in inner:
            pairs = zip(self._inner(site, trace), self._inner(site, self.trace), strict=True)
            moved += [_rows(value, still, d) for (value, _), (still, _) in pairs]
        with np.errstate(all="ignore"):
            rate = np.abs((np.concatenate(moved, axis=1) - base) / t[:, None])
            steps = np.where(rate > 0, radius / rate, np.inf)
            grains = np.where(rate > 0, UNIT["float64"] * np.abs(base) / rate, 0.0)
        return steps, grains

    def _inner(self, site: str, trace: network.Trace) -> tuple[tuple[Array, Any], ...]:
        kind, _, number = site.partition(".")
        if kind != "layers":
            return ()
        layer = self.architecture.layers[int(number)]
        find = LAYERS[type(layer)].inner
        return tuple(find(layer, trace.saved[site])) if find else ()

    def _flat(self, edges: tuple[str, ...], inner: tuple[str, ...]) -> tuple[Array, Array]:
        """All base values at these edges and inside these layers, and the radius of each."""
        key = "/".join((*edges, "", *inner))
        if key not in self._flattened:
            pairs = [(self.trace.edges[n], self._radius[n]) for n in edges]
            pairs += [pair for site in inner for pair in self._inner(site, self.trace)]
            values, radii = [], []
            for x, radius in pairs:
                size = np.max(np.abs(x), initial=0.0) or np.inf
                radius = np.broadcast_to(radius, x.shape)
                values.append(x.ravel())
                radii.append(np.where(np.isinf(radius), size, radius).ravel())
            self._flattened[key] = np.concatenate(values), np.concatenate(radii)
        return self._flattened[key]

    @cached_property
    def _radius(self) -> dict[str, Array | float]:
        """The radius, entry by entry, of the functions that take each edge: the least."""
        a, trace = self.architecture, self.trace
        found: dict[str, Array | float] = dict.fromkeys(a.edges, np.inf)

        def meet(names: tuple[str, ...], radius: Array | float) -> None:
            for name in names:
                found[name] = np.minimum(found[name], radius)

        for i, layer in enumerate(a.layers):
            names = a.sources[i]
            find = LAYERS[type(layer)].radius
            if names:
                x = network.one_or_all([trace.edges[n] for n in names])
                meet(names, find(layer, x) if find else 1.0)
        for site, loss in a.losses.items():
            names = a.loss_sources[site]
            shape = a.edges[names[0]]
            flat = flat_shape(loss, shape)
            find = LOSSES[type(loss)].radius
            if find is None:
                meet(names, 1.0)
                continue
            y = network.one_or_all([trace.edges[n].reshape(flat) for n in names])
            radius = find(loss, y, network.flat_target(self.case, site))
            meet(names, np.broadcast_to(radius, flat).reshape(shape))
        return found


def _rows(moved: Array, still: Array, d: int) -> Array:
    """Perturbed values as d rows of entries."""
    return np.broadcast_to(moved, (d, *still.shape)).reshape(d, -1)
