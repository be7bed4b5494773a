"""The metric lines of the program: one line a step, read by SageMaker's regexes and by our own client."""

from __future__ import annotations

import re
from collections.abc import Mapping

METRIC_NAMES = (
    "step",
    "total_steps",
    "epoch",
    "train_loss",
    "eval_loss",
    "learning_rate",
    "gradient_norm",
    "tokens_per_second",
    "peak_memory_gib",
    "eta_seconds",
)
_NUMBER = r"([-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)"
METRIC_DEFINITIONS = tuple(
    {"Name": name, "Regex": rf"ift_metrics .*\b{name}={_NUMBER}"} for name in METRIC_NAMES
)
_PAIR = re.compile(rf"\b([a-z_]+)={_NUMBER}(?=\s|$)")


def format_metrics(values: Mapping[str, float]) -> str:
    """`ift_metrics step=3 train_loss=1.25 …`; unknown names are a KeyError, so that no metric goes unseen."""
    unknown = set(values) - set(METRIC_NAMES)
    if unknown:
        raise KeyError(f"not in METRIC_NAMES: {sorted(unknown)}")
    return "ift_metrics " + " ".join(f"{name}={value:.6g}" for name, value in values.items())


def parse_metrics(line: str) -> dict[str, float] | None:
    """The values of a metric line, None for any other line."""
    start = line.find("ift_metrics ")
    if start < 0:
        return None
    return {name: float(value) for name, value in _PAIR.findall(line[start:]) if name in METRIC_NAMES}
