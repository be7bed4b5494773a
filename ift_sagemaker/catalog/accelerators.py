"""How fast accelerators multiply, where a figure is known."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from ift_sagemaker.catalog.facts import load


@dataclass(frozen=True)
class Accelerator:
    """`tflops`: dense 16-bit peak, 10^12 a second. `share`: low, likely and high part that training gets.

    `bfloat16` is False where that format has no hardware of its own, so that the peak is float16's.
    """

    name: str
    tflops: float
    bfloat16: bool
    share: tuple[float, float, float]
    source: str
    as_of: str


@cache
def accelerators() -> dict[str, Accelerator]:
    """Every accelerator with a known peak, by the name that `Instance.accelerator` has."""
    facts = load("accelerators.json")
    return {
        entry["name"]: Accelerator(
            entry["name"],
            entry["tflops"],
            entry["bfloat16"],
            tuple(entry["share"]),
            facts["source"],
            facts["date"],
        )
        for entry in facts["accelerators"]
    }
