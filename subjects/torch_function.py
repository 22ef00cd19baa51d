"""A function of PyTorch tensors, differentiated by autograd; custom Functions included.

The tensors that require a gradient are the inputs; outputs that need none are left out.
Backward is `torch.autograd.grad`, forward mode (`mode="forward"`) `torch.autograd.forward_ad`,
one input entry at a time.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Literal

import ml_dtypes
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd import forward_ad

Array = NDArray[Any]
Layout = Literal["plain", "strided", "expanded"]
Mode = Literal["reverse", "forward", "batched"]


class TorchFunction:
    """`function(*inputs)`, in a dtype and on a device of the inputs' own.

    For numerical differentiation it is evaluated in float64, where it can be.  `names` says
    what to call each input.  ValueError for inputs that cannot be differentiated numerically:
    none, complex, sparse.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        inputs: Any,
        name: str = "",
        mode: Mode = "reverse",
        names: Sequence[str] = (),
    ) -> None:
        self._function, self.mode = function, mode
        self._given = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)
        self._at = [
            i for i, x in enumerate(self._given) if isinstance(x, Tensor) and x.requires_grad
        ]
        if not self._at:
            raise ValueError("at least one of the inputs must be a tensor with requires_grad=True")
        for i in self._at:
            x = self._given[i]
            if x.layout != torch.strided:
                raise ValueError(f"input {i} is sparse; pass its values as a dense tensor")
            if not x.dtype.is_floating_point:
                raise ValueError(f"input {i} is {_dtype(x)}; pass its real and imaginary parts")
        self.name = name or _name(function)
        self.inputs = tuple(_array(self._given[i]) for i in self._at)
        self.input_names = tuple(names[i] if names else f"input {i}" for i in self._at)
        self.widens = self._widens()

    def _widens(self) -> bool:
        """Whether the function takes float64 where its inputs are coarser."""
        if all(self._given[i].dtype == torch.float64 for i in self._at):
            return True
        try:
            outputs = self.call(self.tensors([np.asarray(x, np.float64) for x in self.inputs]))
        except Exception:  # it says that it does not, whatever the words
            return False
        return all(y.dtype == torch.float64 for y in outputs)

    def tensors(self, arrays: Sequence[Array]) -> list[Any]:
        """The arguments of a call with these arrays as its differentiated inputs, leaves.

        float64 if the arrays are, else in the dtype of the tensors given.
        """
        arguments = list(self._given)
        for i, value in zip(self._at, arrays, strict=True):
            like = self._given[i].detach()
            dtype = torch.float64 if value.dtype == np.float64 else like.dtype
            leaf = torch.empty_like(like, dtype=dtype)
            leaf.copy_(torch.from_numpy(np.array(value, np.float64)))
            arguments[i] = leaf.requires_grad_()
        return arguments

    def leaves(self, arguments: Sequence[Any]) -> list[Tensor]:
        """The arguments that are differentiated."""
        return [arguments[i] for i in self._at]

    def call(self, arguments: Sequence[Any]) -> list[Tensor]:
        """The outputs that a gradient can be asked of."""
        with torch.enable_grad():
            returned = self._function(*arguments)
        several = returned if isinstance(returned, (tuple, list)) else (returned,)
        outputs = [y for y in several if isinstance(y, Tensor) and y.requires_grad]
        if not outputs:
            raise ValueError(f"no output of {self.name} requires a gradient: is it detached?")
        if any(y.layout != torch.strided for y in outputs):
            raise ValueError(f"{self.name} returns sparse tensors; return them dense")
        if any(y.dtype.is_complex for y in outputs):
            raise ValueError(
                f"{self.name} returns complex tensors; return real and imaginary parts"
            )
        return outputs

    def evaluate(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """The outputs at other inputs."""
        if not self.widens:
            inputs = [x.astype(own.dtype) for x, own in zip(inputs, self.inputs, strict=True)]
        return tuple(_array(y) for y in self.call(self.tensors(inputs)))

    def linearise(self, inputs: Sequence[Array]) -> TorchLinearised:
        """The forward pass on fresh leaves."""
        return TorchLinearised(self, self.tensors(inputs))


class TorchLinearised:
    """One forward pass and its graph."""

    def __init__(self, function: TorchFunction, arguments: Sequence[Any]) -> None:
        self._function, self._arguments = function, arguments
        self._leaves = function.leaves(arguments)
        self._before = [x.detach().clone() for x in self._leaves]
        self._outputs = function.call(arguments)
        self.outputs = tuple(_array(y) for y in self._outputs)
        self._written: list[str] = []

    def pull(
        self, cotangents: Sequence[Array | None], layout: Layout = "plain"
    ) -> tuple[Array | None, ...]:
        """The gradients of the inputs."""
        if self._function.mode == "forward":
            return self._pushed(cotangents)
        bars = [
            None if c is None else laid_out(_like(c, y), layout)
            for c, y in zip(cotangents, self._outputs, strict=True)
        ]
        before = [None if bar is None else bar.clone() for bar in bars]
        gradients = self._batched(bars) if self._function.mode == "batched" else self._grad(bars)
        for j, (bar, old) in enumerate(zip(bars, before, strict=True)):
            if bar is not None and old is not None and not torch.equal(bar, old):
                self._written.append(f"the cotangent of output {j}")
        return tuple(None if g is None else _array(g) for g in gradients)

    def _grad(self, bars: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        used = [(y, bar) for y, bar in zip(self._outputs, bars, strict=True) if bar is not None]
        return torch.autograd.grad(
            [y for y, _ in used], self._leaves, [bar for _, bar in used],
            retain_graph=True, allow_unused=True,
        )  # fmt: skip

    def _batched(self, bars: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        """The same through `vmap`, as the middle of three cotangents."""
        used = [(y, bar) for y, bar in zip(self._outputs, bars, strict=True) if bar is not None]
        gradients = torch.autograd.grad(
            [y for y, _ in used], self._leaves,
            [torch.stack([-bar, bar, 2 * bar]) for _, bar in used],
            retain_graph=True, allow_unused=True, is_grads_batched=True,
        )  # fmt: skip
        return [None if g is None else g[1] for g in gradients]

    def _pushed(self, cotangents: Sequence[Array | None]) -> tuple[Array | None, ...]:
        """<cotangent, J e> for every unit vector e of the inputs: forward mode alone."""
        found = []
        for x, columns in zip(self._leaves, self._jacobian, strict=True):
            g = torch.zeros(x.numel(), dtype=x.dtype)
            for i, dots in enumerate(columns):
                pairs = zip(dots, cotangents, strict=True)
                g[i] = sum(float((d * _like(c, d)).sum()) for d, c in pairs if c is not None)
            found.append(_array(g.reshape(x.shape)))
        return tuple(found)

    @cached_property
    def _jacobian(self) -> list[list[list[Tensor]]]:
        """For each input, along each unit vector, the derivative of each output."""
        return [[self._along(k, i) for i in range(x.numel())] for k, x in enumerate(self._leaves)]

    def _along(self, k: int, i: int) -> list[Tensor]:
        leaf = self._leaves[k]
        tangent = torch.zeros_like(leaf)
        tangent.view(-1)[i] = 1
        with warnings.catch_warnings(), forward_ad.dual_level():
            # PyTorch's own, at the first use of forward mode
            warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)
            dual = forward_ad.make_dual(leaf, tangent)  # type: ignore[no-untyped-call]
            arguments = [dual if a is leaf else a for a in self._arguments]
            found = []
            for y in self._function.call(arguments):
                dot = forward_ad.unpack_dual(y).tangent  # type: ignore[no-untyped-call]
                found.append(torch.zeros_like(y) if dot is None else dot.detach())
        return found

    def changed(self) -> tuple[str, ...]:
        """The inputs and cotangents that were written to."""
        pairs = zip(self._function.input_names, self._leaves, self._before, strict=True)
        inputs = [name for name, x, old in pairs if not torch.equal(x.detach(), old)]
        return (*inputs, *dict.fromkeys(self._written))


def laid_out(c: Tensor, layout: Layout) -> Tensor:
    """The same numbers, otherwise in memory."""
    if layout == "strided" and c.dim():
        wide = torch.zeros((*c.shape[:-1], 2 * c.shape[-1]), dtype=c.dtype, device=c.device)
        wide[..., ::2] = c
        return wide[..., ::2]
    if layout == "expanded" and c.numel():
        return c.reshape(-1)[0].expand(c.shape)
    return c.clone()


def second_order(
    function: Callable[..., Any], inputs: Any, cotangents: Any, seed: int
) -> tuple[Callable[..., Any], list[Any]]:
    """The gradient as a function of its own, and its inputs: those given and the cotangents.

    Its derivative is that of the backward pass.  Without `cotangents` they are Gaussian.
    """
    given = list(inputs) if isinstance(inputs, (tuple, list)) else [inputs]
    first = TorchFunction(function, given)
    outputs = first.call(first.tensors(first.inputs))
    generator = torch.Generator().manual_seed(seed)
    if cotangents is None:
        drawn = [torch.randn(y.shape, generator=generator, dtype=torch.float64) for y in outputs]
        bars = [b.to(y.device, y.dtype) for b, y in zip(drawn, outputs, strict=True)]
    else:
        several = isinstance(cotangents, (tuple, list))
        bars = [b.detach().clone() for b in (cotangents if several else [cotangents])]
    bars = [b.requires_grad_() for b in bars]

    def gradient(*arguments: Any) -> tuple[Tensor, ...]:
        xs, ys = list(arguments[: len(given)]), list(arguments[len(given) :])
        leaves = first.leaves(xs)
        gradients = torch.autograd.grad(
            first.call(xs), leaves, ys, create_graph=True, allow_unused=True
        )
        return tuple(g for g in gradients if g is not None and g.requires_grad)

    gradient.__name__ = f"the gradient of {first.name}"
    return gradient, [*given, *bars]


def as_tensor(value: Any) -> Any:
    """A NumPy array as a tensor that requires a gradient if it can have one; others as is."""
    if not isinstance(value, np.ndarray):
        return value
    return torch.from_numpy(value).requires_grad_(value.dtype.kind == "f")


def as_plain_tensor(value: Any) -> Any:
    """A NumPy array as a tensor; others as they are."""
    return torch.from_numpy(np.array(value)) if isinstance(value, np.ndarray) else value


def _like(c: Array, y: Tensor) -> Tensor:
    return torch.from_numpy(np.array(c, np.float64)).to(y.device, y.dtype)


def _array(x: Tensor) -> Array:
    """A copy, of the same dtype."""
    x = x.detach().cpu()
    if x.dtype == torch.bfloat16:
        return np.array(x.float().numpy()).astype(ml_dtypes.bfloat16)
    return np.array(x.numpy())


def _name(function: Any) -> str:
    """A function's name; of a custom Function's `apply` its class's."""
    if getattr(function, "__name__", "") == "apply" and isinstance(
        getattr(function, "__self__", None), type
    ):
        return str(function.__self__.__name__)
    return str(getattr(function, "__name__", type(function).__name__))


def _dtype(x: Tensor) -> str:
    return str(x.dtype).removeprefix("torch.")
