"""Scores of one answer against its reference."""

from __future__ import annotations

import re
from collections.abc import Sequence

_WORDS = re.compile(r"[a-z0-9]+")


def normalised(text: str) -> str:
    """What exact match compares: trimmed, case folded, inner blanks single, one final full stop dropped."""
    return " ".join(text.split()).casefold().removesuffix(".")


def exact_match(prediction: str, reference: str) -> bool:
    return normalised(prediction) == normalised(reference)


def rouge_l(prediction: str, reference: str) -> float:
    """ROUGE-L F1 over lowercase alphanumeric words, from 0 to 1; two empty texts agree.

    Lin (2004), "ROUGE: A Package for Automatic Evaluation of Summaries".
    """
    left, right = _WORDS.findall(prediction.lower()), _WORDS.findall(reference.lower())
    if not left or not right:
        return float(left == right)
    common = _longest_common_subsequence(left, right)
    return 2 * common / (len(left) + len(right))


def _longest_common_subsequence(left: Sequence[str], right: Sequence[str]) -> int:
    row = [0] * (len(right) + 1)
    for word in left:
        diagonal = 0
        for index, other in enumerate(right, start=1):
            above = row[index]
            row[index] = diagonal + 1 if word == other else max(above, row[index - 1])
            diagonal = above
    return row[-1]
