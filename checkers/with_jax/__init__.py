"""JAX's gradients of a case, in float64 on the CPU.

The network is written once more, forward only, from the docstrings of `operators` and
`losses`; JAX differentiates it.  To see the cotangent of every edge, a zero is added
at each (and at each use, where it has several) and differentiated with respect to:
d L(x + e) / de at e = 0 is x's cotangent.

JAX's own functions are used where they are accurate in float64 (`pieces.py`).

This is the only package that imports JAX.  The host program's JAX is left as it was:
float64, the device and the precisions are set in contexts.  (JAX's own log lines, where
it looks for accelerators, obey JAX_PLATFORMS=cpu and TF_CPP_MIN_LOG_LEVEL=3.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from importlib import import_module
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...architectures import operators as ops
from ...architectures.architecture import Architecture, Slot, edge_name, is_weight
from ...architectures.cases import Case
from ..estimate import Estimate, Unsupported
from . import (
    activations,
    attention,
    convolutions,
    dense,
    normalisations,
    recurrence,
    shapes,
)
from .forms import Array, Forward, Parameters
from .losses import LOSS, PENALTY

FORWARD: Mapping[type[Any], Forward] = {
    **dense.FORWARD,
    **activations.FORWARD,
    **shapes.FORWARD,
    **convolutions.FORWARD,
    **normalisations.FORWARD,
    **attention.FORWARD,
    **recurrence.FORWARD,
}
"""Each operator's y = f(op, parameters, x)."""

COMPILER_OPTIONS = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_parallel_codegen_split_count": 1,
}
"""Compile fast: a network is seen once.  Of 40 random networks of 4 to 8 layers the median
compiled in 40 ms rather than 171 (2 cores, JAX 0.10.2); accuracy, measured, is the same."""

UNSIMPLIFIED = {"xla_disable_hlo_passes": "algsimp"}
"""For convolutions: XLA's algebraic simplifier ends the process (a failed check, JAX 0.10.2)
where the gradient of one has a negative padding and a spatial axis of size 1."""

# --- the network ------------------------------------------------------------------------


def total_loss(
    architecture: Architecture,
    parameters: Parameters,
    perturbations: Mapping[str, Array],
    x: Array | None,
    targets: Mapping[str, Array],
    data: Mapping[str, Array],
) -> Array:
    """The losses and the penalties, with a perturbation added at every edge and every use."""
    a = architecture
    edges: dict[str, Array] = {} if x is None else {"input": x + perturbations["input"]}

    def used(slot: Slot, value: Array) -> Array:
        return value + perturbations[slot.name] if slot.name in a.named_slots else value

    for i, layer in enumerate(a.layers):
        if type(layer) not in FORWARD:
            raise Unsupported(f"the JAX checker has no {layer.name}")
        site = f"layers.{i}"
        p = {n.removeprefix(f"{site}."): d for n, d in data.items() if n.startswith(f"{site}.")}
        for key, name in a.own[i].items():
            p[key] = used(Slot(site, key, name), parameters[name])
        values = [used(Slot(site, k, n), edges[n]) for k, n in enumerate(a.sources[i])]
        y = FORWARD[type(layer)](layer, p, values[0] if len(values) == 1 else tuple(values))
        edges[edge_name(i + 1)] = y + perturbations[edge_name(i + 1)]
    total = jnp.zeros(())
    for site, loss in a.losses.items():
        if type(loss) not in LOSS:
            raise Unsupported(f"the JAX checker has no {loss.name}")
        values = [used(Slot(site, k, n), edges[n]) for k, n in enumerate(a.loss_sources[site])]
        y_or_ys = values[0] if len(values) == 1 else tuple(values)
        total += LOSS[type(loss)](loss, y_or_ys, targets.get(site))
    for penalty in a.penalties:
        for name in parameters:
            if is_weight(name):
                total += PENALTY[type(penalty)](penalty, parameters[name])
    return total


@contextmanager
def float64_on_cpu() -> Iterator[None]:
    """JAX as this module needs it, whatever the host has set; restored afterwards."""
    try:
        cpu = jax.devices("cpu")[0]
    except RuntimeError as error:
        raise Unsupported(f"JAX has no CPU device here: {error}") from None
    with ExitStack() as stack:
        for context in (
            _enable_x64(True),
            jax.default_device(cpu),
            jax.default_matmul_precision("highest"),
            jax.numpy_dtype_promotion("standard"),
            jax.numpy_rank_promotion("allow"),
            jax.debug_nans(False),
            jax.debug_infs(False),
        ):
            stack.enter_context(context)
        yield


def _enable_x64(on: bool) -> Any:
    """The context of jax.enable_x64, which older versions of JAX keep in jax.experimental."""
    home: Any = jax if hasattr(jax, "enable_x64") else import_module("jax.experimental")
    return home.enable_x64(on)


@lru_cache(maxsize=128)
def _gradients(architecture: Architecture) -> Callable[..., Any]:
    """(parameters, x, targets, data) -> loss, gradients; compiled when first called."""
    tensors, own = architecture.tensors, architecture.parameters
    zeros = {name: shape for name, shape in tensors.items() if name not in own}

    def gradients(parameters: Parameters, x: Any, targets: Any, data: Any) -> Any:
        def total(parameters: Parameters, perturbations: Mapping[str, Array]) -> Array:
            return total_loss(architecture, parameters, perturbations, x, targets, data)

        at_zero = {name: jnp.zeros(s) for name, s in zeros.items()}
        return jax.value_and_grad(total, argnums=(0, 1))(parameters, at_zero)

    convolves = any(type(layer) in ops.CONVOLUTIONS for layer in architecture.layers)
    options = COMPILER_OPTIONS | (UNSIMPLIFIED if convolves else {})
    return jax.jit(gradients, compiler_options=options)


def forget() -> None:
    """Free whatever has been compiled, by us or by the program around."""
    clear: Any = jax.clear_caches  # which JAX does not annotate
    _gradients.cache_clear()
    clear()


def _wide(value: Any) -> Any:
    """Floats of a case in float64, exactly; class numbers and masks as they are."""
    return np.asarray(value, np.float64) if value.dtype.kind == "f" else np.asarray(value)


def _values(case: Case) -> tuple[Any, Any, Any]:
    """What of a case is not a parameter: input, targets, data."""
    x = None if case.input is None else _wide(case.input)
    targets = {k: _wide(v) for k, v in case.targets.items()}
    return x, targets, {k: _wide(v) for k, v in case.data.items()}


def estimate(case: Case) -> Estimate:
    """The loss, and the gradient of every tensor, in float64.

    Values of a float32 case are converted, exactly.  Raises Unsupported where JAX has no
    CPU device.
    """
    parameters = {k: _wide(v) for k, v in case.parameters.items()}
    with float64_on_cpu():
        loss, gradients = _gradients(case.architecture)(parameters, *_values(case))
        entries = {k: np.array(v) for part in gradients for k, v in part.items()}
        return Estimate("jax", float(loss), entries)


def sgd_trajectory(cases: Sequence[Case], learning_rate: float) -> list[dict[str, Any]]:
    """The parameters after each step of optax.sgd on JAX's gradients, float64.

    It starts at the parameters of the first case; each case in turn gives a step's input
    and target.  Unsupported where JAX has no CPU device.
    """
    optax: Any = import_module("optax")  # needed by training alone, and slow to import
    trajectory = []
    optimiser = optax.sgd(learning_rate)
    with float64_on_cpu():
        first = cases[0].parameters
        parameters: Any = {k: jnp.asarray(v, jnp.float64) for k, v in first.items()}
        state = optimiser.init(parameters)
        for case in cases:
            _, (gradients, _) = _gradients(case.architecture)(parameters, *_values(case))
            updates, state = optimiser.update(gradients, state, parameters)
            parameters = optax.apply_updates(parameters, updates)
            trajectory.append({k: np.array(v) for k, v in parameters.items()})
    return trajectory


def optimiser_steps(
    name: str, parameters: Mapping[str, Any], gradients: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The parameters after each of Optax's steps on given gradients, float64.

    `name` is `adam` or `nesterov`, with the constants that Optax's `adam` has by itself, and
    a learning rate of 0.01, a momentum of 0.9.  Unsupported where JAX has no CPU device.
    """
    optax: Any = import_module("optax")
    makers = {
        "adam": lambda: optax.adam(0.01),
        "nesterov": lambda: optax.sgd(0.01, 0.9, nesterov=True),
    }
    trajectory = []
    with float64_on_cpu():
        now: Any = {k: jnp.asarray(v, jnp.float64) for k, v in parameters.items()}
        optimiser = makers[name]()
        state = optimiser.init(now)
        for given in gradients:
            fed = {k: jnp.asarray(g, jnp.float64) for k, g in given.items()}
            updates, state = optimiser.update(fed, state, now)
            now = optax.apply_updates(now, updates)
            trajectory.append({k: np.array(v) for k, v in now.items()})
    return trajectory
