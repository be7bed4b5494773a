"""Exact match and ROUGE-L of two texts."""

from __future__ import annotations

import re
from collections.abc import Sequence

_TOKEN = re.compile(r"[a-z0-9]+")


def is_exact_match(prediction: str, reference: str) -> bool:
    """Equal after trimming, folding case and dropping one final full stop."""
    return _plain(prediction) == _plain(reference)


def rouge_l(prediction: str, reference: str) -> float:
    """ROUGE-L F1 in 0 to 1: the longest common subsequence of lowercase ASCII alphanumeric tokens.

    Lin (2004), ROUGE: A Package for Automatic Evaluation of Summaries, with equal weight of precision and
    recall and the tokens of the rouge_score package's default tokenizer, without stemming. 0 where either
    text has no such token, so it says nothing about texts in other scripts.
    """
    found, wanted = _TOKEN.findall(prediction.lower()), _TOKEN.findall(reference.lower())
    common = longest_common_subsequence(found, wanted)
    return 2 * common / (len(found) + len(wanted)) if common else 0.0


def longest_common_subsequence(one: Sequence[str], other: Sequence[str]) -> int:
    """Its length, in time of the product of both lengths and memory of the shorter."""
    longer, shorter = (one, other) if len(one) >= len(other) else (other, one)
    row = [0] * (len(shorter) + 1)
    for token in longer:
        diagonal = 0
        for index, candidate in enumerate(shorter, start=1):
            above = row[index]
            row[index] = diagonal + 1 if token == candidate else max(above, row[index - 1])
            diagonal = above
    return row[-1]


def _plain(text: str) -> str:
    return text.strip().casefold().removesuffix(".").rstrip()
