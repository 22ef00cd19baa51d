"""The README of a corpus, written from its corpus.json."""

from __future__ import annotations

from collections.abc import Iterator

from backproof.architectures.cases import DTYPES, LANES
from backproof.reference.faults.catalogue import FAULTS
from backproof.vectors.format import GROUPS, Corpus


def write(corpus: Corpus) -> str:
    """The text of README.md."""
    return "\n".join(_lines(corpus)) + "\n"


def _lines(corpus: Corpus) -> Iterator[str]:
    caught = {name for vector in corpus.vectors for name in vector.catches}
    faults = {fault.name for fault in FAULTS if not fault.convention}
    tied = sum(vector.tolerance is not None for vector in corpus.vectors)
    scope = corpus.scope
    largest = max(
        (GROUPS.index(group) for v in corpus.vectors for group in v.groups[:1]), default=0
    )
    yield "# Gradient test vectors"
    yield ""
    yield f"Written by `{corpus.command}` of Backproof {corpus.backproof}; do not edit."
    yield ""
    yield (
        f"Version {corpus.version} of the corpus: {len(corpus.vectors)} small networks with their "
        "values, their loss, and the gradient of every parameter and of the input, each with the "
        "bound of the error that a right result may have. A vector entered the corpus only after "
        "finite differences, complex step, JAX and PyTorch had been held against every one of its "
        "gradients."
    )
    yield ""
    yield (
        f"They cover {len(scope.operators)} operators, {len(scope.losses)} losses and "
        f"{len(scope.penalties)} penalties; at {tied} of them some gradients depend on a "
        f"convention, and any permitted one passes. Of the {len(faults)} mistakes in Backproof's "
        f"catalogue that are wrong everywhere, {len(caught & faults)} are caught by at least one "
        "vector."
    )
    yield ""
    yield f"| group | vectors | {' | '.join(LANES)} | {' | '.join(DTYPES)} |"
    yield "| --- |" + " --- |" * (1 + len(LANES) + len(DTYPES))
    for group in GROUPS[: largest + 1]:
        inside = [vector for vector in corpus.vectors if group in vector.groups]
        lanes = [sum(v.lane == lane for v in inside) for lane in LANES]
        dtypes = [sum(v.dtype == dtype for v in inside) for dtype in DTYPES]
        yield f"| {' | '.join(map(str, (group, len(inside), *lanes, *dtypes)))} |"
    yield ""
    yield (
        "`corpus.json` describes every vector, `schema.json` is its JSON Schema, "
        "`data/ID.safetensors` holds the tensors. Backproof's `docs/vectors.md` says how to use "
        "them from another language."
    )
