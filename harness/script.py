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
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from backproof.architectures.architecture import edge_name
from backproof.architectures.cases import Case
from backproof.architectures.losses import L1
from backproof.checkers.verdict import Verdict
from backproof.reference import arrays
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

import numpy as np

special = SimpleNamespace()
'''

FOOTER = """

def find_branch(site, kink):
    if BRANCHES is None or site not in BRANCHES:
        PIECES[site] = regions(kink)
        return PIECES[site]
    return BRANCHES[site]


def loss_from(x, parameters, start):
    for i, (forward, kink, layer) in enumerate(LAYERS):
        if i < start:
            continue
        prefix = f"layers.{i}."
        p = {n.removeprefix(prefix): v for n, v in parameters.items() if n.startswith(prefix)}
        branch = find_branch(f"layers.{i}", kink(layer, x)) if kink else None
        x, _ = forward(layer, p, x, branch)
        EDGES[i + 1] = x
    forward, kink, loss = LOSS
    branch = find_branch("loss", kink(loss, x, TARGET)) if kink else None
    value, _ = forward(loss, x, TARGET, branch)
    for j, (absolute, strength) in enumerate(PENALTIES):
        for name, w in parameters.items():
            if name.endswith(".weight") and absolute:
                positive = find_branch(f"penalties.{j}.{name}", Kink(w, (0.0,)))
                value += strength * np.where(positive, w, -w).sum()
            elif name.endswith(".weight"):
                value += strength * (w * w).sum() / 2
    return float(value)


def at(tensor, offset):
    if tensor in PARAMETERS:
        return loss_from(INPUT, {**PARAMETERS, tensor: PARAMETERS[tensor] + offset}, 0)
    start = 0 if tensor == "input" else int(tensor.split(".")[1]) + 1
    return loss_from(BASE[start] + offset, PARAMETERS, start)


if __name__ == "__main__":
    BRANCHES, PIECES, EDGES = None, {}, {0: INPUT}
    np.seterr(all="ignore")
    print("loss of the subject:", SUBJECT_LOSS, " here:", loss_from(INPUT, PARAMETERS, 0))
    BASE, BRANCHES = dict(EDGES), PIECES  # hold every piecewise function on its piece
    value = PARAMETERS.get(TENSOR)
    if value is None:
        value = BASE[0 if TENSOR == "input" else int(TENSOR.split(".")[1]) + 1]
    h = 1e-5 * max(1.0, float(np.abs(value).max()))
    print(f"{TENSOR}: gradient by the subject, by central differences (h = {h:g}), difference")
    for index in np.ndindex(value.shape):
        offset = np.zeros(value.shape)
        offset[index] = h
        numerical = (at(TENSOR, offset) - at(TENSOR, -offset)) / (2 * h)
        claimed = np.nan if CLAIMED is None else CLAIMED[index]
        print(index, f"{claimed:+.12e} {numerical:+.12e} {claimed - numerical:+.1e}")
"""


def write_script(
    case: Case, verdict: Verdict, loss: Array, gradients: dict[str, Any], *, id: str, file: str
) -> str:
    """The script's text."""
    a = case.architecture
    tensor = verdict.tensor if verdict.tensor not in ("", "loss") else "input"
    functions: dict[str, str] = {}
    rows = []
    for layer in a.layers:
        page = LAYERS[type(layer)]
        rows.append(_row(page, layer, functions))
    loss_row = _row(LOSSES[type(a.loss)], a.loss, functions)
    _include(arrays.regions, functions)
    for name, source in NUMPY_ONLY.items():
        if any(f"{name}(" in text for text in functions.values()):
            functions = {**_needed(name), name: source, **functions}
    penalties = [(isinstance(p, L1), p.strength) for p in a.penalties]
    claimed = gradients.get(tensor)
    title, reason = _in_a_docstring(f"{id}: {a}"), _in_a_docstring(verdict.reason)
    parts = [
        HEADER.format(title=title, reason=reason, file=file),
        "class Kink(SimpleNamespace):\n"
        "    def __init__(self, argument, breakpoints, smooth=False):\n"
        "        super().__init__(argument=argument, breakpoints=breakpoints, smooth=smooth)\n",
        *functions.values(),
        f"LAYERS = [{', '.join(rows)}]",
        f"LOSS = {loss_row}",
        f"PENALTIES = {penalties!r}",
        "PARAMETERS = {\n    n: np.array(v, dtype=float)\n"
        f"    for n, v in json.loads({_json(case.parameters)}).items()\n}}",
        f"INPUT = np.array(json.loads({_json(case.input)}), dtype=float)",
        f"TARGET = np.array(json.loads({_json(case.target)}))",
        f"TENSOR = {tensor!r}",
        f"SUBJECT_LOSS = {float(loss)!r}".replace("nan", "math.nan").replace("inf", "math.inf"),
        "CLAIMED = None" if claimed is None or np.shape(claimed) != _shape(case, tensor)
        else f"CLAIMED = np.array(json.loads({_json(claimed)}), dtype=float)",
    ]  # fmt: skip
    return "\n\n".join(parts) + FOOTER


def _in_a_docstring(text: str) -> str:
    return printable(text).replace("\\", "\\\\").replace('"', "'")


def _needed(name: str) -> dict[str, str]:
    return {"erfc": NUMPY_ONLY["erfc"]} if name == "erfcx" else {}


def _row(page: Any, op: Any, functions: dict[str, str]) -> str:
    """`(forward, kink, attributes)` for one operator, its functions collected on the way."""
    attributes = msgspec.structs.asdict(op)
    forward = _include(page.forward, functions)
    kink = _include(page.kink, functions) if page.kink else "None"
    words = ", ".join(f"{name}={value!r}" for name, value in attributes.items())
    return f"({forward}, {kink}, SimpleNamespace({words}))"


def _include(function: Callable[..., Any], functions: dict[str, str]) -> str:
    """Copy a function and all that it uses under one name; that name."""
    name = _name(function)
    if name in functions:
        return name
    functions[name] = ""  # its place, so that recursion ends
    source = inspect.getsource(function)
    source = source.replace(f"def {function.__name__}(", f"def {name}(", 1)
    used = [n for n in function.__code__.co_names if n in function.__globals__]
    used += [n for const in function.__code__.co_consts if isinstance(const, types.CodeType)
             for n in const.co_names if n in function.__globals__]  # fmt: skip
    before: dict[str, str] = {}
    for word in dict.fromkeys(used):
        value = function.__globals__[word]
        if isinstance(value, types.FunctionType) and value.__module__.startswith("backproof."):
            source = _renamed(source, word, _include(value, functions))
        elif isinstance(value, float | int | tuple | np.ndarray):
            constant = f"{name}_{word}"
            before[constant] = f"{constant} = {_literal(value)}"
            source = _renamed(source, word, constant)
        elif isinstance(value, types.ModuleType) and value.__name__.startswith("backproof."):
            for attribute in function.__code__.co_names:
                member = getattr(value, attribute, None)
                if isinstance(member, types.FunctionType):
                    included = _include(member, functions)
                    source = source.replace(f"{word}.{attribute}(", f"{included}(")
        elif isinstance(value, types.ModuleType) and value.__name__ == "scipy.special":
            source = source.replace(f"{word}.", "")
    del functions[name]
    functions.update(before)
    functions[name] = source.rstrip() + "\n"
    return name


def _renamed(source: str, word: str, name: str) -> str:
    return re.sub(rf"(?<![\w.]){re.escape(word)}(?!\w)", name, source)


def _name(function: Callable[..., Any]) -> str:
    module = function.__module__.rsplit(".", 1)[-1]
    return f"{module}_{function.__name__}" if module not in ("arrays",) else function.__name__


def _literal(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"np.array({value.tolist()!r})"
    if isinstance(value, tuple):
        return "(" + ", ".join(_literal(v) for v in value) + ",)"
    return repr(float(value)) if isinstance(value, np.floating) else repr(value)


def _json(value: Any) -> str:
    plain = {n: v.tolist() for n, v in value.items()} if isinstance(value, dict) else value.tolist()
    return repr(json.dumps(plain))


def _shape(case: Case, tensor: str) -> tuple[int, ...]:
    a = case.architecture
    edges = {edge_name(i): s for i, s in enumerate(a.edges)}
    return {**a.parameters, **edges}[tensor]
