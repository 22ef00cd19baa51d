"""`backproof vectors`: test vectors for backward passes, and what became of them elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import rich_click as click
from rich.console import Console
from rich.progress import track

from backproof.architectures.limits import LOSS_NAMES, OPERATOR_NAMES
from backproof.commands.options import one_of
from backproof.errors import Command, Subcommands, UsageProblem, show
from backproof.reports import junit
from backproof.reports.exit_codes import ExitCode
from backproof.reports.text import count, number, printable
from backproof.reports.write import write
from backproof.vectors import format, page
from backproof.vectors.choosing import choices
from backproof.vectors.format import GROUPS, Corpus, CorpusError, Group, Vector
from backproof.vectors.linting import defects
from backproof.vectors.making import Refuted, Unfit, corpus_of, make
from backproof.vectors.verifying import Judgement, as_events, as_json, judge_all


@click.group(cls=Subcommands)
def group() -> None:
    """Gradient test vectors: right gradients on files, for checks without Backproof.

    A vector is a small network with its values, its loss and its gradients, each with the bound
    of the error that a right result may have.  docs/vectors.md describes the files.
    """


@group.command(cls=Command)
@click.option(
    "--group",
    "largest",
    type=click.Choice(GROUPS),
    default="must",
    show_default=True,
    help="The largest group to make; each holds the one before.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**31 - 1),
    default=0,
    show_default=True,
    help="The same seed and version give the same bytes.",
)
@click.option(
    "--output", metavar="DIR", default="vectors", show_default=True, help="Where the corpus goes."
)
def generate(largest: Group, seed: int, output: str) -> None:
    """Make a corpus: draw cases, verify each by all four checkers, write them down.

    An earlier corpus in DIR is replaced, nothing else.  Exit codes: 0 made, 1 a gradient of
    the reference is wrong, 3 the checkers disagree, 4 DIR holds other files or cannot be
    written, 5 no vector could be made.
    """
    _prepare(Path(output))
    wanted = [c for c in choices(seed) if GROUPS.index(c.group) <= GROUPS.index(largest)]
    made: list[tuple[Vector, bytes]] = []
    left_out: list[str] = []
    errors = Console(stderr=True)
    for choice in track(wanted, "vectors", console=errors, disable=not errors.is_terminal):
        try:
            made.append(make(choice, seed))
        except Unfit as reason:
            left_out.append(str(reason))
        except Refuted as finding:
            click.echo(printable(f"{finding}."), err=True)
            sys.exit(int(ExitCode.WRONG if finding.status == "FAIL" else ExitCode.ERROR))
    for words in left_out:
        click.echo(f"left out {printable(words)}", err=True)
    if not made:
        click.echo("No vector could be made.", err=True)
        sys.exit(int(ExitCode.NOT_VERIFIED))
    corpus = corpus_of([vector for vector, _ in made], largest, seed)
    try:
        size = format.write_all(
            Path(output), corpus, page.write(corpus), [content for _, content in made]
        )
    except OSError as error:
        raise UsageProblem(f"--output {output}: {error.strerror}.") from None
    sentence = (
        f"{count(len(made), 'vector')} in {output}, {size:,} bytes; {len(left_out)} left out."
    )
    sys.exit(show(lambda: click.echo(sentence), 0))


@group.command(cls=Command)
@click.argument("corpus", metavar="CORPUS")
def lint(corpus: str) -> None:
    """Compute everything in a corpus again, and name each defect in a sentence.

    CORPUS is a folder that `backproof vectors generate` made.  Exit codes: 0 no defect, 1 some,
    4 CORPUS is not a corpus.
    """
    there = _read(corpus)
    found = list(defects(Path(corpus), there))

    def output() -> None:
        for defect in found:
            click.echo(printable(f"{defect}."))
        click.echo(f"{count(len(found), 'defect')} in {count(len(there.vectors), 'vector')}.")

    sys.exit(show(output, int(ExitCode.WRONG if found else ExitCode.VERIFIED)))


@group.command(cls=Command)
@click.argument("corpus", metavar="CORPUS")
@click.argument("results", metavar="RESULTS")
@click.option("--group", "largest", type=click.Choice(GROUPS), help="Only the vectors of a group.")
@click.option(
    "--operators",
    multiple=True,
    metavar="NAME",
    callback=one_of(OPERATOR_NAMES),
    help="Only networks of these operators, and of `variable`; repeat it or use commas.",
)
@click.option(
    "--losses",
    multiple=True,
    metavar="NAME",
    callback=one_of(LOSS_NAMES),
    help="Only networks of these losses; as above.",
)
@click.option("--skip-missing", is_flag=True, help="A vector without results is no failure.")
@click.option("--skip-input", is_flag=True, help="The gradient of the input may be left out.")
@click.option("--output", metavar="FILE", help="Write what became of each vector, as JSON.")
@click.option("--junit", "report", metavar="FILE", help="Write it as a JUnit report.")
def verify(
    corpus: str,
    results: str,
    largest: Group | None,
    operators: tuple[str, ...],
    losses: tuple[str, ...],
    skip_missing: bool,
    skip_input: bool,
    output: str | None,
    report: str | None,
) -> None:
    """Hold results that were computed elsewhere against a corpus.

    RESULTS is a folder with a file ID.safetensors or ID.json for each vector, which holds
    `loss` and every gradient by its name.  Exit codes: 0 all are right, 1 one is wrong or
    missing, 4 a file cannot be read, 5 nothing was verified.
    """
    there = _read(corpus)
    vectors = [vector for vector in there.vectors if largest is None or largest in vector.groups]
    asked = [vector for vector in vectors if _is_of(vector, operators, losses)]
    try:
        found = list(
            judge_all(
                Path(corpus), asked, Path(results), skip_missing=skip_missing, skip_input=skip_input
            )
        )
    except CorpusError as error:
        raise UsageProblem(f"{error}.") from None
    if output is not None:
        _write("--output", output, as_json(there, found))
    if report is not None:
        _write("--junit", report, junit.dumps(as_events(there, found, "backproof vectors verify")))

    def summary() -> None:
        for line in _lines(found, len(vectors) - len(asked)):
            click.echo(printable(line))

    sys.exit(show(summary, int(_code(found))))


def _prepare(folder: Path) -> None:
    """Make the folder of a corpus.  UsageProblem where others' files are in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "corpus.json").is_file() and any(folder.iterdir()):
            raise UsageProblem(f"--output {folder} holds other files and no corpus.")
    except OSError as error:
        raise UsageProblem(f"--output {folder}: {error.strerror}.") from None


def _read(folder: str) -> Corpus:
    try:
        return format.read(Path(folder))
    except CorpusError as error:
        raise UsageProblem(f"{error}.") from None


def _write(option: str, path: str, content: bytes) -> None:
    try:
        write(Path(path), content)
    except OSError as error:
        raise UsageProblem(f"{option} {path}: {error.strerror}.") from None


def _is_of(vector: Vector, operators: Sequence[str], losses: Sequence[str]) -> bool:
    """Whether a vector's network is made of these operators and losses alone, where any are."""
    a = vector.architecture
    layers = {layer.name for layer in a.layers} - {"variable"} or {"variable"}
    return (not operators or layers <= set(operators)) and (
        not losses or {loss.name for loss in a.losses.values()} <= set(losses)
    )


def _code(found: Sequence[Judgement]) -> ExitCode:
    statuses = {judgement.status for judgement in found}
    if statuses & {"FAIL", "MISSING"}:
        return ExitCode.WRONG
    return ExitCode.VERIFIED if "PASS" in statuses else ExitCode.NOT_VERIFIED


TITLES = {
    ExitCode.VERIFIED: "VERIFIED",
    ExitCode.WRONG: "WRONG GRADIENT",
    ExitCode.NOT_VERIFIED: "NOTHING VERIFIED",
}


def _lines(found: Sequence[Judgement], not_asked: int) -> Iterator[str]:
    for j in found:
        words = j.reason or f"{j.tensor} at {number(j.ratio)} of its bound"
        yield f"{j.status:<11}  {j.id}  {words}"
    counts = {status: sum(j.status == status for j in found) for status in ("FAIL", "MISSING")}
    passed = sum(j.status == "PASS" for j in found)
    sentence = f"{passed} of {count(len(found), 'vector')} passed"
    sentence += "".join(f", {n} {word}" for n, word in zip(
        counts.values(), ("wrong", "missing"), strict=True) if n)  # fmt: skip
    if not_asked:
        sentence += f"; {not_asked} more not asked for"
    yield f"{TITLES[_code(found)]}  {sentence}."
