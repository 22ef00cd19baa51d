"""Functions of PyTorch tensors: in place of torch.autograd.gradcheck and gradgradcheck."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from backproof.checkers.checks import Check
from backproof.checkers.functions.check import FunctionVerdict
from backproof.functions import GradientCheckError, gradcheck, gradgradcheck

F16, BF16, F32, F64 = torch.float16, torch.bfloat16, torch.float32, torch.float64


def draw(*shape: int, dtype: torch.dtype = F64, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=F64).to(dtype).requires_grad_()


X = draw(3)
POINT = torch.tensor([0.5, 1.0, -1.5], dtype=F64, requires_grad=True)
INTEGERS = torch.tensor([-1.0, 0.0, 0.0, 2.0], dtype=F64, requires_grad=True)


def judged(f: Callable[..., Any], inputs: Any = X, **options: Any) -> FunctionVerdict:
    return gradcheck(f, inputs, raise_exception=False, **options)


def judged_twice(f: Callable[..., Any], inputs: Any = X, **options: Any) -> FunctionVerdict:
    return gradgradcheck(f, inputs, raise_exception=False, **options)


def not_passed(verdict: FunctionVerdict) -> dict[str, str]:
    return {c.name: f"{c.status}: {c.detail}" for c in verdict.checks if c.status != "PASS"}


def named(verdict: FunctionVerdict, name: str) -> Check:
    (found,) = [c for c in verdict.checks if c.name == name]
    return found


# --- custom Functions -----------------------------------------------------------------------


class Square(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx: Any, y_bar: Tensor) -> Any:
        return 2 * ctx.saved_tensors[0] * y_bar


def square_with(backward: Callable[[Tensor, Tensor], Any]) -> Callable[[Tensor], Tensor]:
    """x^2 with this backward pass, of x and the cotangent."""

    class SquareWith(Square):
        @staticmethod
        def backward(ctx: Any, y_bar: Tensor) -> Any:
            return backward(ctx.saved_tensors[0], y_bar)

    return SquareWith.apply


def triple_with(backward: Callable[[Tensor], Any]) -> Callable[[Tensor], Tensor]:
    """3 x with this backward pass, of the cotangent."""

    class TripleWith(Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return 3 * x

        @staticmethod
        def backward(ctx: Any, y_bar: Tensor) -> Any:
            return backward(y_bar)

    return TripleWith.apply


def sine_in(dtype: torch.dtype, factor: float = 1.0) -> Callable[[Tensor], Tensor]:
    """A kernel for one dtype, as in C++; its gradient is off by a factor."""

    class Sine(Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            if x.dtype != dtype:
                raise TypeError(f"{dtype} only")
            ctx.save_for_backward(x)
            return torch.sin(x)

        @staticmethod
        def backward(ctx: Any, y_bar: Tensor) -> Any:
            return factor * torch.cos(ctx.saved_tensors[0]) * y_bar

    return Sine.apply


class Cube(Function):
    """With all that there is: a backward pass to differentiate, and forward mode."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x**3

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(inputs[0])
        ctx.save_for_forward(inputs[0])

    @staticmethod
    def backward(ctx: Any, y_bar: Tensor) -> Any:
        return 3 * ctx.saved_tensors[0] ** 2 * y_bar

    @staticmethod
    def jvp(ctx: Any, x_dot: Tensor) -> Any:
        return 3 * ctx.saved_tensors[0] ** 2 * x_dot


class WrongTangent(Cube):
    @staticmethod
    def jvp(ctx: Any, x_dot: Tensor) -> Any:
        return 2 * ctx.saved_tensors[0] ** 2 * x_dot


class Constant(Cube):
    """Its backward pass is right, and the derivative of that is not."""

    @staticmethod
    def backward(ctx: Any, y_bar: Tensor) -> Any:
        return 3 * ctx.saved_tensors[0].detach() ** 2 * y_bar


class Once(Square):
    @staticmethod
    @once_differentiable
    def backward(ctx: Any, y_bar: Tensor) -> Any:
        return 2 * ctx.saved_tensors[0] * y_bar


class SineAndCosine(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(x)
        return torch.sin(x), torch.cos(x)

    @staticmethod
    def backward(ctx: Any, s_bar: Tensor, c_bar: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        return s_bar * torch.cos(x) - c_bar * torch.sin(x)


class Unmaterialised(SineAndCosine):
    """A cotangent that nothing uses comes as None, and is not expected."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        return SineAndCosine.forward(ctx, x)


class Product(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor) -> Tensor:
        ctx.save_for_backward(x, w)
        return x * w

    @staticmethod
    def backward(ctx: Any, y_bar: Tensor) -> Any:
        x, w = ctx.saved_tensors
        return y_bar * w, y_bar * x


class Half(Product):
    @staticmethod
    def backward(ctx: Any, y_bar: Tensor) -> Any:
        return y_bar * ctx.saved_tensors[1], None


class WritesInput(Square):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = Square.forward(ctx, x.clone())
        x.data.add_(1)
        return y


def as_if_contiguous(y_bar: Tensor) -> Tensor:
    """As a kernel does that is handed a pointer."""
    return 3 * torch.as_strided(y_bar, y_bar.shape, (y_bar.shape[-1], 1))


def empty_if_expanded(y_bar: Tensor) -> Tensor:
    """Takes a stride of 0 for a tensor without entries."""
    return 3 * y_bar if all(y_bar.stride()) else torch.zeros(y_bar.shape, dtype=y_bar.dtype)


# --- right functions ------------------------------------------------------------------------


LINEAR = torch.nn.Linear(3, 2)
MATRIX = draw(4, 3)

RIGHT: dict[str, tuple[Callable[..., Any], Any]] = {
    "a custom Function": (Square.apply, X),
    "in float32": (Square.apply, draw(3, dtype=F32)),
    "in float16": (Square.apply, draw(3, dtype=F16)),
    "in bfloat16": (Square.apply, draw(3, dtype=BF16)),
    "for float32 alone": (sine_in(F32), draw(4, dtype=F32)),
    "a cast to float32 inside": (lambda x: torch.sin(x.float()), X),
    "a module": (torch.nn.Linear(3, 2, dtype=F64), MATRIX),
    "a module in float32": (LINEAR, draw(4, 3, dtype=F32)),
    "weights from outside in float32": (lambda x: x @ LINEAR.weight.T, draw(4, 3, dtype=F32)),
    "softmax in bfloat16": (lambda x: torch.softmax(x, -1), draw(2, 3, dtype=BF16)),
    "several outputs": (SineAndCosine.apply, X),
    "several inputs and outputs": (lambda a, b: (a * b, a.sum(), b.exp()), (X, draw(3, seed=1))),
    "inputs in a list": (lambda a, b: a * b, [X, draw(3, seed=1)]),
    "two dtypes": (lambda a, b: a * b, (X, draw(3, dtype=F32))),
    "an input without use": (lambda a, b: 2 * a, (X, draw(2))),
    "an index": (lambda x, i: x[i], (X, torch.tensor([0, 2, 0]))),
    "a number": (lambda x, n: x**n, (X, 3)),
    "an output that is no tensor": (lambda x: (2 * x, 3, None), X),
    "an output of integers": (lambda x: x.max(0), X),
    "a detached output beside another": (lambda x: (2 * x, x.detach()), X),
    "a transposed input": (torch.sin, MATRIX.detach().t().requires_grad_()),
    "an input with gaps": (torch.sin, draw(6).detach()[::2].requires_grad_()),
    "an expanded input": (torch.sin, draw(1).detach().expand(3).requires_grad_()),
    "an input that is no leaf": (torch.sin, 2 * X),
    "one tensor twice": (lambda a, b: a * b, (X, X)),
    "a scalar": (torch.exp, torch.tensor(0.5, dtype=F64, requires_grad=True)),
    "a view": (lambda x: x[1:], X),
    "the input itself": (lambda x: x, X),
    "in place on a copy": (lambda x: x.clone().mul_(2), X),
    "a cotangent viewed": (triple_with(lambda y_bar: 3 * y_bar.reshape(-1).view(2, 3)), draw(2, 3)),
    "a convolution": (torch.nn.functional.conv2d, (draw(1, 2, 3, 3), draw(1, 2, 2, 2))),
    "an empty tensor": (torch.sin, draw(0, 3)),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_function_is_verified(name: str) -> None:
    found = judged(*RIGHT[name])
    assert found.status == "PASS", not_passed(found)


@pytest.mark.parametrize(
    "f, x",
    [
        (sine_in(BF16), draw(4, dtype=BF16)),
        (torch.nn.Linear(3, 2, dtype=BF16), draw(4, 3, dtype=BF16)),
    ],
    ids=["a kernel", "a module"],
)
def test_what_runs_in_bfloat16_alone_is_not_called_wrong(f: Callable[..., Any], x: Tensor) -> None:
    """Two digits and a half do not make a slope."""
    found = judged(f, x)
    assert found.status in ("PASS", "INCONCLUSIVE"), not_passed(found)


def test_an_input_without_use_is_said_to_have_no_gradient() -> None:
    found = judged(*RIGHT["an input without use"])
    assert named(found, "form of input 1").detail == "there is none (None), which says that it is 0"


def test_it_works_where_gradients_are_switched_off() -> None:
    with torch.no_grad():
        assert judged(torch.sin)


def test_the_caller_s_tensors_stay_as_they_were() -> None:
    x = X.detach().clone().requires_grad_()
    judged(WritesInput.apply, x)
    assert torch.equal(x, X) and x.grad is None


# --- wrong functions ------------------------------------------------------------------------


FAULTS: dict[str, tuple[Callable[..., Any], Any, str, str]] = {
    "off by 1e-4": (
        square_with(lambda x, y_bar: 2.0002 * x * y_bar), X, "values of input 0", "off by 0.0001",
    ),
    "off by 1e-4 in float32": (
        square_with(lambda x, y_bar: 2.0002 * x * y_bar), draw(3, dtype=F32), "values of input 0",
        "off by 0.0001",
    ),
    "off by a tenth in bfloat16": (
        square_with(lambda x, y_bar: 2.2 * x * y_bar), draw(3, dtype=BF16), "values of input 0",
        "all of it times 1.1",
    ),
    "off by 1e-3 for float32 alone": (
        sine_in(F32, 1.001), draw(4, dtype=F32), "values of input 0",
        "all of it times 1.001",
    ),
    "digits lost in float32": (
        square_with(lambda x, y_bar: 2 * ((x + 1e5) - 1e5) * y_bar), draw(3, dtype=F32),
        "values of input 0 in float32", "3 of 3",
    ),
    "negated": (
        square_with(lambda x, y_bar: -2 * x * y_bar), X, "values of input 0", "negated",
    ),
    "None": (Half.apply, (X, draw(3, seed=1)), "values of input 1", "all of it is zero"),
    "NaN": (
        square_with(lambda x, y_bar: x * y_bar * torch.nan), X, "values of input 0", "nan",
    ),
    "transposed": (
        triple_with(lambda y_bar: 3 * y_bar.t()), draw(3, 3), "values of input 0", "transposed",
    ),
    "relu with slope 1.2 at 0": (
        lambda x: torch.relu(x) + 1.2 * (x * (x == 0)), INTEGERS, "values of input 0",
        "outside the hull",
    ),
    "in place on the cotangent": (
        triple_with(lambda y_bar: y_bar.mul_(3)), X, "caller's arrays",
        "it wrote to the cotangent of output 0",
    ),
    "in place on the input": (WritesInput.apply, X, "caller's arrays", "it wrote to input 0"),
    "reads memory as contiguous": (
        triple_with(as_if_contiguous), draw(3, 2), "strided cotangent", "for the same numbers",
    ),
    "ignores expanded cotangents": (
        triple_with(empty_if_expanded), draw(3, 2), "expanded cotangent", "for the same numbers",
    ),
    "clamps the cotangent": (
        triple_with(lambda y_bar: 3 * y_bar.clamp(-1, 1)), X, "scaled cotangent", "0.5 times",
    ),
    "expects every cotangent": (
        Unmaterialised.apply, X, "unused outputs", "it raises TypeError",
    ),
    "dropout": (
        lambda x: torch.nn.functional.dropout(x, 0.5), draw(5), "repeatable", "outputs differ",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_fails_by_name_and_in_words(name: str) -> None:
    f, x, check, words = FAULTS[name]
    found = judged(f, x)
    assert named(found, check).status == "FAIL", str(found)
    assert words in named(found, check).detail


def test_a_wrong_function_raises_what_torch_raises() -> None:
    with pytest.raises(RuntimeError, match="SquareWith is WRONG") as error:
        gradcheck(square_with(lambda x, y_bar: x * y_bar), X)
    assert isinstance(error.value, GradientCheckError)


def test_a_backward_pass_that_raises_raises() -> None:
    def broken(x: Tensor, y_bar: Tensor) -> Tensor:
        raise NotImplementedError("not yet")

    with pytest.raises(NotImplementedError, match="not yet"):
        gradcheck(square_with(broken), X)


@pytest.mark.parametrize(
    "f, inputs, words",
    [
        (torch.sin, torch.ones(3), "must be a tensor with requires_grad=True"),
        (torch.sin, (), "must be a tensor with requires_grad=True"),
        (torch.sin, (3.0,), "must be a tensor with requires_grad=True"),
        (torch.sin, torch.ones(2, dtype=torch.complex128, requires_grad=True), "is complex128"),
        (lambda x: torch.complex(x, x), X, "returns complex tensors"),
        (
            torch.sparse.sum,
            torch.eye(2).to_sparse().requires_grad_(),
            "input 0 is sparse; pass its values as a dense tensor",
        ),
        (lambda x: x.to_sparse(), MATRIX, "sparse"),
        (lambda x: x.detach(), X, "is it detached?"),
        (lambda x: x > 0, X, "is it detached?"),
        (lambda x: {"y": 2 * x}, X, "requires a gradient"),
    ],
    ids=[
        "no gradient wanted", "no inputs", "a number", "complex", "complex output", "sparse",
        "sparse output", "detached", "bools", "a dictionary",
    ],
)  # fmt: skip
def test_bad_use_is_one_clear_sentence(f: Callable[..., Any], inputs: Any, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)) as error:
        judged(f, inputs)
    assert "\n" not in str(error.value)


# --- forward mode and vmap ------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [F64, F32])
def test_forward_mode_is_checked_when_asked_for(dtype: torch.dtype) -> None:
    x = draw(2, dtype=dtype)
    assert judged(Cube.apply, x, check_forward_ad=True)
    assert judged(WrongTangent.apply, x)
    found = judged(WrongTangent.apply, x, check_forward_ad=True)
    assert named(found, "reverse: values of input 0").status == "PASS"
    assert named(found, "forward: values of input 0").status == "FAIL"
    assert "times 0.666667" in named(found, "forward: values of input 0").detail


def test_forward_mode_alone() -> None:
    found = judged(WrongTangent.apply, check_forward_ad=True, check_backward_ad=False)
    assert named(found, "values of input 0").status == "FAIL"
    wrong_back = square_with(lambda x, y_bar: x * y_bar)
    with pytest.raises(NotImplementedError, match="jvp"):
        judged(wrong_back, check_forward_ad=True, check_backward_ad=False)


def test_forward_mode_of_several_inputs_and_outputs() -> None:
    inputs = (draw(2), draw(2, seed=1))
    assert judged(lambda a, b: (a * b, a.sin()), inputs, check_forward_ad=True)


def test_neither_mode_is_no_check() -> None:
    with pytest.raises(ValueError, match="neither backward nor forward"):
        judged(torch.sin, check_backward_ad=False)


def test_many_cotangents_at_once() -> None:
    found = judged(torch.sin, check_batched_grad=True)
    assert found.status == "PASS", not_passed(found)
    assert named(found, "batched: values of input 0").status == "PASS"


def with_branch(x: Tensor, y_bar: Tensor) -> Tensor:
    """Python's `if` on a number out of the cotangent, which vmap cannot do."""
    return 2 * x * y_bar if y_bar.sum().item() else torch.zeros_like(x)


def test_what_cannot_be_batched_fails_where_that_was_asked() -> None:
    assert judged(square_with(with_branch))
    found = judged(square_with(with_branch), check_batched_grad=True)
    assert found.status == "FAIL" and "batched" in " ".join(not_passed(found))


# --- the gradient of the gradient -------------------------------------------------------------


TWICE: dict[str, tuple[Callable[..., Any], Any]] = {
    "sin": (torch.sin, X),
    "a custom Function": (Cube.apply, X),
    "in float32": (torch.sin, draw(3, dtype=F32)),
    "of two inputs": (lambda a, b: (a * b, a.sin()), (X, draw(3, seed=1))),
    "of a custom product": (Product.apply, (X, draw(3, seed=1))),
    "linear": (lambda x: 3 * x, X),
    "relu": (torch.relu, X),
    "a detached output": (lambda x: (x.sin(), x.detach()), X),
    "an input without gradient": (lambda a, b: a * a * b, (X, draw(3, seed=1).detach())),
}


@pytest.mark.parametrize("name", TWICE)
def test_a_right_second_derivative_is_verified(name: str) -> None:
    found = judged_twice(*TWICE[name])
    assert found.status == "PASS", not_passed(found)
    assert found.name.startswith("the gradient of ")


@pytest.mark.parametrize("f", [Constant.apply, Once.apply], ids=["detached", "once"])
def test_a_wrong_second_derivative_is_caught_there_alone(f: Callable[..., Any]) -> None:
    assert judged(f).status == "PASS"
    found = judged_twice(f)
    assert named(found, "values of input 0").status == "FAIL"
    assert "all of it is zero" in named(found, "values of input 0").detail
    with pytest.raises(GradientCheckError, match="the gradient of"):
        gradgradcheck(f, X)


@pytest.mark.parametrize("given", [torch.ones(3, dtype=F64), (draw(3, seed=2),)])
def test_cotangents_may_be_given(given: Any) -> None:
    before = [g.detach().clone() for g in (given if isinstance(given, tuple) else (given,))]
    assert judged_twice(torch.sin, grad_outputs=given)
    for g, old in zip(given if isinstance(given, tuple) else (given,), before, strict=True):
        assert torch.equal(g, old)


def test_forward_over_reverse() -> None:
    found = judged_twice(torch.sin, draw(2), check_fwd_over_rev=True)
    assert found.status == "PASS", not_passed(found)
    assert named(found, "forward: values of input 0").status == "PASS"
    only = {"check_fwd_over_rev": True, "check_rev_over_rev": False}
    assert judged_twice(Constant.apply, draw(2), **only).status == "FAIL"


# --- in place of torch's ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "ours, theirs",
    [(gradcheck, torch.autograd.gradcheck), (gradgradcheck, torch.autograd.gradgradcheck)],
)
def test_every_parameter_of_torch_s_is_one_of_ours(ours: Any, theirs: Any) -> None:
    mine, yours = inspect.signature(ours).parameters, inspect.signature(theirs).parameters
    assert set(yours) <= set(mine)
    for name, parameter in yours.items():
        assert mine[name].kind == parameter.kind, name
        assert (mine[name].default is parameter.empty) == (parameter.default is parameter.empty)


def test_options_that_choose_a_method_do_nothing() -> None:
    """Alone, and all at once."""
    options: dict[str, Any] = {
        "eps": 1e-3, "nondet_tol": 1.0, "check_undefined_grad": False, "check_grad_dtypes": False,
        "fast_mode": True, "masked": True,
    }  # fmt: skip
    usual = judged(SineAndCosine.apply)
    for option, value in options.items():
        assert judged(SineAndCosine.apply, **{option: value}) == usual
    assert judged(SineAndCosine.apply, **options) == usual


def test_options_of_the_second_derivative_do_nothing_either() -> None:
    options = {"eps": 1e-3, "gen_non_contig_grad_outputs": True, "fast_mode": True, "masked": True}
    assert judged_twice(torch.sin, **options) == judged_twice(torch.sin)


def test_every_choice_of_modes_is_accepted() -> None:
    names = ("check_forward_ad", "check_backward_ad", "check_batched_grad")
    x = draw(1)
    for chosen in product([False, True], repeat=3):
        if any(chosen):
            assert judged(torch.sin, x, **dict(zip(names, chosen, strict=True)))


@pytest.mark.parametrize("digits", [4, 5, 6, 8, 10])
def test_an_error_that_torch_s_passes_is_caught(digits: int) -> None:
    wrong = square_with(lambda x, y_bar: 2 * (1 + 10.0**-digits) * x * y_bar)
    assert torch.autograd.gradcheck(wrong, POINT)
    assert judged(wrong, POINT).status == "FAIL"


@pytest.mark.parametrize(
    "f", [torch.relu, lambda x: (x - 2).amax(0, True) + torch.relu(x), lambda x: x.clamp(0, 2)]
)
def test_a_tie_that_torch_s_calls_wrong_is_verified(f: Callable[[Tensor], Tensor]) -> None:
    assert not torch.autograd.gradcheck(f, INTEGERS, raise_exception=False)
    found = judged(f, INTEGERS)
    assert found.status == "PASS", not_passed(found)


def test_float32_inputs_that_torch_s_cannot_do_are_verified() -> None:
    x = draw(3, dtype=F32)
    with pytest.warns(UserWarning, match="not.*double precision"):
        assert not torch.autograd.gradcheck(Square.apply, x, raise_exception=False)
    assert judged(Square.apply, x)


@pytest.mark.parametrize("tolerance", [{"rtol": 1e-3}, {"atol": 1e-3}])
def test_tolerances_excuse(tolerance: dict[str, float]) -> None:
    wrong = square_with(lambda x, y_bar: 2.0002 * x * y_bar)
    assert not judged(wrong, POINT)
    assert judged(wrong, POINT, **tolerance)


def test_the_same_seed_gives_the_same_report_and_torch_s_generator_stays() -> None:
    state = torch.get_rng_state()
    first, second = (judged(SineAndCosine.apply, seed=5) for _ in range(2))
    assert first == second and str(first) == str(second)
    assert judged_twice(torch.sin, seed=5) == judged_twice(torch.sin, seed=5)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_forward_pass_in_float32_behind_float64_is_told() -> None:
    def forward(x: Tensor) -> Tensor:
        return torch.tanh(x.float()).double()

    x = torch.tensor([0.3, -0.7, 1.1], dtype=torch.float64, requires_grad=True)
    with pytest.raises(GradientCheckError, match="coarser precision than its outputs have"):
        gradcheck(forward, (x,))


def test_where_the_forward_pass_overflows_in_its_dtype_no_gradient_is_blamed() -> None:
    """300^3 is no float16, though its slope would be one."""
    x = torch.tensor([300.0, 2.0], dtype=F16, requires_grad=True)
    found = judged(lambda x: x * x * x, x)
    assert found.status == "INCONCLUSIVE"
    assert "leaves the range of float16" in str(found)
    assert "FAIL" not in str(found)


def test_a_backward_pass_that_overflows_by_itself_is_wrong() -> None:
    class Overflowing(Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.save_for_backward(x)
            return x * 2

        @staticmethod
        def backward(ctx: Any, *bars: Tensor) -> Tensor:
            (x,) = ctx.saved_tensors
            wrong: Tensor = bars[0] * (x * x * x) * 2 / (x * x * x)
            return wrong

    x = torch.tensor([300.0, 2.0], dtype=F16, requires_grad=True)
    assert judged(Overflowing.apply, x).status == "FAIL"
