"""The verdict on one case: is this backward pass right?

The subject's gradients are held against every checker's, tensor by tensor
(`comparison.py`).  Then:

* A structural fault (a missing gradient, a wrong shape or dtype) is a FAIL.
* What fails is looked at again, twice, with 256 fresh rounding replicas of the normwise
  model, fresh directions and other steps; only a disagreement that persists counts.
* A subject is blamed where checkers that disagree with it agree with each other.  One
  checker alone against the others is itself the odd one out: an ERROR of the harness.
* A PASS needs every tensor confirmed by two checkers of the four (by all, where fewer were
  asked), each at a resolution that proves something.
* On the exact lane every comparison is bit for bit; at ties, see `ties.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import msgspec
import numpy as np

from ..architectures.cases import Case, stream
from ..architectures.exactness import is_exact
from ..reference import network
from ..reference.arrays import Array
from . import complex_step, finite_differences, rounding, ties
from .comparison import ALPHA, Comparison, Status, compare, same_bits
from .estimate import Estimate, Unsupported
from .rounding import Rounding, promote

CheckerName = Literal["finite_differences", "complex_step", "jax", "torch"]
CHECKERS: tuple[CheckerName, ...] = get_args(CheckerName)

Subject = Callable[[Case], tuple[Array, Mapping[str, Array]]]
"""What is under test: from a case to the loss and the gradients by tensor, in its dtype.

Every parameter is required; `input` and the edges `layers.I.output` where it gives them.
"""

NEEDED = 2
"""How many independent checkers must confirm a tensor."""


class OperatorVerdict(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the case says of one operator: the worst of the tensors that it produces."""

    operator: str
    status: Status
    ratio: float = 0.0
    resolution: float | None = None


class CheckerVerdict(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one checker says of the subject over all tensors."""

    checker: str
    status: Status
    ratio: float = 0.0
    resolution: float | None = None
    reason: str = ""


class Verdict(msgspec.Struct, frozen=True, omit_defaults=True):
    """The outcome of one case.

    `resolution` is the smallest relative error that would have been caught in its worst
    resolved tensor.  `operator` and `tensor` name where a FAIL first shows in backward
    order.  `convention` names the choice at ties.  `comparisons` holds those that did not
    pass.
    """

    status: Status
    reason: str = ""
    resolution: float | None = None
    operator: str = ""
    tensor: str = ""
    convention: str = ""
    checkers: tuple[CheckerVerdict, ...] = ()
    operators: tuple[OperatorVerdict, ...] = ()
    comparisons: tuple[Comparison, ...] = ()


@dataclass(frozen=True)
class Sources:
    """The subject's and the checkers' estimates of one case, and the rounding they share."""

    subject: Estimate
    checkers: tuple[Estimate, ...]
    rounding: Rounding


def reference_subject(case: Case) -> tuple[Array, Mapping[str, Array]]:
    """Our own hand-derived backward pass, as the subject."""
    with np.errstate(all="ignore"):
        return network.value_and_gradients(case)


def verify(
    case: Case,
    subject: Subject = reference_subject,
    *,
    checkers: Sequence[CheckerName] = CHECKERS,
    exhaustive: bool = False,
) -> Verdict:
    """Hold a subject's gradients of one case against the checkers'; never raises for them."""
    loss, gradients = subject(case)
    broken = structural_faults(case, loss, gradients)
    if broken:
        return _failed(case, broken, broken[0].reason)
    measured = rounding.measure(case, seed=case.seed)
    if measured.overflows:
        return Verdict("INCONCLUSIVE", f"values leave the range of {case.dtype}")

    found, skipped = estimates(case, checkers, exhaustive=exhaustive)
    entries = {name: np.asarray(g) for name, g in gradients.items()}
    given = Estimate("subject", float(loss), entries={**entries, "loss": np.asarray(loss)})
    sources = Sources(given, found, measured)
    allowed = measured.factor(ALPHA)
    tied = ties.find(case, measured, allowed)
    undecided: Mapping[str, Array] = {}
    if tied:
        undecided = ties.undecided(case, tied)
        if any(undecided[name].any() for name in ties.gradient_names(case)):
            return _verify_at_ties(case, subject, sources, skipped, tied, checkers)

    names = [
        name
        for name in ("loss", *network.tensor_names(case.architecture))
        if name in given.entries and not (name in undecided and undecided[name].any())
    ]
    if case.lane == "exact" and is_exact(case.architecture, case.dtype):
        comparisons = [same_bits(given, c, name) for name in names for c in found
                       if name in c.entries]  # fmt: skip
    else:
        comparisons = _compare_all(case, sources, names)
    convention = "ties do not change any gradient" if tied else ""
    return _conclude(case, sources, comparisons, skipped, len(checkers), convention)


def structural_faults(
    case: Case, loss: Array, gradients: Mapping[str, Array]
) -> list[Comparison]:
    """What is wrong with the gradients before any value is looked at."""
    a = case.architecture
    shapes = dict(a.parameters)
    shapes |= {name: shape for name, shape in zip(_edge_names(case), a.edges, strict=True)}
    faults = []
    for name, shape in shapes.items():
        g = gradients.get(name)
        if g is None:
            if name in a.parameters:
                faults.append(_structural(name, f"the gradient of {name} is missing"))
            continue
        got = getattr(g, "shape", None)
        if got != shape:
            faults.append(_structural(name, f"{name}: shape {got}, must be {shape}"))
        elif str(g.dtype) != case.dtype:
            faults.append(_structural(name, f"{name}: dtype {g.dtype}, must be {case.dtype}"))
    if np.shape(loss) != ():
        faults.append(_structural("loss", f"the loss has shape {np.shape(loss)}, must be ()"))
    return faults


def _edge_names(case: Case) -> list[str]:
    return [network.edge_name(i) for i in range(len(case.architecture.edges))]


def _structural(name: str, reason: str) -> Comparison:
    return Comparison("structure", name, "FAIL", np.inf, 0.0, np.inf, reason=reason)


# --- the checkers ---------------------------------------------------------------------


def directions(case: Case, seed: int) -> dict[str, Array]:
    """One Gaussian direction for each tensor, of shape (1, *shape)."""
    a = case.architecture
    shapes = {**a.parameters, **dict(zip(_edge_names(case), a.edges, strict=True))}
    return {
        name: stream(seed, f"direction/{name}").standard_normal((1, *shape))
        for name, shape in shapes.items()
    }


def estimates(
    case: Case,
    checkers: Sequence[CheckerName],
    *,
    exhaustive: bool = False,
    seed: int | None = None,
    shrink: float = 1.0,
) -> tuple[tuple[Estimate, ...], tuple[CheckerVerdict, ...]]:
    """Ask the checkers; those that cannot say, or break, are returned with the reason."""
    along = directions(case, case.seed if seed is None else seed)
    exact = case.lane == "exact" and is_exact(case.architecture, case.dtype)
    found, skipped = [], []
    for name in checkers:
        try:
            found.append(_estimate(name, case, along, exact, exhaustive, shrink))
        except Unsupported as reason:
            skipped.append(CheckerVerdict(name, "UNSUPPORTED", reason=str(reason)))
        except Exception as error:  # whatever a checker raises is that checker's ERROR
            text = f"{type(error).__name__}: {error}"
            skipped.append(CheckerVerdict(name, "ERROR", reason=text))
    return tuple(found), tuple(skipped)


def _estimate(
    name: CheckerName,
    case: Case,
    along: Mapping[str, Array],
    exact: bool,
    exhaustive: bool,
    shrink: float,
) -> Estimate:
    match name:
        case "finite_differences" if exact:
            return finite_differences.exact(case)
        case "finite_differences":
            return finite_differences.estimate(case, along, exhaustive=exhaustive, shrink=shrink)
        case "complex_step":
            return complex_step.estimate(case, along, exhaustive=exhaustive or exact)
        case "jax":
            from . import with_jax

            return _with_loss(with_jax.estimate(case))
        case "torch":
            from . import with_torch

            return _with_loss(with_torch.estimate(case))


def _with_loss(estimate: Estimate) -> Estimate:
    """A framework has its own forward, so its loss is compared as well."""
    return replace(estimate, entries={**estimate.entries, "loss": np.asarray(estimate.loss)})


# --- comparing ------------------------------------------------------------------------


def _compare_all(case: Case, sources: Sources, names: Sequence[str]) -> list[Comparison]:
    """Every tensor against every checker, the failures looked at three times."""
    pairs = [(c, n) for n in names for c in sources.checkers if _says(c, n)]
    alpha = ALPHA / max(len(pairs), 1)
    first = [compare(sources.subject, c, n, sources.rounding, alpha) for c, n in pairs]
    failed = {(c.checker, c.tensor) for c in first if c.status == "FAIL" and np.isfinite(c.error)}
    again = {}
    for look, shrink in ((1, 0.7), (2, 0.3)):
        if not failed:
            break
        seed = case.seed + look * 2**32
        fresh = rounding.measure(
            case, replicas=rounding.SECOND_LOOK, seed=seed, normwise=True
        )
        numerical: list[CheckerName] = [
            "finite_differences" if c == "finite_differences" else "complex_step"
            for c in sorted({c for c, _ in failed} & {"finite_differences", "complex_step"})
        ]
        redrawn, _ = estimates(case, numerical, seed=seed, shrink=shrink)
        by_name = {e.checker: e for e in (*sources.checkers, *redrawn)}
        if "complex_step" in numerical:
            tensors = {n for c, n in failed if c == "complex_step"}
            by_name["complex_step"] = _with_own_rounding(
                case, by_name["complex_step"], tensors, fresh.factor(alpha), seed
            )
        for checker, tensor in sorted(failed):
            c = compare(sources.subject, by_name[checker], tensor, fresh, alpha)
            again[checker, tensor] = c
        failed = {key for key in failed if again[key].status == "FAIL"}
    return [again.get((c.checker, c.tensor), c) for c in first]


def _with_own_rounding(
    case: Case, estimate: Estimate, tensors: set[str], factor: float, seed: int
) -> Estimate:
    """Complex step with the bound on its own rounding, for the tensors where it is needed."""
    probe = complex_step.Probe(case)
    bounds = {
        name: factor
        * complex_step.own_rounding(
            probe, name, estimate.directional[name][0], rounding.SECOND_LOOK, seed
        )
        for name in tensors
        if name in estimate.directional
    }
    return replace(estimate, bounds=bounds)


def _says(checker: Estimate, tensor: str) -> bool:
    return tensor in checker.entries or tensor in checker.directional


def _verify_at_ties(
    case: Case,
    subject: Subject,
    sources: Sources,
    skipped: tuple[CheckerVerdict, ...],
    tied: tuple[ties.Tie, ...],
    checkers: Sequence[CheckerName],
) -> Verdict:
    """The subject, JAX and PyTorch against the hulls of the gradients on nearby pieces."""
    names = ties.gradient_names(case)
    size = sum(sources.subject.entries[n].size for n in names if n in sources.subject.entries)
    if len(tied) > ties.MOST_TIES or size > ties.MOST_ENTRIES:
        return _break_ties(case, subject, len(tied), checkers)
    names = tuple(n for n in names if n in sources.subject.entries)
    hulls = Hulls(case, tied, names, sources.rounding)
    if not np.isfinite(hulls.scale):
        return Verdict("INCONCLUSIVE", "a gradient beside the tie is not finite")
    g = ties.flatten(sources.subject.entries, names)
    if not np.isfinite(g).all():
        bad = next(n for n in names if not np.isfinite(sources.subject.entries[n]).all())
        return _failed(case, [_structural(bad, f"{bad} is not finite")], f"{bad} is not finite")
    place, distance = hulls.place(g)
    frameworks = [c for c in sources.checkers if c.checker in ("jax", "torch")]
    others = {c.checker: ties.flatten(c.entries, names) for c in frameworks}
    verdicts = list(skipped)
    for checker in sources.checkers:
        if checker.checker in others:
            where, _ = hulls.place(others[checker.checker])
            status: Status = "FAIL" if where == "outside" else "PASS"
            reason = f"its own gradient is {where} the hull"
            verdicts.append(CheckerVerdict(checker.checker, status, reason=reason))
    odd = [v.checker for v in verdicts if v.status == "FAIL"]
    numeric: Status = "FAIL" if place == "outside" else "PASS"
    ratio = distance / hulls.tolerance if hulls.tolerance else 0.0
    resolution = hulls.tolerance / hulls.scale if hulls.scale else None
    for name in ("complex_step", "finite_differences"):
        if name in checkers and (name == "complex_step" or hulls.confirmed):
            verdicts.append(CheckerVerdict(name, numeric, ratio, resolution))
    operators = tuple(
        OperatorVerdict(op, numeric, ratio, resolution) for op in case.architecture.operators
    )
    at = _at_ties(tied)
    if place == "outside":
        reason = f"outside the hull of the gradients on both sides of {at}"
        return Verdict("FAIL", reason, resolution, operator=_tied_operator(case, tied[0]),
                       tensor=names[0], checkers=tuple(verdicts), operators=operators)  # fmt: skip
    if odd:
        reason = f"{odd[0]} is the odd one out: outside the hull at {at}"
        return Verdict("ERROR", reason, resolution, checkers=tuple(verdicts))
    convention = f"at {at}: {hulls.convention(g, others)}"
    if place == "combination":
        convention += "; a conservative gradient, outside Clarke's subdifferential"
    return Verdict("PASS", "", resolution, convention=convention, checkers=tuple(verdicts),
                   operators=operators)  # fmt: skip


class Hulls:
    """The gradients on the pieces around one tie point, and where a gradient lies in them."""

    def __init__(
        self, case: Case, tied: tuple[ties.Tie, ...], names: tuple[str, ...], measured: Rounding
    ) -> None:
        self.case, self.tied, self.names, self.measured = case, tied, names, measured
        self._nearby = self._gradients(ties.realised(case, tied, case.seed))
        sides = [np.zeros(len(tied), bool), np.ones(len(tied), bool)]
        self.left, self.right = self._gradients(sides)
        self._all: Array | None = None
        vertices = np.concatenate([self._nearby, [self.left, self.right]])
        self.scale = float(np.max(np.linalg.norm(vertices, axis=1)))
        self.tolerance = self._tolerance(len(vertices))
        self.confirmed = self._confirm()

    def _gradients(self, masks: list[Array]) -> Array:
        full = ties.gradient_names(self.case)
        rows = ties.piece_gradients(self.case, self.tied, masks)
        sizes = [self._size(n) for n in full]
        keep = np.concatenate(
            [np.full(s, n in self.names) for n, s in zip(full, sizes, strict=True)]
        )
        return rows[:, keep]

    def _size(self, name: str) -> int:
        a = self.case.architecture
        return int(np.prod(a.input if name == "input" else a.parameters[name]))

    def _tolerance(self, vertices: int) -> float:
        """Rounding on either side of every tie, and the backward error of least squares."""
        base = rounding.promote(self.case)
        a = base.architecture
        pieces = network.forward(a, base.parameters, base.input, base.target).branches
        spreads = []
        for right in (False, True):
            mask = np.full(len(self.tied), right)
            measured = rounding.measure(
                self.case, seed=self.case.seed, branches=ties.choose(pieces, self.tied, mask)
            )
            spreads.append(np.sqrt(sum(measured.norm(n) ** 2 for n in self.names)))
        squares = 8 * vertices * rounding.UNIT["float64"] * self.scale
        return float(measured.factor(ALPHA) * max(spreads) + squares)

    def _confirm(self) -> bool:
        """Whether finite differences on the left pieces confirm complex step there."""
        base = promote(self.case)
        a = base.architecture
        pieces = network.forward(a, base.parameters, base.input, base.target).branches
        probe = finite_differences.Probe(
            self.case, ties.choose(pieces, self.tied, np.zeros(len(self.tied), bool))
        )
        for name, v in directions(self.case, self.case.seed).items():
            value, bound = finite_differences.along(probe, name, v)
            exact = complex_step.along(probe, name, v)
            allowed = bound + self.measured.factor(ALPHA) * self.measured.along(name, v)
            if not (np.abs(value - exact) <= allowed).all():
                return False
        return True

    def place(self, g: Array) -> tuple[str, float]:
        """`nearby`, `combination` or `outside`, and the distance to the last hull tried."""
        if not np.isfinite(g).all():
            return "outside", np.inf
        distance = ties.distance_to_hull(self._nearby, g)
        if distance <= self.tolerance:
            return "nearby", distance
        if self._all is None:
            self._all = self._gradients(ties.all_masks(self.tied))
        distance = ties.distance_to_hull(self._all, g)
        return ("combination" if distance <= self.tolerance else "outside"), distance

    def convention(self, g: Array, frameworks: Mapping[str, Array]) -> str:
        """In words, which choice g is."""
        sides = {"the left derivative": self.left, "the right derivative": self.right}
        if len(self.tied) == 1:
            sides["the mean of both derivatives"] = (self.left + self.right) / 2
        words = [w for w, v in sides.items() if np.linalg.norm(v - g) <= self.tolerance]
        words += [
            f"as {_TITLE[name]}"
            for name, v in frameworks.items()
            if np.linalg.norm(v - g) <= self.tolerance
        ]
        return ", ".join(words) or "a convex combination"


_TITLE = {"jax": "JAX", "torch": "PyTorch"}


def _at_ties(tied: tuple[ties.Tie, ...]) -> str:
    sites = ", ".join(sorted({t.site for t in tied}))
    return f"{len(tied)} tie{'s' if len(tied) > 1 else ''} in {sites}"


def _tied_operator(case: Case, tie: ties.Tie) -> str:
    a = case.architecture
    if tie.site == "loss":
        return a.loss.name
    if tie.site.startswith("penalties"):
        return a.operators[len(a.layers) + 1 + int(tie.site.split(".")[1])]
    return a.layers[int(tie.site.split(".")[1])].name


def _break_ties(
    case: Case, subject: Subject, count: int, checkers: Sequence[CheckerName]
) -> Verdict:
    """Too many ties to enumerate: move a little off the point and verify there."""

    def move(name: str, x: Array) -> Array:
        scale = np.max(np.abs(x), initial=0.0) or 1.0
        noise = stream(case.seed, f"off the tie/{name}").standard_normal(x.shape)
        return (x + 2.0**-10 * scale * noise).astype(x.dtype)

    moved = replace(
        case,
        lane="generic",
        parameters={name: move(name, x) for name, x in case.parameters.items()},
        input=move("input", case.input),
        target=case.target if case.target.dtype == np.int64 else move("target", case.target),
    )
    tied = ties.find(moved, rounding.measure(moved, seed=case.seed), 10.0)
    if tied and any(ties.undecided(moved, tied)[n].any() for n in ties.gradient_names(moved)):
        return Verdict("INCONCLUSIVE", f"{count} ties, which a small move does not break")
    verdict = verify(moved, subject, checkers=checkers)
    note = f"{count} ties, too many to enumerate; verified at a point close by"
    return msgspec.structs.replace(verdict, convention=note)


# --- concluding -----------------------------------------------------------------------


def _conclude(
    case: Case,
    sources: Sources,
    comparisons: list[Comparison],
    skipped: tuple[CheckerVerdict, ...],
    asked: int,
    convention: str,
) -> Verdict:
    """Roll the comparisons up: who is wrong, and has enough been proved?"""
    checkers = (*_by_checker(comparisons), *skipped)
    operators = _by_operator(case, comparisons)
    not_passed = tuple(c for c in comparisons if c.status != "PASS")
    resolutions = [c.resolution for c in comparisons if c.status == "PASS" and c.resolution]
    by_tensor: dict[str, list[Comparison]] = {}
    for c in comparisons:
        by_tensor.setdefault(c.tensor, []).append(c)
    best = [
        min(r) for cs in by_tensor.values()
        if (r := [c.resolution for c in cs if c.status == "PASS" and c.resolution is not None])
    ]  # fmt: skip
    resolution = max(best) if resolutions else (0.0 if best else None)

    def verdict(status: Status, reason: str, tensor: str = "") -> Verdict:
        operator = _producer(case, tensor) if tensor else ""
        return Verdict(status, reason, resolution, operator, tensor, convention, checkers,
                       operators, not_passed)  # fmt: skip

    for tensor, group in by_tensor.items():
        failing = [c for c in group if c.status == "FAIL"]
        if not failing:
            continue
        passing = [c.checker for c in group if c.status == "PASS"]
        names = [c.checker for c in failing]
        if len(names) == 1 and passing:
            words = f"{names[0]} is the odd one out on {tensor}: the subject, {_and(passing)} agree"
            return verdict("ERROR", words, tensor)
        if not _agree(sources, names, tensor):
            return verdict("ERROR", f"the checkers disagree on {tensor}: {_and(names)}", tensor)
        words = f"{tensor} disagrees with {_and(names)}" + (" alone" if len(names) == 1 else "")
        if passing:
            words += f", and agrees with {_and(passing)}, which differentiate the same forward"
        worst = max(failing, key=lambda c: c.ratio)
        detail = worst.reason or f"error {worst.error:.3g}, bound {worst.bound:.3g}"
        return verdict("FAIL", f"{words}; {detail}", tensor)
    broken = next((c for c in skipped if c.status == "ERROR"), None)
    if broken:
        return verdict("ERROR", f"{broken.checker}: {broken.reason}")
    needed = min(NEEDED, asked)
    for tensor, group in by_tensor.items():
        confirmed = sum(c.status == "PASS" for c in group)
        if confirmed < (min(needed, len(group)) if tensor == "loss" else needed):
            why = next((c.reason for c in group if c.status != "PASS"), "too few checkers")
            return verdict("INCONCLUSIVE", f"{tensor} is confirmed by {confirmed}: {why}", tensor)
    if not by_tensor:
        return verdict("INCONCLUSIVE", "nothing was compared")
    return verdict("PASS", "")


def _agree(sources: Sources, names: list[str], tensor: str) -> bool:
    """Whether these checkers agree with each other on a tensor."""
    if sources.checkers and len(names) > 1:
        group = [c for c in sources.checkers if c.checker in names]
        first, *rest = group
        return all(
            compare(first, c, tensor, sources.rounding, ALPHA).status != "FAIL" for c in rest
        )
    return True


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _failed(case: Case, comparisons: list[Comparison], reason: str) -> Verdict:
    tensor = comparisons[0].tensor
    operator = _producer(case, tensor)
    operators = _by_operator(case, comparisons)
    return Verdict("FAIL", reason, None, operator, tensor, operators=operators,
                   comparisons=tuple(comparisons))  # fmt: skip


_WORST: tuple[Status, ...] = (
    "FAIL", "ERROR", "TIMEOUT", "INCONCLUSIVE", "UNSUPPORTED", "PASS",
)  # fmt: skip


def worst(statuses: Sequence[Status]) -> Status:
    """The status that decides among several."""
    return min(statuses, key=_WORST.index)


def _by_checker(comparisons: Sequence[Comparison]) -> list[CheckerVerdict]:
    names = dict.fromkeys(c.checker for c in comparisons)
    rolled = []
    for name in names:
        group = [c for c in comparisons if c.checker == name]
        resolutions = [c.resolution for c in group if c.resolution is not None]
        ratio = max(c.ratio for c in group)
        status = "FAIL" if any(c.status == "FAIL" for c in group) else (
            "PASS" if any(c.status == "PASS" for c in group) else "INCONCLUSIVE"
        )  # fmt: skip
        rolled.append(CheckerVerdict(name, status, ratio, max(resolutions, default=None)))
    return rolled


def _producer(case: Case, tensor: str) -> str:
    """The operator whose backward pass produces a tensor's gradient."""
    layers = case.architecture.layers
    if tensor == "loss":
        return case.architecture.loss.name
    i = 0 if tensor == "input" else int(tensor.split(".")[1])
    if tensor.endswith(".output"):
        i += 1
    return layers[i].name if i < len(layers) else case.architecture.loss.name


def _by_operator(case: Case, comparisons: Sequence[Comparison]) -> tuple[OperatorVerdict, ...]:
    """Per operator; what lies downstream of the first failure, backwards, is inconclusive."""
    groups: dict[str, list[Comparison]] = {}
    for c in comparisons:
        groups.setdefault(_producer(case, c.tensor), []).append(c)
    rolled: list[OperatorVerdict] = []
    failed = False
    for operator, group in groups.items():
        confirmed: dict[str, list[Comparison]] = {}
        for c in group:
            confirmed.setdefault(c.tensor, []).append(c)
        status: Status = "PASS"
        if any(c.status == "FAIL" for c in group):
            status = "INCONCLUSIVE" if failed else "FAIL"
            failed = True
        elif any(sum(c.status == "PASS" for c in cs) == 0 for cs in confirmed.values()):
            status = "INCONCLUSIVE"
        resolutions = [c.resolution for c in group if c.resolution is not None]
        ratio = max(c.ratio for c in group)
        rolled.append(OperatorVerdict(operator, status, ratio, min(resolutions, default=None)))
    penalties = case.architecture.operators[len(case.architecture.layers) + 1 :]
    dense = next((o for o in rolled if o.operator == "dense"), None)
    if dense:
        rolled += [msgspec.structs.replace(dense, operator=p) for p in penalties]
    return tuple(rolled)
