"""Write docs/derivations/: every operator, loss, penalty and optimiser, derived on a page.

python docs/making/derivations.py FOLDER

The text is the docstrings': of `architectures` for what a function is, of `reference` for its
derivation.  MkDocs makes the pages when it builds the site (`hooks: [docs/making/derivations.py]`);
they are not kept in the repository.
"""

from __future__ import annotations

import ast
import os
import re
import sys
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from docstrings import Docstring, Link, markdown, of_module, of_part, parsed, title
from notation import FUNCTIONS

from backproof.architectures import operators as ops
from backproof.architectures.configurations import CONFIGURATIONS
from backproof.architectures.losses import L1, L2
from backproof.checkers.conventions import CONVENTIONS
from backproof.commands.ops import attributes, slopes
from backproof.naming import call, path_of
from backproof.reference.optimisers import OPTIMISERS
from backproof.reference.pages import LAYERS, LOSSES

ROOT = Path(__file__).resolve().parents[2]
FOLDER = "derivations"
WORK = re.compile(
    r"[A-Z][\w-]+(?:, [A-Z][\w-]+)*(?: and [A-Z][\w-]+| et al\.)? (?:19|20)\d\d"
)  # as docstrings cite it

HEAD = """# Derivations

Every function that the harness knows, differentiated by hand.  Each page has the function as it
is specified, its derivation, its shapes, where it is not differentiable, and the code, which
follows the derivation line by line.  `backproof ops NAME` prints the same in a terminal.

How to read them:

{notation}

## What all rest on
"""

NOTATION = """    y_bar        dL = <y_bar, dy>

y_bar is the cotangent of y: how the loss moves with it.  To derive a backward pass write dy,
move each linear map across the inner product <A, B> = sum(A * B), and read off x_bar.  A prime
is the transpose of a vector or a matrix, x'y, as is W^T, or the derivative of a function, f'(x).
1' is a row of ones.  [a, b] joins two tensors or is an interval, W[i] is an entry or a row, and
y (N, m) is y with its shape.  A sum without an index is over all entries, or, where a page says
by rows or along an axis, over that axis.  Two letters side by side are a matrix product where
their shapes make one (W x, w^T y_bar), else a product entry by entry (f c, w r)."""


class Entry(NamedTuple):
    """A page: its path, its module, and the operators, losses or penalties that it derives."""

    path: str
    module: str
    kinds: tuple[Any, ...]

    @property
    def source(self) -> str:
        return path_of(self.module)

    @property
    def names(self) -> tuple[str, ...]:
        own = self.module.removeprefix("backproof.reference.").replace(".", "/")
        return tuple(tag(kind) for kind in self.kinds) or (own,)


HELPERS = ("reference.network", "reference.arrays", "reference.stable")


def tag(kind: Any) -> str:
    config = getattr(kind, "__struct_config__", None)
    return str(config.tag) if config is not None else str(kind.__name__).lower()


def entries() -> dict[str, Entry]:
    """Every page by its module, in the order of the index."""
    kinds: dict[str, tuple[Any, ...]] = {f"backproof.{module}": () for module in HELPERS}
    derived: dict[Any, Any] = {**LAYERS, **LOSSES}
    for kind, page in derived.items():
        module = page.forward.__module__
        kinds[module] = (*kinds.get(module, ()), kind)
    kinds["backproof.reference.losses.penalties"] = (L1, L2)
    for optimiser, page in OPTIMISERS.items():
        kinds[page.__name__] = (optimiser,)
    for family in ("layers", "losses", "optimisers"):
        for file in sorted((ROOT / "reference" / family).glob("[!_]*.py")):
            kinds.setdefault(f"backproof.reference.{family}.{file.stem}", ())
    return {module: _entry(module, found) for module, found in kinds.items()}


def _entry(module: str, kinds: tuple[Any, ...]) -> Entry:
    inside = module.removeprefix("backproof.reference.").replace(".", "/")
    return Entry(f"{FOLDER}/{inside}.md", module, kinds)


def links(entry: Entry, every: Iterable[Entry]) -> Link:
    """From a page, `standardise.py` leads to that page, and so does another operator's name."""
    here = Path(entry.path).parent
    to: dict[str, str] = {}
    for other in every:
        target = os.path.relpath(other.path, here)
        stem = Path(other.source).name
        if stem not in to or Path(other.path).parent == here:
            to[stem] = target
        if other.module != entry.module:
            to.update({n: target for n in other.names if other.kinds and n not in FUNCTIONS})
    return to.get


# ---- a page


def page(entry: Entry, link: Link) -> Iterator[str]:
    """The parts of a page, each a Markdown block."""
    yield f"# {', '.join(entry.names)}"
    if entry.kinds:
        yield "## What it is" if len(entry.kinds) == 1 else "## What they are"
        for kind in entry.kinds:
            yield from specified(kind, len(entry.kinds) > 1, link)
        home = os.path.relpath(f"{FOLDER}/index.md", Path(entry.path).parent)
        where = family(entry).lower()
        yield f"What holds for all of them: [{where}]({home}#{where.replace(' ', '-')})."
    yield "## Derivation"
    yield markdown(of_module(ROOT / entry.source, ROOT), link)
    yield from parts(entry, link)
    for kind in entry.kinds:
        if kind in CONFIGURATIONS:
            yield f"## Shapes of {tag(kind)}" if len(entry.kinds) > 1 else "## Shapes"
            yield "\n".join(shapes(kind))
    if entry.kinds and hasattr(import_module(entry.module), "backward"):
        yield "## Pieces and ties"
        yield from pieces(entry)
    yield "## Sources"
    yield "\n".join(sources(entry))
    yield "## Code"
    yield code(entry)


def specification(kind: Any) -> Docstring:
    return of_part(ROOT / path_of(kind.__module__), ROOT, kind.__name__)


def specified(kind: Any, several: bool, link: Link) -> Iterator[str]:
    if several:
        yield f"### {tag(kind)}"
    yield markdown(specification(kind), link)
    if hasattr(kind, "__struct_fields__"):
        has = attributes(kind)
        yield f"Attributes: `{has}`." if has else "It has no attributes."


def family(entry: Entry) -> str:
    """The heading under which the index lists a page, and says what its family shares."""
    for name, kinds in ops.FAMILIES.items():
        if entry.kinds[0] in kinds:
            return name.capitalize()
    return "Optimisers" if ".optimisers." in entry.module else "Losses and penalties"


def shapes(kind: Any) -> Iterator[str]:
    """A table of configurations, as they are verified one by one."""
    yield "| operator | inputs | output | parameters | data |"
    yield "| --- | --- | --- | --- | --- |"
    for op, inputs in CONFIGURATIONS[kind]:
        parameters = ops.parameter_shapes(op, *inputs)
        data = {n: (*d.shape, d.kind) for n, d in ops.data_shapes(op, *inputs).items()}
        row = (
            f"`{call(op)}`",
            ", ".join(map(str, inputs)) or "none",
            str(ops.output_shape(op, *inputs)),
            ", ".join(f"`{n}` {s}" for n, s in parameters.items()) or "none",
            ", ".join(f"`{n}` {s[:-1]} {s[-1]}" for n, s in data.items()) or "none",
        )
        yield f"| {' | '.join(row)} |"


def pieces(entry: Entry) -> Iterator[str]:
    """Where it is piecewise, and what is returned at the ties."""
    module = import_module(entry.module)
    kink = getattr(module, "kink", None)
    if kink is None:
        yield (
            "One analytic piece: `forward` takes no branch (it is given `None`), and there are "
            "no ties."
        )
    else:
        choice = "Choice" in str(kink.__annotations__["return"])
        how = (
            "It picks one of several candidates, and `branch` holds which, entry by entry"
            if choice
            else "It is piecewise, and `branch` holds the piece of each entry"
        )
        smooth = " (`None` where a setting makes it smooth)"
        only = smooth if "None" in str(kink.__annotations__["return"]) else ""
        yield f"{how}{only}: `forward` and `backward` stay on the pieces that they are given."
    for kind in entry.kinds:
        for found in CONVENTIONS.get(kind, ()):
            yield (
                f"`{call(found.operator)}` at {found.at}: ours {slopes(found.ours)}, "
                f"PyTorch {slopes(found.torch)}, JAX {slopes(found.jax)}."
            )


def sources(entry: Entry) -> Iterator[str]:
    docs = [of_module(ROOT / entry.source, ROOT)]
    docs += [specification(kind) for kind in entry.kinds]
    works = {re.sub(r"\s+", " ", w): None for doc in docs for w in WORK.findall(doc.text)}
    if works:
        yield f"* Literature: {'; '.join(works)}."
    files = dict.fromkeys(doc.path for doc in docs)
    yield f"* Files: {', '.join(f'`{f}`' for f in files)}."


def parts(entry: Entry, link: Link) -> Iterator[str]:
    """What each function does, of a module that is a collection of them."""
    path = ROOT / entry.source
    if entry.module == "backproof.reference.stable":
        for node in parsed(path).body:
            if isinstance(node, ast.FunctionDef):
                yield f"### {node.name}"
                yield markdown(of_part(path, ROOT, node.name), link)


def code(entry: Entry) -> str:
    """The module after its docstring."""
    path = ROOT / entry.source
    end = parsed(path).body[0].end_lineno or 0
    lines = path.read_text(encoding="utf-8").splitlines()[end:]
    return "```python\n" + "\n".join(lines).strip() + "\n```"


# ---- the index


def index(every: Iterable[Entry]) -> Iterator[str]:
    by_module = {entry.module: entry for entry in every}
    home = Entry(f"{FOLDER}/index.md", "", ())
    link = links(home, by_module.values())
    notation = Docstring("docs/making/derivations.py", notation_line(), NOTATION)
    yield HEAD.format(notation=markdown(notation, link)).strip()

    def items(found: Iterable[Entry]) -> str:
        return "\n".join(_item(entry, link) for entry in found)

    yield items(e for e in by_module.values() if not e.kinds)
    families: dict[str, list[Entry]] = {}
    for entry in by_module.values():
        if entry.kinds:
            families.setdefault(family(entry), []).append(entry)
    for heading, found in families.items():
        yield f"## {heading}"
        specified_in = ROOT / path_of(found[0].kinds[0].__module__)
        if specified_in != ROOT / found[0].source:
            yield markdown(of_module(specified_in, ROOT), link)
        yield items(found)


def notation_line() -> int:
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    return next(i for i, line in enumerate(lines, 1) if line.startswith("NOTATION = "))


def _item(entry: Entry, link: Link) -> str:
    names = ", ".join(f"`{name}`" for name in entry.names)
    target = entry.path.removeprefix(f"{FOLDER}/")
    return f"* [{names}]({target}): {title(of_module(ROOT / entry.source, ROOT), link)}"


def pages() -> dict[str, str]:
    """The Markdown of every page by its path below docs/."""
    every = entries().values()
    made = {f"{FOLDER}/index.md": "\n\n".join(index(every)) + "\n"}
    for entry in every:
        made[entry.path] = "\n\n".join(page(entry, links(entry, every))) + "\n"
    return made


def on_files(files: Any, config: Any) -> Any:
    """MkDocs asks here for pages that are made and not read."""
    generated = import_module("mkdocs.structure.files").File.generated
    for path, text in pages().items():
        files.append(generated(config, path, content=text))
    return files


def main(folder: str) -> None:
    for path, text in pages().items():
        file = Path(folder) / path.removeprefix(f"{FOLDER}/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
