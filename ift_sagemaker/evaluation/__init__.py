"""Pure: predictions become scores, base against tuned, and a gate."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ift_sagemaker.errors import DataError
from ift_sagemaker.evaluation.scoring import exact_match, rouge_l

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Evaluation", "Scores"]

BASE, TUNED = "base", "tuned"
METRICS = ("exact_match", "rouge_l", "loss", "ended")


@dataclass(frozen=True)
class Scores:
    """Scores of one model over `count` rows.

    `exact_match`, `rouge_l` and `ended` (the share of answers that the model itself ended) are from 0 to 1;
    `loss` is the mean cross-entropy of the references in nats a token.
    """

    count: int
    exact_match: float
    rouge_l: float
    loss: float
    ended: float
    by_instruction: Mapping[str, Scores] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        plain: dict[str, Any] = {name: getattr(self, name) for name in (*METRICS, "count")}
        if self.by_instruction:
            plain["by_instruction"] = {name: part.to_dict() for name, part in self.by_instruction.items()}
        return plain


@dataclass(frozen=True)
class Evaluation:
    """Base and tuned over the same held-out rows; `predictions` keeps every answer."""

    base: Scores
    tuned: Scores
    predictions: tuple[Mapping[str, Any], ...] = field(repr=False)

    @classmethod
    def from_predictions(cls, rows: Iterable[Mapping[str, Any]]) -> Evaluation:
        """The evaluation of `predictions.jsonl`; raises DataError where there is nothing to score."""
        kept = tuple(rows)
        if not kept:
            raise DataError("the evaluation holds no predictions, so there is nothing to score")
        return cls(_scores(kept, BASE), _scores(kept, TUNED), kept)

    def to_dict(self) -> dict[str, Any]:
        return {
            BASE: {"by_instruction": {}, **self.base.to_dict()},
            TUNED: {"by_instruction": {}, **self.tuned.to_dict()},
        }

    def to_frame(self) -> pd.DataFrame:
        """One row an instruction and one for all, a column each for base and tuned of every metric."""
        import pandas as pd

        rows = {
            name: {
                f"{metric}_{side}": getattr(scores, metric)
                for metric in METRICS
                for side, scores in ((BASE, base), (TUNED, tuned))
            }
            | {"count": base.count}
            for name, base, tuned in self.parts()
        }
        return pd.DataFrame.from_dict(rows, orient="index")

    def parts(self) -> list[tuple[str, Scores, Scores]]:
        """Name, base and tuned of everything and of each instruction, in order of first appearance."""
        by_name = [
            (name, part, self.tuned.by_instruction[name]) for name, part in self.base.by_instruction.items()
        ]
        return [("all", self.base, self.tuned), *by_name]

    def __str__(self) -> str:
        width = max(len(name) for name, _, _ in self.parts())
        lines = [f"{'':<{width}}  rows  exact match     ROUGE-L         loss"]
        for name, base, tuned in self.parts():
            lines.append(
                f"{name:<{width}}  {base.count:>4}  {base.exact_match:.2f} → {tuned.exact_match:.2f}     "
                f"{base.rouge_l:.2f} → {tuned.rouge_l:.2f}     {base.loss:.2f} → {tuned.loss:.2f}"
            )
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return str(self.to_frame().to_html(float_format="{:.3f}".format))


def _scores(rows: Sequence[Mapping[str, Any]], side: str) -> Scores:
    groups: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        if row.get("instruction"):
            groups[row["instruction"]].append(row)
    parts = {name: _mean(group, side, {}) for name, group in groups.items()}
    return _mean(rows, side, parts)


def _mean(rows: Sequence[Mapping[str, Any]], side: str, parts: Mapping[str, Scores]) -> Scores:
    tokens = sum(row[side]["tokens"] for row in rows)
    return Scores(
        count=len(rows),
        exact_match=sum(exact_match(row[side]["prediction"], row["reference"]) for row in rows) / len(rows),
        rouge_l=sum(rouge_l(row[side]["prediction"], row["reference"]) for row in rows) / len(rows),
        loss=sum(row[side]["loss"] * row[side]["tokens"] for row in rows) / tokens
        if tokens
        else float("nan"),
        ended=sum(bool(row[side]["ended"]) for row in rows) / len(rows),
        by_instruction=parts,
    )
