"""The scores of one model over a set of predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ift_sagemaker.evaluation.text_metrics import is_exact_match, rouge_l


@dataclass(frozen=True)
class Scores:
    """Means over `count` rows.

    `exact_match`, `rouge_l` and `ended` (answers that ended by themselves, within the limit of tokens) are
    shares of 0 to 1; `loss` is nats per token of the reference, each row weighted by its tokens, None where
    no row has tokens. `by_instruction` is empty in the scores of one instruction.
    """

    count: int
    exact_match: float
    rouge_l: float
    loss: float | None
    ended: float
    by_instruction: dict[str, Scores] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain data; `by_instruction` only where there is any."""
        value: dict[str, Any] = {
            "exact_match": self.exact_match,
            "rouge_l": self.rouge_l,
            "loss": self.loss,
            "ended": self.ended,
            "count": self.count,
        }
        if self.by_instruction:
            value["by_instruction"] = {name: part.to_dict() for name, part in self.by_instruction.items()}
        return value


@dataclass(frozen=True)
class Answer:
    """One model's answer to one row, with what was wanted."""

    instruction: str
    reference: str
    prediction: str
    loss: float
    tokens: int
    ended: bool

    @classmethod
    def of(cls, row: Mapping[str, Any], side: str) -> Answer:
        """The answer of `side` in a row of predictions. Raises KeyError, TypeError or ValueError."""
        answer = row[side]
        return cls(
            instruction=str(row.get("instruction") or ""),
            reference=_text(row["reference"]),
            prediction=_text(answer["prediction"]),
            loss=float(answer["loss"]),
            tokens=int(answer["tokens"]),
            ended=bool(answer["ended"]),
        )


def score(answers: Sequence[Answer]) -> Scores:
    """Scores of at least one answer, overall and by instruction, instructions in order of appearance."""
    groups: dict[str, list[Answer]] = {}
    for answer in answers:
        groups.setdefault(answer.instruction, []).append(answer)
    parts = {name: Scores(**_means(group)) for name, group in groups.items() if name}
    return Scores(**_means(answers), by_instruction=parts)


def _means(answers: Sequence[Answer]) -> dict[str, Any]:
    count, tokens = len(answers), sum(answer.tokens for answer in answers)
    matches = sum(is_exact_match(answer.prediction, answer.reference) for answer in answers)
    return {
        "count": count,
        "exact_match": matches / count,
        "rouge_l": sum(rouge_l(answer.prediction, answer.reference) for answer in answers) / count,
        "loss": sum(answer.loss * answer.tokens for answer in answers) / tokens if tokens else None,
        "ended": sum(answer.ended for answer in answers) / count,
    }


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected a text, got {value!r}")
    return value
