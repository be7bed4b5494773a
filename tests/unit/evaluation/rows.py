"""Rows of predictions.jsonl, made small."""

from __future__ import annotations

from typing import Any


def prediction(
    reference: str, base: str, tuned: str, *, instruction: str = "", losses: tuple[float, float] = (2.0, 1.0)
) -> dict[str, Any]:
    """One row; tokens are the words of the reference."""

    def side(text: str, loss: float) -> dict[str, Any]:
        return {"prediction": text, "loss": loss, "tokens": len(reference.split()), "ended": True}

    return {
        "index": 0,
        "instruction": instruction or None,
        "prompt": "p",
        "reference": reference,
        "base": side(base, losses[0]),
        "tuned": side(tuned, losses[1]),
    }
