"""Checks of what other libraries hold: modules with parameters, and their functions.

    backproof.check_module(module, *inputs)     PyTorch, Keras 3 (on JAX or PyTorch)
    backproof.check_autograd(f, *inputs)        HIPS autograd
    backproof.check_tinygrad(f, *inputs)        tinygrad

Each returns a `FunctionVerdict` and raises `GradientCheckError`, as `backproof.gradcheck`
does.  Modules of Flax and Equinox are pytrees, or called with one: `backproof.check_grads`
takes them as an argument.  scikit-learn's perceptrons are a subject, `backproof check
scikit-learn`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from backproof.checkers.functions.check import FunctionVerdict
from backproof.checkers.functions.function import Function
from backproof.functions import conclude


def check_module(
    module: Any,
    *inputs: Any,
    atol: float | None = None,
    rtol: float | None = None,
    raise_exception: bool = True,
    seed: int = 0,
    expected_failures: Mapping[str, str] | None = None,
) -> FunctionVerdict:
    """Check the gradients of a module's inputs and of its trained parameters, by their names.

    The module itself is not changed: it is called with parameters and buffers given to it.
    One that draws random numbers (dropout in training) is not repeatable; put it in
    evaluation mode.  Inputs of an integer dtype are passed on.  TypeError for a module of
    another library.
    """
    library = _library_of(type(module))
    if library == "keras":
        build = _of_keras(module)
    elif library == "torch":
        build = _of_torch(module)
    else:
        raise TypeError(
            f"a {type(module).__name__} is no module of PyTorch or Keras; modules of Flax and "
            "Equinox are arguments of backproof.check_grads"
        )
    return conclude([build], inputs, atol, rtol, raise_exception, seed, expected=expected_failures)


def check_autograd(
    f: Callable[..., Any],
    *inputs: Any,
    atol: float | None = None,
    rtol: float | None = None,
    raise_exception: bool = True,
    seed: int = 0,
    expected_failures: Mapping[str, str] | None = None,
) -> FunctionVerdict:
    """Check HIPS autograd's gradient of a function of NumPy arrays that returns one."""
    from backproof.subjects.autograd_function import as_pair

    def build(values: Sequence[Any]) -> Function:
        return as_pair(f, values)

    return conclude([build], inputs, atol, rtol, raise_exception, seed, expected=expected_failures)


def check_tinygrad(
    f: Callable[..., Any],
    *inputs: Any,
    atol: float | None = None,
    rtol: float | None = None,
    raise_exception: bool = True,
    seed: int = 0,
    expected_failures: Mapping[str, str] | None = None,
) -> FunctionVerdict:
    """Check tinygrad's gradient of a function of tensors that returns one.

    `inputs` are NumPy arrays; the function is given tensors of their dtypes.
    """
    from backproof.subjects.tinygrad_function import as_pair

    def build(values: Sequence[Any]) -> Function:
        return as_pair(f, values)

    return conclude([build], inputs, atol, rtol, raise_exception, seed, expected=expected_failures)


Build = Callable[[Sequence[Any]], Function]


def _library_of(kind: type) -> str:
    """Keras's layers are PyTorch modules on that backend, so Keras is asked for first."""
    libraries = [base.__module__.partition(".")[0] for base in kind.__mro__]
    return next((name for name in ("keras", "torch") if name in libraries), libraries[0])


def _of_torch(module: Any) -> Build:
    from backproof.subjects.torch_function import TorchFunction, as_plain_tensor
    from backproof.subjects.torch_module import as_function

    def build(values: Sequence[Any]) -> Function:
        function, arguments, names = as_function(module, [as_plain_tensor(x) for x in values])
        return TorchFunction(function, arguments, names=names)

    return build


def _of_keras(layer: Any) -> Build:
    from backproof.subjects.keras_layer import as_function

    def build(values: Sequence[Any]) -> Function:
        found = as_function(layer, values)
        if found.backend == "jax":
            from backproof.subjects.jax_function import JaxFunction

            return JaxFunction(found.function, found.arguments, names=found.names)
        from backproof.subjects.torch_function import TorchFunction, as_tensor

        tensors = [as_tensor(x) for x in found.arguments]
        return TorchFunction(found.function, tensors, names=found.names)

    return build
