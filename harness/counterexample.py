"""A failure as one page: what is wrong, where, by how much, why, and how to see it again.

The network is the minimal one.  Its formulas are those of the page that derives the operator
in `reference/`; what every checker says is asked anew (`entry_by_entry.py`).
"""

from __future__ import annotations

import contextlib
import inspect
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from backproof.architectures.architecture import Architecture, edge_name
from backproof.architectures.cases import Case, target_name
from backproof.checkers.outcome import FAN_OUT, listed, producer
from backproof.checkers.verdict import (
    CHECKERS,
    CheckerName,
    Verdict,
    reference_subject,
)
from backproof.diagnosis.patterns import where
from backproof.entry_by_entry import compared, shown, table
from backproof.foreign import SubjectProblem, Unsupported, subject_named
from backproof.jobs import Job
from backproof.naming import call, path_of
from backproof.reference.arrays import Array
from backproof.reference.losses import penalties
from backproof.reference.pages import LAYERS, LOSSES
from backproof.reports.events import FailureSaved
from backproof.reports.text import printable

MOST_VALUES = 12
"""Entries of a tensor that are written out."""

WIDEST = 100
"""Characters of a tensor that is written out."""

MOST_LINES = 22
"""Lines of a derivation that is given whole; of a longer one its first line and its formulas."""


@dataclass(frozen=True)
class Found:
    """A failing case, its verdict, and what is known of it.

    `loss` and `gradients` are the subject's, None where it gives none.  `cause`, `replay` and
    `script` may be empty.  `origin` is the network before its reduction, by whose numbers the
    cause calls its layers.
    """

    case: Case
    verdict: Verdict
    loss: Any
    gradients: Mapping[str, Any] | None
    subject: str
    cause: str = ""
    replay: str = ""
    script: str = ""
    origin: Architecture | None = None
    checkers: Sequence[CheckerName] = CHECKERS


def explain(case: Case, verdict: Verdict, job: Job, saved: FailureSaved) -> str:
    """The page of a failure that a run saves."""
    loss, gradients = None, None
    with contextlib.suppress(SubjectProblem, Unsupported):
        loss, gradients = subject_named(job.subject, job.programs)(case)
    return write_page(
        Found(
            case,
            verdict,
            loss,
            gradients,
            subject=job.subject,
            cause=saved.cause,
            replay=saved.replay,
            script=Path(saved.script).name,
            origin=saved.minimal,
            checkers=job.checkers,
        )
    )


def write_page(found: Found) -> str:
    """The page, as Markdown that reads as plain text too."""
    parts = [
        f"# {title(found)}",
        *_told(found),
        "## Network",
        _fenced(_network(found.case)),
        "## Values",
        _fenced(_values(found)),
    ]
    if found.verdict.operator:
        path, text = derivation(found.case.architecture, found.verdict)
        parts += ["## What should hold", f"`{path}`:", _fenced(text.splitlines())]
    if found.gradients is not None and found.verdict.tensor:
        parts += ["## What came back", *_what_came_back(found, found.gradients)]
    cause = found.cause or "no known mistake gives these gradients"
    cause = f"It {cause}" if cause.startswith("equals") else cause
    parts += ["## Likely cause", _sentence(cause), "## See it again", _fenced(_again(found))]
    return "\n\n".join(parts) + "\n"


def title(found: Found) -> str:
    """What is wrong, in one sentence without a full stop."""
    v = found.verdict
    structure = [c for c in v.comparisons if c.checker == "structure"]
    if structure:
        words = f"{v.operator}: {structure[0].reason}"
    elif v.failed_checks:
        words = f"The check `{v.failed_checks[0]}` fails"
    elif v.tensor == "loss":
        words = f"The value of {v.operator} is wrong"
    elif v.operator == FAN_OUT:
        words = f"The gradient of {v.tensor} is not the sum over its uses"
    elif v.tensor and producer(found.case.architecture, v.tensor) != v.operator:
        words = f"{v.operator} is wrong, as the gradient of {v.tensor} shows"
    elif v.tensor:
        words = f"{v.operator} returns a wrong gradient of {v.tensor}"
    else:
        words = v.reason or v.status
    return _plain(words)


def _told(found: Found) -> Iterator[str]:
    if found.verdict.reason and _plain(found.verdict.reason) not in title(found):
        yield textwrap.fill(
            _sentence(found.verdict.reason), WIDEST, break_long_words=False, break_on_hyphens=False
        )


def _again(found: Found) -> Iterator[str]:
    if found.replay:
        yield found.replay
    if found.script:
        yield f"python {found.script}    (NumPy alone)"
    yield f"subject  {_plain(found.subject)}"
    if found.origin is not None and found.origin != found.case.architecture:
        yield f"found in {found.origin}"
    yield f"values   {found.case.lane} lane, {found.case.dtype}, seed {found.case.seed}"


# --- the network and its values ----------------------------------------------------------


def _network(case: Case) -> Iterator[str]:
    """One line for each layer: what it is, what it takes and makes, what it owns."""
    a = case.architecture
    rows: list[tuple[str, str, str]] = []
    owned: dict[str, str] = {}
    if a.input is not None:
        rows.append(("input", "", str(a.input)))
    for i, layer in enumerate(a.layers):
        taken = ", ".join(map(str, a.inputs_of(i)))
        made = f"{taken} -> " * bool(taken) + str(a.edges[edge_name(i + 1)])
        rows.append((f"layers.{i}", _of(call(layer), layer.inputs), made))
        owned[f"layers.{i}"] = ", ".join(f"{n} {a.parameters[q]}" for n, q in a.own[i].items())
    for site, loss in a.losses.items():
        edges = a.loss_sources[site] if loss.inputs else ()
        rows.append((site, _of(call(loss), edges), "-> a number"))
    rows += [(f"penalties.{j}", call(p), "of every weight") for j, p in enumerate(a.penalties)]
    wide = [max(len(row[k]) for row in rows) for k in (0, 1)]
    for name, what, shapes in rows:
        line = f"{name:<{wide[0]}}  {what:<{wide[1]}}  {shapes}".rstrip()
        parameters = owned.get(name, "")
        if len(line) + len(parameters) <= WIDEST:
            yield f"{line}   {parameters}".rstrip()
        else:
            yield line
            indent = " " * (wide[0] + 2)
            yield from textwrap.wrap(parameters, WIDEST, initial_indent=indent,
                                     subsequent_indent=indent)  # fmt: skip


def _of(what: str, edges: Sequence[str]) -> str:
    names = listed([e.removesuffix(".output") for e in edges]) if edges else ""
    return f"{what} of {names}" if names else what


def _values(found: Found) -> Iterator[str]:
    case = found.case
    tensors: dict[str, Array] = {} if case.input is None else {"input": case.input}
    tensors |= {**case.parameters, **case.data}
    tensors |= {target_name(site): target for site, target in case.targets.items()}
    wide = max(map(len, tensors), default=0)
    for name, value in tensors.items():
        yield f"{name:<{wide}}  {written(value)}"


def written(value: Array) -> str:
    """An array as nested lists of its shortest decimals, or its shape where it is large."""
    text = _nested(value) if value.size <= MOST_VALUES else ""
    return text if 0 < len(text) <= WIDEST else f"of shape {value.shape}, in the file beside this"


def _nested(value: Any) -> str:
    if np.ndim(value):
        return f"[{', '.join(map(_nested, value))}]"
    number: Any = np.asarray(value)[()]
    if number.dtype.kind in "biu":
        return str(number).lower()
    plain = number == 0 or 1e-4 <= abs(number) < 1e6
    write = np.format_float_positional if plain else np.format_float_scientific
    return write(number, trim="-")


# --- what should hold --------------------------------------------------------------------


def derivation(a: Architecture, verdict: Verdict) -> tuple[str, str]:
    """(the page that derives what went wrong, what it says)."""
    site = site_of(a, verdict)
    if site == FAN_OUT:
        text = "x_bar = the sum of what the uses of x send back, each along its own path"
        return "reference/network.py", text
    page = (
        LOSSES[type(a.losses[site])]
        if site in a.losses
        else LAYERS[type(a.layers[int(site.split(".")[1])])]
    )
    text = shortened(page.derivation)
    if a.penalties and verdict.tensor in a.parameters:
        text += "\n\n" + shortened(penalties.__doc__ or "")
    return path_of(page.forward.__module__), text


def site_of(a: Architecture, verdict: Verdict) -> str:
    """Where the backward function stands that makes the wrong tensor's gradient."""
    tensor = verdict.tensor
    if tensor == "loss" or tensor not in a.tensors:
        return "loss"
    if verdict.operator == FAN_OUT:
        return FAN_OUT
    slot = a.named_slots.get(tensor) or a.slots_of(tensor)[0]
    return slot.site


def shortened(docstring: str) -> str:
    """A derivation, or of a long one its first line and its formulas, which are indented."""
    text = inspect.cleandoc(docstring)
    lines = text.splitlines()
    if len(lines) <= MOST_LINES:
        return text
    kept = [lines[0], ""]
    for line in lines[1:]:
        if line.startswith("    "):
            kept.append(line)
        elif kept[-1]:
            kept.append("")
    return "\n".join(kept[:MOST_LINES]).rstrip()


# --- what came back ----------------------------------------------------------------------


def _what_came_back(found: Found, gradients: Mapping[str, Any]) -> Iterator[str]:
    tensor = found.verdict.tensor
    loss, right = reference_subject(found.case)
    ours = np.asarray(loss if tensor == "loss" else right[tensor], float)
    given = found.loss if tensor == "loss" else gradients.get(tensor)
    if given is None or np.shape(given) != ours.shape:
        got = "nothing" if given is None else f"an array of shape {np.shape(given)}"
        yield f"The subject gives {got}; the reference gives, in the shape {ours.shape},"
        yield _fenced([written(ours)])
        return
    entries = compared(found.case, tensor, np.asarray(given, float), found.checkers)
    rows = shown(entries)
    count = int(entries.wrong.sum())
    pattern = where(entries.wrong, (ours == 0) & (np.asarray(given, float) == 0))
    yield (
        f"{tensor}: {count} of {ours.size} entries wrong"
        + (f", the first {len(rows)}." if count > len(rows) else ".")
        if count
        else f"{tensor}: no entry is wrong by itself, all together are; the worst."
    )
    if pattern:
        yield f"Wrong {pattern}."
    yield table(np.asarray(given, float), ours, entries, rows)
    yield "Error and bound are those of the checker that disagrees by most of its bounds."


# --- text --------------------------------------------------------------------------------


def _plain(text: str) -> str:
    """Text from outside on one line, without what Markdown would take for a fence or a tag."""
    return printable(text).replace("`", "'").replace("<", "(").replace(">", ")")


def _sentence(text: str) -> str:
    """With a full stop; a first word that names a tensor keeps its small letter."""
    words = _plain(text).strip()
    first = words.split(" ")[0]
    if "." not in first and first != "input":
        words = words[:1].upper() + words[1:]
    return words if words.endswith(".") else f"{words}."


def _fenced(lines: Any) -> str:
    return "\n".join(["```", *(printable(line) for line in lines), "```"])
