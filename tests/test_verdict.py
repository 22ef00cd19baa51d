"""The verdict: right code passes, wrong code fails and is blamed on the right operator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from helpers_memory import Memory, remember
from helpers_networks import GRAPHS
from hypothesis import given
from hypothesis import strategies as st

from backproof.architectures import losses as ls
from backproof.architectures import operators as ops
from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import DTYPES, LANES, Case, DType, Lane, draw_case, make_case
from backproof.architectures.exactness import is_exact
from backproof.architectures.generation import Limits, architectures, generate
from backproof.architectures.limits import ACTIVATION_NAMES
from backproof.checkers import rounding, ties, with_torch
from backproof.checkers import verdict as verdict_module
from backproof.checkers.asking import bit_for_bit
from backproof.checkers.comparison import ALPHA
from backproof.checkers.estimate import Estimate
from backproof.checkers.verdict import CheckerName, Subject, Verdict, reference_subject, verify
from backproof.planting import blamed_for, planted
from backproof.reference.arrays import Array
from backproof.reference.faults.catalogue import FAULTS, Fault, sites

NUMERICAL: tuple[CheckerName, ...] = ("finite_differences", "complex_step")
every_lane = pytest.mark.parametrize("lane", LANES)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)

NETWORK = Architecture(
    (4, 3), (ops.Dense(4), ops.GELU(), ops.Dense(4), ops.Tanh(), ops.Dense(2)), ls.LogCosh()
)
CASE = draw_case(NETWORK, 1)


def subject_with(tensor: str, entry: Any, factor: float) -> Subject:
    """The reference, with an entry (or all) of one gradient times a factor."""

    def subject(case: Case) -> tuple[Array, Mapping[str, Array]]:
        loss, gradients = reference_subject(case)
        wrong = gradients[tensor].copy()
        wrong[entry] *= factor
        return loss, {**gradients, tensor: wrong}

    return subject


# --- right code -------------------------------------------------------------------------


FEED_FORWARD = Limits(activations=tuple(n for n in ACTIVATION_NAMES if n != "exp"))
"""Networks whose values keep their size: of dense layers and activations, without exp."""


@every_lane
@every_dtype
@pytest.mark.parametrize("limits", [FEED_FORWARD, Limits()], ids=["feed-forward", "all"])
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_the_reference_is_never_blamed(
    limits: Limits, lane: Lane, dtype: DType, data: st.DataObject, seed: int
) -> None:
    """It passes; only where values are extreme may a bound be too large to prove it.

    So they are on the extreme lane and, in networks of everything, on any other behind a
    product, a square or exp.
    """
    architecture = data.draw(architectures(limits, lane, dtype))
    if lane == "exact" and not is_exact(architecture, dtype):
        lane = "generic"
    found = verify(draw_case(architecture, seed, lane, dtype))
    extreme = lane == "extreme" or (
        limits is not FEED_FORWARD
        and any(w in found.reason for w in ("too large to prove anything", "leave the range of"))
    )
    permitted = ("PASS", "INCONCLUSIVE") if extreme else ("PASS",)
    assert found.status in permitted, (str(architecture), found.status, found.reason)


@cache
def reference_verdicts(lane: Lane, dtype: DType, count: int = 40) -> tuple[Verdict, ...]:
    """Verdicts of the numerical checkers, which need no compilation, on many networks."""
    return tuple(
        verify(draw_case(a, 1000 + i, lane, dtype), checkers=NUMERICAL)
        for i, a in enumerate(generate(Limits(), lane, dtype, 17, count))
    )


@pytest.mark.repeats
@every_lane
@every_dtype
def test_the_reference_passes_nearly_everywhere(lane: Lane, dtype: DType) -> None:
    """Two checkers, both needed: the share that the gate allows to be inconclusive is 1 in 10.

    On the extreme lane finite differences alone leave more undecided, at most 1 in 3.
    """
    found = [v.status for v in reference_verdicts(lane, dtype)]
    assert set(found) <= {"PASS", "INCONCLUSIVE"}
    share = found.count("INCONCLUSIVE") / len(found)
    assert share <= (1 / 3 if lane == "extreme" else 1 / 10)


def test_the_exact_lane_resolves_everything() -> None:
    exact = [a for a in generate(Limits(), "exact", "float32", 3, 20) if is_exact(a, "float32")]
    assert exact
    for a in exact:
        case = draw_case(a, 1, "exact", "float32")
        assert bit_for_bit(case)
        found = verify(case, checkers=NUMERICAL)
        assert found.status == "PASS"
        assert found.resolution == 0 or found.convention.startswith("at ")


# --- wrong code -------------------------------------------------------------------------

ZOO = (
    Architecture(
        (4, 3), (ops.Dense(3), ops.Tanh(), ops.Dense(3)), ls.SquaredError("mean"), (ls.L2(0.5),)
    ),
    Architecture((3, 4), (ops.Dense(4), ops.Softmax(), ops.Dense(2)), ls.CrossEntropy()),
    Architecture((3, 4), (ops.Dense(4), ops.GLU(), ops.Dense(2)), ls.Hinge(), (ls.L1(0.5),)),
    Architecture((4, 2), (ops.Dense(4), ops.PReLU(False), ops.Dense(3), ops.GELU()), ls.Huber()),
    Architecture((4, 3), (ops.Dense(3), ops.LogSoftmax()), ls.KLDivergence()),
    Architecture((4, 3), (ops.Dense(2), ops.Sigmoid()), ls.BinaryCrossEntropy()),
    Architecture((4, 3), (ops.Dense(3), ops.ReLU(), ops.Dense(3)), ls.Cosine()),
    Architecture((4, 3), (ops.Dense(4), ops.SwiGLU()), ls.BinaryCrossEntropyWithLogits()),
    Architecture((4, 3), (ops.Dense(3), ops.HardTanh(), ops.ELU(0.5)), ls.SmoothL1()),
    *(GRAPHS[name] for name in ("residual", "tied", "several losses", "self attention")),
)


@cache
def drawn(architecture: Architecture, seed: int) -> tuple[Case, rounding.Rounding, bool]:
    """A case, its rounding, and whether it stands at a tie."""
    case = draw_case(architecture, seed)
    measured = rounding.measure(case, seed=seed)
    return case, measured, bool(ties.find(case, measured, 10.0))


@pytest.fixture(scope="module")
def memory() -> Memory:
    return Memory()


def shows(case: Case, measured: rounding.Rounding, fault: Fault, site: str) -> bool:
    """Whether the fault changes a gradient by at least a thousand rounding deviations."""
    right, wrong = reference_subject(case)[1], planted(fault, site)(case)[1]
    for name, g in right.items():
        w = wrong[name]
        if np.shape(w) != g.shape or w.dtype != g.dtype or not np.isfinite(w).all():
            return True
        if rounding.norm(w.astype(np.float64) - g) > 1000 * measured.norm(name) > 0:
            return True
    return False


@pytest.mark.repeats
@pytest.mark.parametrize(
    "fault", [f for f in FAULTS if not f.convention], ids=lambda fault: fault.name
)
def test_a_fault_that_shows_fails_and_its_operator_is_named(
    fault: Fault, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the numerical checkers alone, at every place of the zoo and on two points."""
    remember(memory, monkeypatch)
    for architecture in ZOO:
        for site in sites(architecture):
            if not fault.applies(architecture, site):
                continue
            for seed in (1, 2):
                case, measured, tied = drawn(architecture, seed)
                if tied or not shows(case, measured, fault, site):
                    continue
                found = verify(case, planted(fault, site), checkers=NUMERICAL)
                assert found.status == "FAIL", (str(architecture), site, found.reason)
                assert found.operator == blamed_for(architecture, site), (site, found.reason)


@pytest.mark.repeats
@pytest.mark.parametrize("fault", [f for f in FAULTS if f.convention], ids=lambda f: f.name)
@pytest.mark.parametrize("lane", ["generic", "tie"])
def test_a_convention_is_no_fault(fault: Fault, lane: Lane) -> None:
    for architecture in ZOO:
        for site in sites(architecture):
            if fault.applies(architecture, site):
                case = draw_case(architecture, 3, lane)
                found = verify(case, planted(fault, site), checkers=NUMERICAL)
                assert found.status == "PASS", (str(architecture), site, found.reason)


@pytest.mark.parametrize("tensor", NETWORK.tensors)
def test_a_scale_error_of_1e_12_in_one_tensor_is_caught_in_float64(tensor: str) -> None:
    found = verify(CASE, subject_with(tensor, ..., 1 + 1e-12))
    assert (found.status, found.tensor) == ("FAIL", tensor)


@pytest.mark.parametrize("tensor", ["input", "layers.2.weight", "layers.4.output"])
def test_a_scale_error_of_1e_4_in_one_tensor_is_caught_in_float32(tensor: str) -> None:
    case = draw_case(NETWORK, 1, dtype="float32")
    found = verify(case, subject_with(tensor, ..., 1 + 1e-4))
    assert (found.status, found.tensor) == ("FAIL", tensor)


@pytest.mark.parametrize("checkers", [("finite_differences",), ("complex_step",), NUMERICAL])
@pytest.mark.parametrize("tensor", ["input", "layers.2.weight", "layers.4.bias"])
@every_dtype
def test_one_wrong_entry_is_caught_by_an_exhaustive_look(
    tensor: str, checkers: tuple[CheckerName, ...], dtype: DType
) -> None:
    """Wrong by a thousandth in one entry; the error is far below the norm's own bound."""
    case = draw_case(NETWORK, 1, dtype=dtype)
    entry = np.unravel_index(1, reference_subject(case)[1][tensor].shape)
    found = verify(case, subject_with(tensor, entry, 1.001), checkers=checkers, exhaustive=True)
    assert (found.status, found.tensor) == ("FAIL", tensor), found.reason
    assert f"entry {tuple(int(i) for i in entry)}" in found.reason or "error" in found.reason


@pytest.mark.repeats
@every_lane
def test_an_exhaustive_look_passes_right_code(lane: Lane) -> None:
    """But for a gradient that is zero throughout, which two numerical checkers cannot tell from
    one that is too small for them: behind the log-softmax of a single feature, say."""
    for i, a in enumerate(generate(Limits(), lane, "float64", 29, 15)):
        case = draw_case(a, i, lane)
        found = verify(case, checkers=NUMERICAL, exhaustive=True)
        assert found.status in ("PASS", "INCONCLUSIVE"), (str(a), found.reason)
        if lane != "extreme" and all(g.any() for g in reference_subject(case)[1].values()):
            assert found.status == "PASS", (str(a), found.reason)


def test_an_exhaustive_resolution_is_not_hidden_by_the_bounds_of_all_entries() -> None:
    found = verify(CASE, checkers=("finite_differences",), exhaustive=True)
    assert found.resolution and found.resolution < 1e-8


def test_a_fault_in_the_last_bit_fails_on_the_exact_lane() -> None:
    a = Architecture((3, 3), (ops.Dense(3), ops.ReLU(), ops.Dense(2)), ls.SquaredError())
    case = draw_case(a, 1, "exact")
    assert bit_for_bit(case)
    loss, gradients = reference_subject(case)

    def off(case: Case) -> tuple[Array, Mapping[str, Array]]:
        w = gradients["layers.0.weight"].copy()
        w[0, 0] = np.nextafter(w[0, 0], np.inf)
        return loss, {**gradients, "layers.0.weight": w}

    found = verify(case, off)
    assert (found.status, found.tensor) == ("FAIL", "layers.0.weight")
    assert "entry (0, 0)" in found.reason


# --- ranges, second looks, and the same answer twice ---------------------------------------


def test_values_that_leave_the_range_are_inconclusive() -> None:
    a = Architecture((1, 1), (ops.Square(), ops.Square(), ops.Square()), ls.WeightedSum())
    found = verify(make_case(a, {}, [[1e12]], [[1.0]], dtype="float32"))
    assert (found.status, found.reason) == ("INCONCLUSIVE", "values leave the range of float32")


def test_only_a_disagreement_that_persists_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first estimate of finite differences is off by chance, the second is not."""
    right, looks = verdict_module.estimates, []

    def first_off(case: Case, checkers: Sequence[CheckerName], **options: Any) -> Any:
        found, skipped = right(case, checkers, **options)
        looks.append(tuple(checkers))
        if len(looks) > 1:
            return found, skipped
        return tuple(disturbed(e) for e in found), skipped

    monkeypatch.setattr(verdict_module, "estimates", first_off)
    assert verify(CASE, checkers=("finite_differences",)).status == "PASS"
    assert len(looks) == 2


def disturbed(estimate: Estimate) -> Estimate:
    moved = {n: (v, 1.01 * s) for n, (v, s) in estimate.directional.items()}
    return Estimate(estimate.checker, estimate.loss, estimate.entries, moved, estimate.bounds)


def test_what_fails_is_looked_at_three_times(monkeypatch: pytest.MonkeyPatch) -> None:
    right, shrinks = verdict_module.estimates, []

    def counted(case: Case, checkers: Sequence[CheckerName], **options: Any) -> Any:
        shrinks.append(options.get("shrink", 1.0))
        return right(case, checkers, **options)

    monkeypatch.setattr(verdict_module, "estimates", counted)
    found = verify(CASE, subject_with("input", ..., 1.01), checkers=NUMERICAL)
    assert found.status == "FAIL" and shrinks == [1.0, 0.7, 0.3]


CANCELLING = make_case(
    Architecture((1, 3), (ops.Tanh(),), ls.WeightedSum()),
    {},
    [[9.0, 0.5, 1.0]],
    [[1.0, 1.0, 1.0]],
)


def textbook(case: Case) -> Array:
    """1 - tanh(x)^2, which is right to u of its terms, and so to few digits at 9."""
    assert case.input is not None
    t: Array = np.tanh(case.input)
    return (1 - t * t) * case.target


def test_a_framework_that_cancels_is_forgiven_where_another_checker_confirms_the_subject(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    measured = rounding.measure(CANCELLING)
    error = np.abs(textbook(CANCELLING) - reference_subject(CANCELLING)[1]["input"])
    strict = measured.factor(ALPHA) * measured.entries("input")
    assert not (error <= strict).all(), "the first look must see it"

    right = with_torch.estimate

    def cancelling(case: Case) -> Estimate:
        found = right(case)
        return replace(found, entries={**found.entries, "input": textbook(case)})

    monkeypatch.setattr(with_torch, "estimate", cancelling)
    assert verify(CANCELLING, checkers=("complex_step", "torch")).status == "PASS"
    assert verify(CANCELLING, checkers=("torch",)).status == "FAIL"


def test_a_subject_that_cancels_is_told_so() -> None:
    def subject(case: Case) -> tuple[Array, Mapping[str, Array]]:
        loss, gradients = reference_subject(case)
        return loss, {**gradients, "input": textbook(case)}

    assert verify(CANCELLING, subject, exhaustive=True).status == "FAIL"


@every_lane
def test_the_same_case_has_the_same_verdict_twice(lane: Lane) -> None:
    for i, a in enumerate(generate(Limits(), lane, "float64", 31, 3)):
        case = draw_case(a, i, lane)
        assert verify(case) == verify(case)
    wrong = subject_with("input", ..., 1.01)
    assert verify(CASE, wrong) == verify(CASE, wrong)


@every_lane
def test_nothing_is_written_to(lane: Lane) -> None:
    case = draw_case(NETWORK, 4, lane)
    before = {n: v.copy() for n, v in case.parameters.items()}
    verify(case)
    assert all(np.array_equal(v, before[n]) for n, v in case.parameters.items())


def test_an_overflow_is_excused_only_where_the_frameworks_overflow_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = draw_case(Architecture((2, 2), (ops.Dense(2), ops.Tanh()), ls.SquaredError()), seed=1)

    def subject(given: Case) -> tuple[Array, Mapping[str, Array]]:
        loss, g = reference_subject(given)
        return loss, {**g, "input": np.full_like(g["input"], np.nan)}

    monkeypatch.setattr(rounding.Rounding, "overflows", True)
    verdict = verify(case, subject)
    assert (verdict.status, verdict.tensor, verdict.operator) == ("FAIL", "input", "dense")
    assert verdict.reason == "input is not finite, and jax finds that it can be"
    assert verify(case).status == "INCONCLUSIVE"
    assert verify(case, subject, checkers=("complex_step",)).status == "INCONCLUSIVE"
