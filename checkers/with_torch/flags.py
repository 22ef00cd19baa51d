"""What of PyTorch's settings and devices bears on the accuracy of a gradient."""

from __future__ import annotations

import torch


def flags() -> dict[str, str]:
    """The settings of the program around, as `torch` names them, and its devices."""
    return {
        "devices": ", ".join(_devices()),
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "cuda.matmul.allow_tf32": str(torch.backends.cuda.matmul.allow_tf32),
        "cudnn.allow_tf32": str(torch.backends.cudnn.allow_tf32),
        "default_dtype": str(torch.get_default_dtype()).removeprefix("torch."),
        "num_threads": str(torch.get_num_threads()),
    }


def _devices() -> list[str]:
    cuda = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return ["cpu", *cuda, *(["mps"] if torch.backends.mps.is_available() else [])]


def product(x: float, y: float) -> float:
    """x y, of two float64 tensors."""
    value = torch.tensor([x], dtype=torch.float64) * torch.tensor([y], dtype=torch.float64)
    return float(value[0])
