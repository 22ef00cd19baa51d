"""Programs that PyTorch may find itself in, and what such a program can see of its settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch

HOSTS: Mapping[str, Callable[[], AbstractContextManager[Any]]] = {
    "plain": nullcontext,
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "default device": lambda: torch.device("meta"),
    "detect_anomaly": lambda: torch.autograd.set_detect_anomaly(True),
}


def state() -> tuple[Any, ...]:
    """What a program can see of PyTorch's settings."""
    return (
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled("cpu"),
        torch.get_num_threads(),
        torch.get_num_interop_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_anomaly_enabled(),
        torch.get_rng_state().tolist(),
    )


@contextmanager
def host(name: str) -> Iterator[None]:
    """The host of that name, in float16 and with deterministic algorithms only."""
    dtype, deterministic = torch.get_default_dtype(), torch.are_deterministic_algorithms_enabled()
    try:
        torch.set_default_dtype(torch.float16)
        torch.use_deterministic_algorithms(True)
        with HOSTS[name]():
            yield
    finally:
        torch.set_default_dtype(dtype)
        torch.use_deterministic_algorithms(deterministic)
