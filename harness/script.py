"""A failure as a program: a script that needs NumPy alone and shows the disagreement.

It holds the values, the forward functions of the operators involved, copied from their
pages, and the gradient that the subject returned.  It differentiates its own loss by
central differences and prints both, so that nobody has to trust this package.
"""

from __future__ import annotations

import inspect
import json
import re
import types
from functools import cache
from typing import Any

import msgspec
import numpy as np

from backproof.architectures.cases import Case
from backproof.architectures.losses import L1, Loss, flat_shape
from backproof.architectures.operators import Operator
from backproof.checkers.verdict import Verdict
from backproof.reference import arrays, network
from backproof.reference.arrays import Array
from backproof.reference.pages import LAYERS, LOSSES
from backproof.reports.text import printable

NUMPY_ONLY = {
    "erf": "erf = np.vectorize(math.erf, otypes=[float])",
    "erfc": "erfc = np.vectorize(math.erfc, otypes=[float])",
    "erfcx": "def erfcx(x):\n    return np.exp(x * x) * erfc(x)",
}
"""SciPy's special functions, from the standard library."""

HEADER = '''"""{title}

{reason}

Written by backproof.  Needs NumPy alone:  python {file}
"""

from __future__ import annotations

import json
import math
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
'''

FOOTER = """

def find_branch(site, kink):
    if kink is None:
        return None
    if BRANCHES is None or site not in BRANCHES:
        PIECES[site] = regions(kink)
        return PIECES[site]
    return BRANCHES[site]


def moved(name, value):
    return value + OFFSETS[name] if name in OFFSETS else value


def one_or_all(values):
    return values[0] if len(values) == 1 else tuple(values)


def loss_with(offsets):
    OFFSETS.clear()
    OFFSETS.update(offsets)
    if INPUT is not None:
        EDGES["input"] = moved("input", INPUT)
    for i, (forward, kink, layer, sources, own, data) in enumerate(LAYERS):
        site = f"layers.{i}"
        p = {n: moved(f"{site}.uses.{n}", moved(q, PARAMETERS[q])) for n, q in own.items()}
        p.update({n: np.array(v) for n, v in data.items()})
        x = one_or_all([moved(f"{site}.inputs.{k}", EDGES[e]) for k, e in enumerate(sources)])
        branch = find_branch(site, kink(layer, p, x)) if kink else None
        y, _ = forward(layer, p, x, branch)
        EDGES[f"{site}.output"] = moved(f"{site}.output", y)
    total = 0.0
    for site, (forward, kink, loss, sources, shape, target) in LOSSES.items():
        values = [moved(f"{site}.inputs.{k}", EDGES[e]) for k, e in enumerate(sources)]
        y = one_or_all([v.reshape(shape) for v in values])
        t = None if target is None else np.array(json.loads(target))
        branch = find_branch(site, kink(loss, y, t)) if kink else None
        value, _ = forward(loss, y, t, branch)
        total += value
    for j, (absolute, strength) in enumerate(PENALTIES):
        for name in PARAMETERS:
            if "weight" not in name.rsplit(".", 1)[-1]:
                continue
            w = moved(name, PARAMETERS[name])
            if absolute:
                positive = find_branch(f"penalties.{j}.{name}", Kink(w, (0.0,)))
                total += strength * np.where(positive, w, -w).sum()
            else:
                total += strength * (w * w).sum() / 2
    return float(total)


if __name__ == "__main__":
    BRANCHES, PIECES, EDGES, OFFSETS = None, {}, {}, {}
    np.seterr(all="ignore")
    print("loss of the subject:", SUBJECT_LOSS, " here:", loss_with({}))
    BRANCHES = PIECES  # hold every piecewise function on its piece
    value = EDGES[SOURCE] if SOURCE in EDGES else PARAMETERS[SOURCE]
    h = 1e-5 * max(1.0, float(np.abs(value).max()))
    print(f"{TENSOR}: gradient by the subject, by central differences (h = {h:g}), difference")
    for index in np.ndindex(value.shape):
        offset = np.zeros(value.shape)
        offset[index] = h
        numerical = (loss_with({TENSOR: offset}) - loss_with({TENSOR: -offset})) / (2 * h)
        claimed = np.nan if CLAIMED is None else CLAIMED[index]
        print(index, f"{claimed:+.12e} {numerical:+.12e} {claimed - numerical:+.1e}")
"""


def write_script(
    case: Case, verdict: Verdict, loss: Array, gradients: dict[str, Any], *, id: str, file: str
) -> str:
    """The script's text."""
    a = case.architecture
    tensor = verdict.tensor if verdict.tensor in a.tensors else next(reversed(a.tensors))
    source = a.named_slots[tensor].source if tensor in a.named_slots else tensor
    copied = _Copied()
    rows = [_layer_row(case, i, copied) for i in range(len(a.layers))]
    losses = [_loss_row(case, site, copied) for site in a.losses]
    copied.function(arrays.regions)
    copied.type(arrays.Kink)
    penalties = [(isinstance(p, L1), p.strength) for p in a.penalties]
    claimed = gradients.get(tensor)
    title, reason = _in_a_docstring(f"{id}: {a}"), _in_a_docstring(verdict.reason)
    parts = [
        HEADER.format(title=title, reason=reason, file=file),
        copied.text(),
        "LAYERS = [\n    " + ",\n    ".join(rows) + "\n]",
        "LOSSES = {\n    " + ",\n    ".join(losses) + "\n}",
        f"PENALTIES = {penalties!r}",
        "PARAMETERS = {\n    n: np.array(v, dtype=float)\n"
        f"    for n, v in json.loads({_json(case.parameters)}).items()\n}}",
        "INPUT = None" if case.input is None
        else f"INPUT = np.array(json.loads({_json(case.input)}), dtype=float)",
        f"TENSOR = {tensor!r}",
        f"SOURCE = {source!r}",
        f"SUBJECT_LOSS = {float(loss)!r}".replace("nan", "math.nan").replace("inf", "math.inf"),
        "CLAIMED = None" if claimed is None or np.shape(claimed) != a.tensors[tensor]
        else f"CLAIMED = np.array(json.loads({_json(claimed)}), dtype=float)",
    ]  # fmt: skip
    return "\n\n".join(parts) + FOOTER


def _layer_row(case: Case, i: int, copied: _Copied) -> str:
    """`(forward, kink, attributes, edges taken, parameters, data)` for one layer."""
    a, layer = case.architecture, case.architecture.layers[i]
    prefix = f"layers.{i}."
    data = {
        n.removeprefix(prefix): d.tolist() for n, d in case.data.items() if n.startswith(prefix)
    }
    return (
        f"({copied.page(LAYERS[type(layer)])}, {copied.attributes(layer)}, "
        f"{a.sources[i]!r}, {a.own[i]!r}, {data!r})"
    )


def _loss_row(case: Case, site: str, copied: _Copied) -> str:
    """`site: (forward, kink, attributes, edges taken, the shape it sees, its target)`."""
    a, loss = case.architecture, case.architecture.losses[site]
    sources = a.loss_sources[site]
    target = network.flat_target(case, site)
    return (
        f"{site!r}: ({copied.page(LOSSES[type(loss)])}, {copied.attributes(loss)}, "
        f"{sources!r}, {flat_shape(loss, a.edges[sources[0]])!r}, "
        f"{None if target is None else json.dumps(target.tolist())!r})"
    )


def _in_a_docstring(text: str) -> str:
    return printable(text).replace("\\", "\\\\").replace('"', "'")


class _Copied:
    """What was copied out of the package, by the name that it has in the script."""

    def __init__(self) -> None:
        self.parts: dict[str, str] = {}

    def text(self) -> str:
        """All of it, what is needed first standing first."""
        parts = dict(self.parts)
        for name, source in NUMPY_ONLY.items():
            if any(f"{name}(" in text for text in parts.values()):
                parts = {**_needed(name), name: source, **parts}
        return "\n\n".join(parts.values())

    def page(self, page: Any) -> str:
        """`forward, kink` of a page."""
        kink = self.function(page.kink) if page.kink else "None"
        return f"{self.function(page.forward)}, {kink}"

    def attributes(self, op: Any) -> str:
        """An operator or a loss as a constructor call."""
        words = ", ".join(f"{n}={v!r}" for n, v in msgspec.structs.asdict(op).items())
        return f"{self.type(type(op))}({words})"

    def type(self, kind: Any) -> str:
        """A class: of an operator its name alone, of anything else its source."""
        name = str(kind.__name__)
        if name not in self.parts:
            if issubclass(kind, Operator | Loss):
                tag = getattr(kind.__struct_config__, "tag", None)
                text = f"class {name}(SimpleNamespace):\n    name = {tag!r}\n"
                bases = [b for b in kind.__mro__[1:] if issubclass(b, Operator | Loss)]
                if bases and bases[0].__name__.startswith("_"):
                    text = text.replace("SimpleNamespace", self.type(bases[0]))
                self.parts[name] = text
            else:
                self.parts[name] = _without_annotations(_source(kind))
        return name

    def function(self, function: Any) -> str:
        """Copy a function and all that it uses under one name; that name."""
        function = inspect.unwrap(function)
        name = _name(function)
        if name in self.parts:
            return name
        self.parts[name] = ""  # its place, so that recursion ends
        source = _source(function)
        source = source[source.index("def ") :]  # without decorators
        source = source.replace(f"def {function.__name__}(", f"def {name}(", 1)
        found = _names_in(function.__code__)
        before: dict[str, str] = {}
        for word in [n for n in found if n in function.__globals__]:
            value = function.__globals__[word]
            if isinstance(value, types.ModuleType):
                source = self._through(value, word, source, found)
            elif _ours(value) and isinstance(value, type):
                source = _renamed(source, word, self.type(value))
            elif _ours(value) and callable(value):
                source = _renamed(source, word, self.function(value))
            elif isinstance(value, float | int | str | tuple | dict | frozenset | np.ndarray):
                constant = f"{name}_{word}"
                before[constant] = f"{constant} = {self._literal(value)}"
                source = _renamed(source, word, constant)
        del self.parts[name]
        self.parts.update(before)
        self.parts[name] = source.rstrip() + "\n"
        return name

    def _through(self, module: types.ModuleType, word: str, source: str, found: list[str]) -> str:
        """`module.member` of our own modules by the name that the member has in the script."""
        if module.__name__ == "scipy.special":
            return source.replace(f"{word}.", "")
        if not module.__name__.startswith("backproof."):
            return source
        for attribute in found:
            member = getattr(module, attribute, None)
            if member is None or f"{word}.{attribute}" not in source:
                continue
            if isinstance(member, type):
                included = self.type(member)
            elif callable(member):
                included = self.function(member)
            else:
                included = f"{word}_{attribute}"
                self.parts.setdefault(included, f"{included} = {self._literal(member)}")
            source = re.sub(rf"\b{word}\.{attribute}\b", included, source)
        return source

    def _literal(self, value: Any) -> str:
        match value:
            case np.ndarray():
                return f"np.array({value.tolist()!r})"
            case Operator() | Loss():
                return self.attributes(value)
            case tuple() if hasattr(value, "_asdict"):
                words = (f"{n}={self._field(n, v)}" for n, v in value._asdict().items())
                return f"{self.type(type(value))}({', '.join(words)})"
            case tuple():
                return "(" + "".join(f"{self._literal(v)}, " for v in value) + ")"
            case dict():
                pairs = (f"{self._literal(k)}: {self._literal(v)}" for k, v in value.items())
                return "{" + ", ".join(pairs) + "}"
            case frozenset():
                return "frozenset((" + "".join(f"{self._literal(v)}, " for v in value) + "))"
            case type():
                return self.type(value)
            case np.floating():
                return repr(float(value))
        return repr(value)

    def _field(self, name: str, value: Any) -> str:
        """A field of a named tuple; of its functions the script runs `forward` alone."""
        if callable(value):
            return self.function(value) if name == "forward" else "None"
        return self._literal(value)


@cache
def _source(thing: Any) -> str:
    """Of a function or a class, found once: it takes most of the time that a script takes."""
    return inspect.getsource(thing)


def _ours(value: Any) -> bool:
    return str(getattr(value, "__module__", "")).startswith("backproof.")


def _names_in(code: types.CodeType) -> list[str]:
    """Every global or attribute name in a function's code, functions inside it included."""
    found = list(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found += _names_in(constant)
    return list(dict.fromkeys(found))


def _without_annotations(source: str) -> str:
    """A NamedTuple's source, with annotations that need no import."""
    return re.sub(r"^(    \w+): [^=\n]+?( = .*)?$", r"\1: object\2", source, flags=re.M)


def _needed(name: str) -> dict[str, str]:
    return {"erfc": NUMPY_ONLY["erfc"]} if name == "erfcx" else {}


def _renamed(source: str, word: str, name: str) -> str:
    return re.sub(rf"(?<![\w.]){re.escape(word)}(?!\w)", name, source)


def _name(function: Any) -> str:
    module = function.__module__.rsplit(".", 1)[-1]
    return f"{module}_{function.__name__}" if module not in ("arrays",) else function.__name__


def _json(value: Any) -> str:
    plain = {n: v.tolist() for n, v in value.items()} if isinstance(value, dict) else value.tolist()
    return repr(json.dumps(plain))
