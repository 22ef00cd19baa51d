"""One function's backward pass, checked where it is written.

    backproof.gradcheck(f, inputs)                    as torch.autograd.gradcheck
    backproof.gradgradcheck(f, inputs)                as torch.autograd.gradgradcheck
    backproof.check_grads(f, args, order, modes)      as jax.test_util.check_grads
    backproof.check_backward(forward, backward, *inputs)      for a pair written in NumPy

Each returns a `FunctionVerdict`, true where everything was verified, and raises
`GradientCheckError`, whose message is the whole report, where something was not.  The bounds
are derived: `atol` and `rtol` are 0 unless they are given, and then they excuse.
`expected_failures` maps the names of checks that are known to fail to the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from backproof.checkers.checks import Check
from backproof.checkers.functions.check import FunctionVerdict, check_function
from backproof.checkers.functions.function import Function
from backproof.checkers.functions.values import Allowance
from backproof.drawn import Drawn, over_points


class GradientCheckError(AssertionError, RuntimeError):
    """A gradient that is wrong, or could not be verified; the message is the report.

    Both what `jax.test_util.check_grads` and what `torch.autograd.gradcheck` raise.
    """

    def __init__(self, verdict: FunctionVerdict) -> None:
        super().__init__(str(verdict))
        self.verdict = verdict


def check_backward(
    forward: Callable[..., Any],
    backward: Callable[[Any, Any], Any],
    *inputs: Any,
    atol: float | None = None,
    rtol: float | None = None,
    raise_exception: bool = True,
    seed: int = 0,
    expected_failures: Mapping[str, str] | None = None,
) -> FunctionVerdict:
    """Check `backward(saved, y_bar)` against `forward(*inputs)`, which returns y or (y, saved).

    `y` is an array, or a list of them; where nothing is saved, `saved` is the tuple of inputs.
    `backward` returns the gradient of each input, None where there is none.  Inputs of an
    integer dtype are passed on.  An input may be `Drawn`: then many points are tried.
    """
    from backproof.subjects.numpy_pair import NumpyPair

    def at(values: Sequence[Any]) -> Function:
        return NumpyPair(forward, backward, values)

    return conclude([at], inputs, atol, rtol, raise_exception, seed, expected=expected_failures)


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float | None = None,
    atol: float | None = None,
    rtol: float | None = None,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = True,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
    seed: int = 0,
    expected_failures: Mapping[str, str] | None = None,
) -> FunctionVerdict:
    """Check autograd's gradient of a function of tensors, in place of torch.autograd.gradcheck.

    The tensors that require a gradient are differentiated, in any floating-point dtype.  The
    options that choose a method, `eps`, `nondet_tol`, `fast_mode`, `masked`, do nothing here;
    dtypes and undefined cotangents are always checked.
    """
    from backproof.subjects.torch_function import Mode, TorchFunction

    modes: list[Mode] = ["reverse"] if check_backward_ad else []
    modes += ["forward"] if check_forward_ad or check_batched_forward_grad else []
    modes += ["batched"] if check_batched_grad else []
    if not modes:
        raise ValueError("neither backward nor forward mode is to be checked")

    def at(mode: Mode) -> Callable[[Sequence[Any]], Function]:
        return lambda values: TorchFunction(func, _tensors(values), mode=mode)

    given = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
    builders = [at(m) for m in modes]
    return conclude(builders, given, atol, rtol, raise_exception, seed, modes, expected_failures)


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float | None = None,
    atol: float | None = None,
    rtol: float | None = None,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = True,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
    masked: bool = False,
    seed: int = 0,
    expected_failures: Mapping[str, str] | None = None,
) -> FunctionVerdict:
    """Check the gradient of the gradient, in place of torch.autograd.gradgradcheck.

    Gradients with respect to the inputs and to the cotangents, which are Gaussian where no
    `grad_outputs` are given.  Options are as for `gradcheck`.
    """
    from backproof.subjects.torch_function import second_order

    gradient, arguments = second_order(func, inputs, grad_outputs, seed)
    return gradcheck(
        gradient, arguments, atol=atol, rtol=rtol, raise_exception=raise_exception,
        check_batched_grad=check_batched_grad, check_forward_ad=check_fwd_over_rev,
        check_backward_ad=check_rev_over_rev, seed=seed, expected_failures=expected_failures,
    )  # fmt: skip


def check_grads(
    f: Callable[..., Any],
    args: Sequence[Any],
    order: int,
    modes: Sequence[str] = ("fwd", "rev"),
    atol: float | None = None,
    rtol: float | None = None,
    eps: float | None = None,
    *,
    raise_exception: bool = True,
    seed: int = 0,
    expected_failures: Mapping[str, str] | None = None,
) -> FunctionVerdict:
    """Check JAX's derivatives of a function, in place of jax.test_util.check_grads.

    Every entry of every argument, up to the given order, in forward ("fwd") and reverse
    ("rev") mode.  Arguments may be pytrees.  `eps` does nothing.
    """
    from backproof.subjects.jax_function import JaxFunction, Mode, derivative

    names: dict[str, Mode] = {"fwd": "forward", "rev": "reverse"}
    modes = (modes,) if isinstance(modes, str) else modes
    unknown = [m for m in modes if m not in names]
    if unknown or not modes:
        raise ValueError(f"modes must be of 'fwd' and 'rev', got {modes!r}")
    if not isinstance(order, int) or order < 1:
        raise ValueError(f"order must be an integer of at least 1, got {order!r}")

    def at(mode: Mode, nth: int) -> Callable[[Sequence[Any]], Function]:
        def build(values: Sequence[Any]) -> Function:
            g = f
            for _ in range(nth - 1):
                g = derivative(g, values, seed)
            return JaxFunction(g, values, mode)

        return build

    builders = [at(names[m], nth) for nth in range(1, order + 1) for m in modes]
    prefixes = [f"{m}, order {nth}" for nth in range(1, order + 1) for m in modes]
    return conclude(
        builders, tuple(args), atol, rtol, raise_exception, seed, prefixes, expected_failures
    )


def conclude(
    builders: Sequence[Callable[[Sequence[Any]], Function]],
    inputs: Sequence[Any],
    atol: float | None,
    rtol: float | None,
    raise_exception: bool,
    seed: int,
    prefixes: Sequence[str] = ("",),
    expected: Mapping[str, str] | None = None,
) -> FunctionVerdict:
    """The checks of every builder's function in one verdict, at one point or at many.

    ValueError for an expected failure of a check that there is not.
    """
    excuse = Allowance(0.0 if atol is None else atol, 0.0 if rtol is None else rtol)

    def at(values: Sequence[Any], seed: int) -> FunctionVerdict:
        verdicts = [
            _checked(b(values), prefix, seed, excuse, alone=len(builders) == 1)
            for b, prefix in zip(builders, prefixes, strict=True)
        ]
        checks = [
            msgspec.structs.replace(c, name=f"{prefix}: {c.name}") if len(builders) > 1 else c
            for prefix, verdict in zip(prefixes, verdicts, strict=True)
            for c in verdict.checks
        ]
        return FunctionVerdict(verdicts[0].name, _with_reasons(checks, expected or {}))

    drawn = any(isinstance(x, Drawn) for x in inputs)
    verdict = over_points(at, inputs, seed) if drawn else at(inputs, seed)
    if raise_exception and not verdict:
        raise GradientCheckError(verdict)
    return verdict


def _with_reasons(checks: Sequence[Check], expected: Mapping[str, str]) -> tuple[Check, ...]:
    unknown = sorted(expected.keys() - {c.name for c in checks})
    if unknown:
        names = ", ".join(c.name for c in checks)
        raise ValueError(f"expected_failures: there is no check {unknown[0]!r}; there are {names}")
    return tuple(msgspec.structs.replace(c, expected=expected.get(c.name, "")) for c in checks)


OTHER_WAYS = ("forward", "batched")
"""Ways to differentiate that a function need not have been written for."""


def _checked(
    function: Function, way: str, seed: int, excuse: Allowance, *, alone: bool
) -> FunctionVerdict:
    """The verdict; one of several ways to differentiate that the function cannot is a FAIL."""
    try:
        return check_function(function, seed=seed, excuse=excuse)
    except Exception as error:
        if way not in OTHER_WAYS or alone:
            raise
        detail = f"it raises {type(error).__name__}: {str(error).splitlines()[0][:200]}"
        why = "it was asked for, and does not work"
        return FunctionVerdict(function.name, (Check("differentiation", "FAIL", why, detail),))


def _tensors(values: Sequence[Any]) -> list[Any]:
    """Drawn arrays as tensors that require a gradient; the others as they are."""
    from backproof.subjects.torch_function import as_tensor

    return [as_tensor(v) for v in values]
