"""Training, with every gradient verified and the whole way held against PyTorch and Optax.

Forward, error, backward, update, over and over until the error falls no more, in three
regimes: the full batch at once, mini-batches, one record at a time.

**Each step** is a case: parameters as they are, records of this batch.  Its gradients are
verified as any case's are (`checkers.verdict`).

**The trajectory** is held against two frameworks' (`trajectories`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from backproof.architectures.architecture import Architecture
from backproof.architectures.cases import Case, draw_case, make_case, stream
from backproof.architectures.checks import check_number
from backproof.architectures.losses import CrossEntropy, SquaredError
from backproof.architectures.operators import Dense, Tanh
from backproof.checkers.comparison import Status
from backproof.checkers.verdict import Subject, Verdict, reference_subject, verify, worst
from backproof.datasets import CLASSES, DataSet
from backproof.reference import network
from backproof.reference.arrays import Array, Arrays
from backproof.reference.optimisers import OPTIMISERS
from backproof.reference.optimisers.sgd import SGD
from backproof.trajectories import Trajectory, compare_trajectories

Regime = Literal["full-batch", "mini-batch", "online"]
REGIMES: tuple[Regime, ...] = get_args(Regime)

MINI_BATCH = 12
"""Divides the data sets' 48 records: one shape of batch, so JAX compiles once a regime."""

HIDDEN = 5

RATES: Mapping[tuple[str, Regime], float] = {
    ("regression", "full-batch"): 0.3,
    ("regression", "mini-batch"): 0.1,
    ("regression", "online"): 0.02,
    ("classification", "full-batch"): 1.0,
    ("classification", "mini-batch"): 0.5,
    ("classification", "online"): 0.1,
}
"""Learning rates, by trial: the fewer records a gradient is from, the shorter its step."""

EPOCHS: Mapping[Regime, int] = {"full-batch": 150, "mini-batch": 40, "online": 12}
"""At most so many passes over the data."""

TOLERANCE = 1e-5
"""Training has reached its end when an epoch lowers the loss by a smaller share than this."""

# --- what is trained ---------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """What to train and how.  ValueError for a number that makes no sense."""

    data: DataSet
    regime: Regime
    optimiser: SGD
    max_epochs: int
    tolerance: float = TOLERANCE
    seed: int = 0
    verify_every: int = 1

    def __post_init__(self) -> None:
        check_number("max_epochs", self.max_epochs, int, {"minimum": 1})
        check_number("verify_every", self.verify_every, int, {"minimum": 1})
        check_number("tolerance", self.tolerance, float, {"minimum": 0})

    @property
    def batch(self) -> int:
        """The records of one step."""
        sizes = {"full-batch": len(self.data.input), "mini-batch": MINI_BATCH, "online": 1}
        return sizes[self.regime]


def plan(
    data: DataSet,
    regime: Regime,
    *,
    learning_rate: float | None = None,
    max_epochs: int | None = None,
    tolerance: float = TOLERANCE,
    seed: int = 0,
    verify_every: int = 1,
) -> Plan:
    """A plan with the regime's own learning rate and length where none are given."""
    rate = RATES[data.name, regime] if learning_rate is None else learning_rate
    epochs = EPOCHS[regime] if max_epochs is None else max_epochs
    return Plan(data, regime, SGD(rate), epochs, tolerance, seed, verify_every)


def network_for(data: DataSet, batch: int) -> Architecture:
    """A line to fit by least squares; to classify, one hidden layer and cross-entropy.

    Both losses are means over the batch, so that a learning rate means the same for all.
    """
    shape = (batch, data.input.shape[1])
    if data.name == "regression":
        return Architecture(shape, (Dense(1),), SquaredError("batch_mean"))
    return Architecture(shape, (Dense(HIDDEN), Tanh(), Dense(CLASSES)), CrossEntropy())


def batches(plan: Plan, epoch: int) -> Iterator[Array]:
    """The numbers of the records of each step of an epoch, shuffled by the seed."""
    count = len(plan.data.input)
    order = np.arange(count)
    if plan.batch < count:
        order = stream(plan.seed, f"epoch/{epoch}").permutation(count)
    yield from order.reshape(-1, plan.batch)


def loss_over(data: DataSet, parameters: Mapping[str, Array]) -> float:
    """The loss over the whole data set."""
    with np.errstate(all="ignore"):
        return float(network.forward(_whole(data, parameters)).loss)


def _whole(data: DataSet, parameters: Mapping[str, Array]) -> Case:
    """All records as one case; parameters that diverged may be infinite."""
    architecture = network_for(data, len(data.input))
    targets = {"loss": data.target}
    return Case(architecture, parameters, data.input, targets, "float64", "generic", 0)


# --- training ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """One update: the case before it, the parameters after, the verdict where verified."""

    number: int
    epoch: int
    case: Case
    after: Arrays
    verdict: Verdict | None


Stopped = Literal["converged", "max epochs", "diverged"]


@dataclass(frozen=True)
class Run:
    """A training run: the loss before it and after each epoch, its steps, how it ended."""

    plan: Plan
    losses: tuple[float, ...]
    steps: tuple[Step, ...]
    parameters: Arrays
    stopped: Stopped
    trajectories: tuple[Trajectory, ...] = ()

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """Of the steps that were verified."""
        return tuple(s.verdict for s in self.steps if s.verdict is not None)

    @property
    def counts(self) -> Mapping[Status, int]:
        """How many steps have which verdict."""
        return Counter(v.status for v in self.verdicts)

    @property
    def resolution(self) -> float | None:
        """The smallest relative error that every verified step would have shown."""
        found = [v.resolution for v in self.verdicts if v.resolution is not None]
        return max(found, default=None)

    @property
    def status(self) -> Status:
        """The worst of the steps' verdicts and of the trajectories'."""
        drifts = [t.status for t in self.trajectories if t.status != "UNSUPPORTED"]
        return worst([*(v.status for v in self.verdicts), *drifts])


def train(
    plan: Plan,
    subject: Subject = reference_subject,
    watch: Callable[[Step], None] = lambda step: None,
) -> Run:
    """Train on the subject's gradients until the error is minimal, verifying as planned.

    `watch` is told of every step as it is done.
    """
    data, rule = plan.data, OPTIMISERS[type(plan.optimiser)]
    architecture = network_for(data, plan.batch)
    parameters: Arrays = dict(draw_case(architecture, plan.seed).parameters)
    state = rule.initial_state(plan.optimiser, parameters)
    losses: list[float] = [loss_over(data, parameters)]
    steps: list[Step] = []
    stopped: Stopped = "max epochs"
    for epoch in range(1, plan.max_epochs + 1):
        for records in batches(plan, epoch):
            x, t = data.input[records], data.target[records]
            number = len(steps) + 1
            case = make_case(architecture, parameters, x, t, seed=plan.seed + number)
            _, gradients = subject(case)
            verify_it = (number - 1) % plan.verify_every == 0
            verdict = verify(case, subject) if verify_it else None
            with np.errstate(all="ignore"):
                parameters, state = rule.step(plan.optimiser, state, case.parameters, gradients)
            steps.append(Step(number, epoch, case, parameters, verdict))
            watch(steps[-1])
            if not all(np.isfinite(value).all() for value in parameters.values()):
                break
        losses.append(loss_over(data, parameters))
        if not losses[-1] <= losses[0]:
            stopped = "diverged"
            break
        if losses[-2] - losses[-1] <= plan.tolerance * losses[-2]:
            stopped = "converged"
            break
    run = Run(plan, tuple(losses), tuple(steps), parameters, stopped)
    cases, ours = [step.case for step in steps], [step.after for step in steps]
    return replace(run, trajectories=compare_trajectories(cases, ours, plan.optimiser, plan.seed))


def accuracy(data: DataSet, parameters: Mapping[str, Array]) -> float:
    """The share of records whose class has the greatest output."""
    case = _whole(data, parameters)
    with np.errstate(all="ignore"):
        y = network.forward(case).edges[case.architecture.loss_sources["loss"][0]]
    return float(np.mean(y.argmax(axis=-1) == data.target))


@dataclass(frozen=True)
class Optimum:
    """The least-squares solution: its parameters, its loss, the distance of others to it."""

    parameters: Arrays
    loss: float

    def distance(self, parameters: Mapping[str, Array]) -> float:
        """The 2-norm of the difference, over all parameters."""
        with np.errstate(all="ignore"):
            squares = [np.sum((parameters[k] - v) ** 2) for k, v in self.parameters.items()]
            return float(np.sqrt(sum(squares)))


def least_squares(data: DataSet) -> Optimum:
    """The minimum that training should reach, in closed form: min |[x 1] w - y|."""
    columns = np.column_stack([data.input, np.ones(len(data.input))])
    w = np.linalg.lstsq(columns, data.target)[0][:, 0]
    parameters = {"layers.0.weight": w[None, :-1], "layers.0.bias": w[-1:]}
    return Optimum(parameters, loss_over(data, parameters))
