"""The verification of this repository: every operator and loss, against every checker.

Each test holds the reference against one checker on random networks that contain the
operator of its name, over all lanes and both dtypes: `pytest -k gelu-jax` runs one.  A
failure is reduced by Hypothesis; its message shows the network, as JSON too, and the
command that replays it from a file in reports/out/failures/.
"""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from backproof import failures
from backproof.architectures.cases import DTYPES, LANES, Case, DType, Lane, draw_case
from backproof.architectures.exactness import is_exact
from backproof.architectures.files import dumps
from backproof.architectures.generation import Limits, architectures, generate
from backproof.architectures.limits import ACTIVATION_NAMES, LOSS_NAMES
from backproof.checkers.verdict import CHECKERS, CheckerName, Verdict, verify
from backproof.commands.replay import command as replay
from backproof.planting import by_name
from backproof.saving import describe_in_python
from backproof.versions import versions

FAILURES = Path(__file__).parent.parent / "reports" / "out" / "failures"

pytestmark = pytest.mark.repeats

every_checker = pytest.mark.parametrize("checker", CHECKERS)


@st.composite
def cases(draw: st.DrawFn, limits: Limits) -> Case:
    """A network within the limits, a lane, a dtype and a seed."""
    lane: Lane = draw(st.sampled_from(LANES))
    dtype: DType = draw(st.sampled_from(DTYPES))
    architecture = draw(architectures(limits, lane, dtype))
    if lane == "exact" and not is_exact(architecture, dtype):
        lane = "generic"
    return draw_case(architecture, draw(st.integers(0, 2**32 - 1)), lane, dtype)


def asked(checker: CheckerName) -> tuple[CheckerName, ...]:
    """The checker; a framework with complex step, which tells whose cancellation a loss of
    digits is (`verdict.py` on the second look)."""
    return (checker, "complex_step") if checker in ("jax", "torch") else (checker,)


def acceptable(verdict: Verdict) -> bool:
    """Nothing is wrong.  So few checkers may find their bounds too large to prove more."""
    return verdict.status in ("PASS", "INCONCLUSIVE")


def check(
    case: Case,
    id: str,
    checkers: tuple[CheckerName, ...],
    folder: Path = FAILURES,
    subject: str = "reference",
) -> None:
    """AssertionError, with everything needed to see and replay it, where a gradient is wrong.

    Later failures of the same test take the file's place, so that the reduced one stays.
    """
    verdict = verify(case, by_name(subject), checkers=checkers)
    if not acceptable(verdict):
        raise AssertionError(report(case, verdict, id, checkers, folder, subject))


def report(
    case: Case,
    verdict: Verdict,
    id: str,
    checkers: tuple[CheckerName, ...],
    folder: Path,
    subject: str,
) -> str:
    """What a person needs, and the failure written down to be replayed."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{id}.json"
    command = f"backproof replay {shlex.quote(str(path))}"
    failure = failures.record(
        case,
        verdict,
        id=id,
        subject=subject,
        replay=command,
        versions=versions(),
        checkers=checkers,
    )
    path.write_bytes(failures.dumps(failure))
    path.with_suffix(".py").write_text(
        describe_in_python(case, verdict, id, subject), encoding="utf-8"
    )
    return "\n".join(
        [
            f"{verdict.status}: {verdict.reason}",
            f"network   {case.architecture}",
            f"case      {case.lane} lane, {case.dtype}, seed {case.seed}",
            f"replay    {command}",
            dumps(case.architecture),
        ]
    )


@every_checker
@pytest.mark.parametrize("name", ACTIVATION_NAMES)
@given(data=st.data())
def test_activation(name: str, checker: CheckerName, data: st.DataObject) -> None:
    case = data.draw(cases(Limits(max_depth=3, activations=(name,))))
    assert name in case.architecture.operators
    check(case, f"activation-{name}-{checker}", asked(checker))


@every_checker
@pytest.mark.parametrize("name", LOSS_NAMES)
@given(data=st.data())
def test_loss(name: str, checker: CheckerName, data: st.DataObject) -> None:
    case = data.draw(cases(Limits(max_depth=2, losses=(name,))))
    assert case.architecture.loss.name == name
    check(case, f"loss-{name}-{checker}", asked(checker))


# --- these tests can fail, and say why --------------------------------------------------

FAULT = "reference+gradient_averaged"


def fails(case: Case) -> bool:
    return not acceptable(verify(case, by_name(FAULT), checkers=("complex_step",)))


def failing_case() -> Case:
    """A case in which the bias and weight gradients averaged over the batch show, reduced."""
    deterministic = settings(
        max_examples=300, derandomize=True, database=None, phases=[Phase.generate, Phase.shrink]
    )
    return find(cases(Limits(activations=("tanh",))), fails, settings=deterministic)


@pytest.fixture(scope="module")
def minimal() -> Case:
    return failing_case()


def test_a_wrong_gradient_is_found_and_its_network_reduced(minimal: Case) -> None:
    a = minimal.architecture
    assert a.batch == 2, "the least batch over which a mean is no sum"
    assert len(a.layers) <= 2 and max(shape[-1] for shape in a.edges.values()) == 1
    assert not a.penalties


def test_the_message_shows_the_network_and_how_to_replay_it(minimal: Case, tmp_path: Path) -> None:
    with pytest.raises(AssertionError) as caught:
        check(minimal, "activation-tanh-complex_step", ("complex_step",), tmp_path, FAULT)
    message = str(caught.value)
    path = tmp_path / "activation-tanh-complex_step.json"
    assert message.startswith("FAIL: ")
    assert f"network   {minimal.architecture}" in message
    assert f"replay    backproof replay {path}" in message
    assert dumps(minimal.architecture) in message
    compile(path.with_suffix(".py").read_text(encoding="utf-8"), "script", "exec")


def test_the_file_replays_the_very_failure(minimal: Case, tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        check(minimal, "again", ("complex_step",), tmp_path, FAULT)
    path = str(tmp_path / "again.json")
    rebuilt = failures.rebuild(failures.read(path), path)
    assert rebuilt.architecture == minimal.architecture
    assert rebuilt.input is not None and minimal.input is not None
    assert (rebuilt.input == minimal.input).all() and rebuilt.seed == minimal.seed
    result = CliRunner().invoke(replay, [path])
    assert result.exit_code == 1, result.output
    assert "still fails" in result.output


def test_right_code_leaves_no_file(minimal: Case, tmp_path: Path) -> None:
    check(minimal, "right", ("complex_step",), tmp_path)
    assert not list(tmp_path.iterdir())


def test_each_checker_alone_can_fail(minimal: Case, tmp_path: Path) -> None:
    for checker in CHECKERS:
        with pytest.raises(AssertionError, match="FAIL"):
            check(minimal, checker, (checker,), tmp_path, FAULT)


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("name", LOSS_NAMES)
def test_every_loss_can_be_asked_for_on_every_lane(name: str, lane: Lane) -> None:
    """Trimming a network for the exact lane leaves a loss what it was drawn for."""
    for a in generate(Limits(losses=(name,)), lane, "float32", 1, 30):
        assert a.loss.name == name


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("name", ACTIVATION_NAMES)
def test_every_network_drawn_for_an_activation_contains_it(name: str, lane: Lane) -> None:
    for a in generate(Limits(activations=(name,)), lane, "float32", 1, 30):
        assert name in a.operators
