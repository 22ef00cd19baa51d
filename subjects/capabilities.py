"""What a subject can do, and how it says that it cannot."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from ..architectures.architecture import Architecture
from ..architectures.cases import DType
from ..architectures.limits import LOSS_NAMES, OPERATOR_NAMES
from ..architectures.operators import ACTIVATIONS, Dense

Gives = Literal["input", "edges"]
PENALTIES = ("l1", "l2")


class Capabilities(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a subject says that it can do; it is asked for nothing else.

    `operators`, `losses` and `penalties` by name; null stands for all of them.  `attributes`
    names an operator or a loss, an attribute of it, and the values that this may have, such as
    {"cross_entropy": {"label_smoothing": [0.0]}}; others may have any.  `graphs` says
    whether an edge may be used several times, and layers may take other edges than the one
    before them; with `perceptrons` it is asked for multilayer perceptrons alone: dense layers
    with biases on (batch, features), one kind of activation between them.  `gives` names what
    it returns beside the parameters' gradients: the input's, or the cotangent of every edge.
    One that `accumulates` can be asked to add to the gradients of the call before.
    `expected_failures` maps checks that are known to fail to the reason.  ValueError for a
    name that does not exist.
    """

    name: str = ""
    operators: tuple[str, ...] | None = None
    losses: tuple[str, ...] | None = None
    penalties: tuple[str, ...] | None = None
    attributes: dict[str, dict[str, tuple[Any, ...]]] = {}
    dtypes: tuple[DType, ...] = ("float64",)
    graphs: bool = True
    perceptrons: bool = False
    gives: tuple[Gives, ...] = ()
    accumulates: bool = False
    expected_failures: dict[str, str] = {}

    def __post_init__(self) -> None:
        for field, names, known in (
            ("operators", self.operators, tuple(OPERATOR_NAMES)),
            ("losses", self.losses, tuple(LOSS_NAMES)),
            ("penalties", self.penalties, PENALTIES),
        ):
            if names is not None and not names and field != "penalties":
                raise ValueError(f"{field} must name at least one, or be null for all")
            for name in names or ():
                if name not in known:
                    raise ValueError(f"{field}: there is no {name!r}")
        for name, values in self.attributes.items():
            kind: Any = OPERATOR_NAMES.get(name) or LOSS_NAMES.get(name)
            if kind is None:
                raise ValueError(f"attributes: there is no {name!r}")
            for attribute in values:
                if attribute not in kind.__struct_fields__:
                    raise ValueError(f"attributes: {name} has no {attribute!r}")
        if not self.dtypes:
            raise ValueError("dtypes must name at least one")

    def refuses(self, architecture: Architecture) -> str:
        """Why a network is not for this subject; empty where it is."""
        a = architecture
        for kind, has, can in (
            ("operator", {layer.name for layer in a.layers}, self.operators),
            ("loss", {loss.name for loss in a.losses.values()}, self.losses),
            ("penalty", {str(type(p).__struct_config__.tag) for p in a.penalties}, self.penalties),
        ):
            if can is not None and not has <= set(can):
                return f"the {kind} {min(has - set(can))} is not among those that it declares"
        for part in (*a.layers, *a.losses.values()):
            for attribute, declared in self.attributes.get(part.name, {}).items():
                value = msgspec.json.encode(getattr(part, attribute))
                if value not in [msgspec.json.encode(v) for v in declared]:
                    return f"it declares no {part.name} with {attribute} {value.decode()}"
        if not self.graphs and not _is_chain(a):
            return "it declares that it can do chains only"
        if self.perceptrons and not _is_perceptron(a):
            return "it declares that it can do multilayer perceptrons only"
        if not a.parameters and not self.gives:
            return "it has no parameters, and the subject gives no other gradients"
        return ""


def _is_chain(a: Architecture) -> bool:
    """Whether each layer takes the edge before it, the loss the last, and nothing is shared."""
    before = a.sources == tuple((name,) for name in list(a.edges)[:-1])
    return (
        before
        and not a.auxiliary
        and not any(layer.share for layer in a.layers)
        and (a.loss_sources["loss"] == (list(a.edges)[-1],))
    )


def _is_perceptron(a: Architecture) -> bool:
    """Whether it is dense layers on (batch, features), one activation between any two."""
    dense, between = a.layers[::2], a.layers[1::2]
    return (
        _is_chain(a)
        and a.input is not None
        and len(a.input) == 2
        and len(a.layers) % 2 == 1
        and all(isinstance(layer, Dense) and layer.bias for layer in dense)
        and all(isinstance(layer, ACTIVATIONS) for layer in between)
        and len(set(between)) <= 1
    )


class SubjectProblem(Exception):
    """A subject that did not answer as it should: the case's status, and the reason."""

    def __init__(self, status: Literal["FAIL", "TIMEOUT", "UNSUPPORTED"], reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason

    def __reduce__(self) -> tuple[type[SubjectProblem], tuple[str, str]]:
        return SubjectProblem, (self.status, self.reason)


class Unsupported(Exception):
    """Raised by a subject for a case that it cannot do; the message is the reason."""


class SubjectAbsent(Exception):
    """A subject that cannot be found, does not start, or declares nothing: bad input."""
