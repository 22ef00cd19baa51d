"""A verdict as data, and how the comparisons of one case are rolled up into it.

* A subject is blamed where checkers that disagree with it agree with each other.  One
  checker alone against others that contradict it is itself the odd one out: an ERROR of the
  harness.  So are finite differences and complex step against both frameworks: they
  differentiate one forward, which the frameworks have written each for itself.  One whose
  bounds are too wide to see the difference contradicts nobody.
* A PASS needs every tensor confirmed by two checkers (by all, where fewer were asked), each
  at a resolution that proves something.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from ..architectures.architecture import Architecture, is_weight
from .checks import Check
from .comparison import Comparison, Status

NEEDED = 2
"""How many independent checkers must confirm a tensor."""


OF_ONE_FORWARD = frozenset({"finite_differences", "complex_step"})
"""The checkers that differentiate the reference's forward; a framework has one of its own."""


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
    pass, `checks` what was asked of a foreign subject beyond values.
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
    checks: tuple[Check, ...] = ()

    @property
    def failed_checks(self) -> tuple[str, ...]:
        """What failed beyond values, unexpectedly, where that is all that failed; the first."""
        return self.all_failed_checks[:1]

    @property
    def all_failed_checks(self) -> tuple[str, ...]:
        """The same, all of them."""
        if self.operator:
            return ()
        return tuple(c.name for c in self.checks if c.status == "FAIL" and not c.expected)


_WORST: tuple[Status, ...] = (
    "FAIL", "ERROR", "TIMEOUT", "INCONCLUSIVE", "UNSUPPORTED", "PASS",
)  # fmt: skip


def worst(statuses: Iterable[Status]) -> Status:
    """The status that decides among several."""
    return min(statuses, key=_WORST.index)


def with_checks(verdict: Verdict, checks: tuple[Check, ...]) -> Verdict:
    """The verdict with what was asked beyond values; the first that fails unexpectedly fails it."""
    verdict = msgspec.structs.replace(verdict, checks=checks)
    failed = [c for c in checks if c.status == "FAIL" and not c.expected]
    if verdict.status == "FAIL" or not failed:
        return verdict
    reason = f"{failed[0].name}: {failed[0].detail}"
    return msgspec.structs.replace(verdict, status="FAIL", reason=reason)


Agree = Callable[[Sequence[str], str], bool]
"""Whether these checkers agree with each other on a tensor."""


def conclude(
    architecture: Architecture,
    comparisons: Sequence[Comparison],
    skipped: Sequence[CheckerVerdict],
    asked: int,
    agree: Agree,
    convention: str = "",
) -> Verdict:
    """Roll the comparisons of one case up: who is wrong, and has enough been proved?

    `skipped` are the checkers that could not say; `asked` counts all that were asked.
    """
    tensors = _grouped(comparisons, lambda c: c.tensor)
    finest = [r for group in tensors.values() if (r := _finest(group)) is not None]

    def verdict(status: Status, reason: str = "", tensor: str = "") -> Verdict:
        return Verdict(
            status,
            reason,
            max(finest, default=None),
            producer(architecture, tensor) if tensor else "",
            tensor,
            convention,
            (*by_checker(comparisons), *skipped),
            by_operator(architecture, comparisons),
            tuple(c for c in comparisons if c.status != "PASS"),
        )

    for tensor, group in tensors.items():
        if any(c.status == "FAIL" for c in group):
            if tensor == "loss" and (odd := _odd_elsewhere(tensors, agree)):
                return verdict(*odd)
            return verdict(*_blame(tensor, group, agree), tensor)
    broken = next((c for c in skipped if c.status == "ERROR"), None)
    if broken:
        return verdict("ERROR", f"{broken.checker}: {broken.reason}")
    if not tensors:
        return verdict("INCONCLUSIVE", "nothing was compared")
    for tensor, group in tensors.items():
        confirmed = sum(c.status == "PASS" for c in group)
        # only the frameworks have a forward pass of their own to compare the loss with
        needed = min(NEEDED, len(group) if tensor == "loss" else asked)
        if confirmed < needed:
            why = next((c.reason for c in group if c.status != "PASS"), "too few checkers")
            return verdict("INCONCLUSIVE", f"{tensor} is confirmed by {confirmed}: {why}", tensor)
    return verdict("PASS")


def _odd_elsewhere(
    tensors: Mapping[str, Sequence[Comparison]], agree: Agree
) -> tuple[Status, str, str] | None:
    """Whether a framework that alone knows the loss is the odd one out on a gradient.

    Of the loss itself nobody else has an opinion.
    """
    knows = {c.checker for c in tensors["loss"]}
    for tensor, group in tensors.items():
        failing = {c.checker for c in group if c.status == "FAIL"}
        if tensor != "loss" and len(knows) == 1 and failing == knows:
            status, reason = _blame(tensor, group, agree)
            if status == "ERROR":
                return status, f"{reason}; it disagrees on the loss as well", tensor
    return None


def _blame(tensor: str, group: Sequence[Comparison], agree: Agree) -> tuple[Status, str]:
    """Who is wrong about a tensor: the subject, or a checker; and who agrees with whom."""
    failing = [c for c in group if c.status == "FAIL"]
    names, passing = [c.checker for c in failing], [c.checker for c in group if c.status == "PASS"]
    against = [p for p in passing if not all(agree([n, p], tensor) for n in names)]
    if len(names) == 1 and against:
        return "ERROR", (
            f"{names[0]} is the odd one out on {tensor}: the subject agrees with {listed(against)}"
        )
    if not agree(names, tensor):
        return "ERROR", f"the checkers disagree on {tensor}: {_camps(tensor, names, agree)}"
    own_forward = [c for c in against if c not in OF_ONE_FORWARD]
    if OF_ONE_FORWARD.issuperset(names) and len(own_forward) > 1:
        return "ERROR", (
            f"{listed(names)}, which differentiate one forward, are the odd ones out on {tensor}: "
            f"the subject agrees with {listed(own_forward)}, which have their own"
        )
    words = f"{tensor} disagrees with {listed(names)}"
    words += " alone" if len(names) == 1 else ", which agree with each other"
    if against:
        words += f", and agrees with {listed(against)}"
        words += "" if own_forward else ", which differentiate the same forward"
    worst_one = max(failing, key=lambda c: c.ratio)
    detail = worst_one.reason or f"error {worst_one.error:.3g}, bound {worst_one.bound:.3g}"
    return "FAIL", f"{words}; {detail}"


def _camps(tensor: str, names: Sequence[str], agree: Agree) -> str:
    """Checkers that disagree, in words: who agrees with whom, where anybody does."""
    camps: list[list[str]] = []
    for name in names:
        mine = next((c for c in camps if all(agree([n, name], tensor) for n in c)), None)
        if mine is None:
            camps.append([name])
        else:
            mine.append(name)
    if len(camps) == len(names):
        return listed(names)
    together = (f"{listed(c)} agree with each other" for c in camps if len(c) > 1)
    alone = [c[0] for c in camps if len(c) == 1]
    words = [*together, *((f"{listed(alone)} with nobody",) if alone else ())]
    return ", ".join([*words, "the subject with none of them"])


def failed(architecture: Architecture, comparisons: Sequence[Comparison], reason: str) -> Verdict:
    """A FAIL for a reason that needs no checker."""
    tensor = comparisons[0].tensor
    return Verdict(
        "FAIL",
        reason,
        operator=producer(architecture, tensor),
        tensor=tensor,
        operators=by_operator(architecture, comparisons),
        comparisons=tuple(comparisons),
    )


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


FAN_OUT = "fan_out"
"""Who adds up the cotangents of a tensor that is used several times."""


def producer(architecture: Architecture, tensor: str) -> str:
    """The operator whose backward pass produces a tensor's gradient.

    That of a tensor with several uses is their sum, made by `fan_out`.
    """
    a = architecture
    if tensor == "loss":
        return a.loss.name
    slot = a.named_slots.get(tensor)
    if slot is None:
        slots = a.slots_of(tensor)
        if len(slots) > 1:
            return FAN_OUT
        slot = slots[0]
    return operator_at(a, slot.site)


def operator_at(architecture: Architecture, site: str) -> str:
    """The name of the operator at a site `layers.I`, `loss`, `auxiliary.J` or `penalties.J`."""
    kind, _, number = site.partition(".")
    if kind == "layers":
        return architecture.layers[int(number)].name
    if kind == "penalties":
        penalty = architecture.penalties[int(number.split(".")[0])]
        return str(type(penalty).__struct_config__.tag)
    return architecture.losses[site].name


def by_checker(comparisons: Sequence[Comparison]) -> tuple[CheckerVerdict, ...]:
    """One row a checker: PASS where it confirms every tensor that it was asked about."""
    rows = []
    for name, group in _grouped(comparisons, lambda c: c.checker).items():
        passed = [c.resolution for c in group if c.status == "PASS" and c.resolution is not None]
        ratio = max(c.ratio for c in group)
        status = worst(c.status for c in group)
        rows.append(CheckerVerdict(name, status, ratio, max(passed, default=None)))
    return tuple(rows)


def by_operator(
    architecture: Architecture, comparisons: Sequence[Comparison]
) -> tuple[OperatorVerdict, ...]:
    """One row an operator, in backward order.

    The operator that produces the first wrong tensor FAILs; what is wrong behind it, also in
    another place where an operator of the same name stands, is undecided.
    """
    groups = _grouped(comparisons, lambda c: producer(architecture, c.tensor))
    weights = [
        c for c in comparisons if c.tensor in architecture.parameters and is_weight(c.tensor)
    ]
    if weights:  # a penalty's gradient shows in the weights' alone
        kinds = (f"penalties.{j}" for j in range(len(architecture.penalties)))
        groups |= dict.fromkeys((operator_at(architecture, site) for site in kinds), weights)
    wrong = (producer(architecture, c.tensor) for c in comparisons if c.status == "FAIL")
    culprit = next(wrong, None)
    rows: list[OperatorVerdict] = []
    for operator, group in groups.items():
        tensors = _grouped(group, lambda c: c.tensor).values()
        if any(c.status == "FAIL" for c in group):
            status: Status = "FAIL" if operator == culprit else "INCONCLUSIVE"
        elif all(any(c.status == "PASS" for c in tensor) for tensor in tensors):
            status = "PASS"
        else:
            status = "INCONCLUSIVE"
        finest = [r for tensor in tensors if (r := _finest(tensor)) is not None]
        ratio = max(c.ratio for c in group)
        rows.append(OperatorVerdict(operator, status, ratio, max(finest, default=None)))
    return tuple(rows)


def _finest(group: Sequence[Comparison]) -> float | None:
    """The finest resolution at which a tensor was confirmed."""
    passed = [c.resolution for c in group if c.status == "PASS" and c.resolution is not None]
    return min(passed, default=None)


def _grouped(
    comparisons: Iterable[Comparison], key: Callable[[Comparison], str]
) -> dict[str, list[Comparison]]:
    groups: dict[str, list[Comparison]] = {}
    for c in comparisons:
        groups.setdefault(key(c), []).append(c)
    return groups
