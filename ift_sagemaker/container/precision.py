"""Where and in which number format the model runs."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

MIN_SPEEDUP = 1.2
"""bfloat16 must be this much faster than float32 to be worth its rounding."""


@dataclass(frozen=True)
class Precision:
    """`dtype` of the frozen or served weights on `device`, with the `reason` for the log."""

    device: torch.device
    dtype: torch.dtype
    reason: str

    @property
    def name(self) -> str:
        return str(self.dtype).removeprefix("torch.")


def available_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _seconds(dtype: torch.dtype, repeats: int = 5) -> float:
    left, right = torch.ones(256, 1024, dtype=dtype), torch.ones(1024, 1024, dtype=dtype)
    torch.matmul(left, right)
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        torch.matmul(left, right)
        best = min(best, time.perf_counter() - start)
    return best


def bfloat16_speedup() -> float:
    """How many times faster this processor multiplies bfloat16 than float32 matrices; takes milliseconds."""
    return _seconds(torch.float32) / _seconds(torch.bfloat16)


def choose_precision(
    wanted: str = "auto",
    device: torch.device | None = None,
    speedup: Callable[[], float] = bfloat16_speedup,
) -> Precision:
    """The precision asked for ("bfloat16", "float32"), or with "auto" the faster one on this machine."""
    device = device or available_device()
    if wanted != "auto":
        return Precision(device, getattr(torch, wanted), "asked for")
    if device.type == "cuda":
        return Precision(device, torch.bfloat16, torch.cuda.get_device_name(device))
    factor = speedup()
    dtype = torch.bfloat16 if factor >= MIN_SPEEDUP else torch.float32
    return Precision(device, dtype, f"bfloat16 multiplies {factor:.1f} times as fast as float32 here")


def peak_memory_gib(device: torch.device) -> float:
    """Most memory used so far: of the card, or of this process."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device)) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
