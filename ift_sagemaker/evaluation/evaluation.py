"""`Evaluation`: the base model against the tuned one on the same rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from ift_sagemaker.errors import DataError
from ift_sagemaker.evaluation.scores import Answer, Scores, score

if TYPE_CHECKING:
    import pandas as pd

METRICS = ("exact_match", "rouge_l", "loss")


@dataclass(frozen=True)
class Evaluation:
    """Scores of base and tuned model, and the rows they were made of."""

    base: Scores
    tuned: Scores
    predictions: tuple[Mapping[str, Any], ...]
    stand_in: str = ""
    """What is said of weights that were trained in place of the model's own; empty where they are its own."""

    @classmethod
    def from_predictions(cls, rows: Iterable[Mapping[str, Any]]) -> Evaluation:
        """The evaluation of the rows of `predictions.jsonl`.

        Each has instruction, prompt, reference, and for `base` and `tuned` prediction, loss (nats per
        token), tokens (of the reference) and ended. Raises DataError naming the first row that lacks
        something, or where there are no rows.
        """
        predictions = tuple(rows)
        if not predictions:
            raise DataError("there are no predictions to evaluate")
        return cls(_scores(predictions, "base"), _scores(predictions, "tuned"), predictions)

    def to_dict(self) -> dict[str, Any]:
        """Scores as plain data, without the predictions."""
        told = {"stand_in": self.stand_in} if self.stand_in else {}
        return {**told, "base": self.base.to_dict(), "tuned": self.tuned.to_dict()}

    def to_frame(self) -> pd.DataFrame:
        """One row for all rows and one for each instruction; columns count, exact_match_base, …_tuned …"""
        import pandas as pd

        rows = {
            name: {"count": tuned.count}
            | {
                f"{metric}_{side}": getattr(scores, metric)
                for metric in METRICS
                for side, scores in (("base", base), ("tuned", tuned))
            }
            for name, base, tuned in self.parts()
        }
        return pd.DataFrame.from_dict(rows, orient="index")

    def parts(self) -> list[tuple[str, Scores, Scores]]:
        """Name, base and tuned: of all rows first, then of each instruction."""
        by_name = [
            (name, self.base.by_instruction[name], tuned) for name, tuned in self.tuned.by_instruction.items()
        ]
        return [("(all)", self.base, self.tuned), *by_name]

    def __str__(self) -> str:
        width = max(len(name) for name, _, _ in self.parts())
        lines = [f"{'base → tuned':<{width}}  rows   exact_match        rouge_l           loss"]
        for name, base, tuned in self.parts():
            figures = (
                f"{figure(getattr(base, metric)):>5} → {figure(getattr(tuned, metric))}" for metric in METRICS
            )
            lines.append(f"{name:<{width}}  {tuned.count:>4}  {'    '.join(figures)}")
        return "\n".join([*([self.stand_in] if self.stand_in else []), *lines])

    def _repr_html_(self) -> str:
        said = f"<p>{escape(self.stand_in)}</p>" if self.stand_in else ""
        return said + str(self.to_frame().to_html(float_format="{:.3f}".format))


def _scores(rows: tuple[Mapping[str, Any], ...], side: str) -> Scores:
    answers = []
    for number, row in enumerate(rows, start=1):
        try:
            answers.append(Answer.of(row, side))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"prediction {number} cannot be used for {side}: {error!r}") from error
    return score(answers)


def figure(value: float | None) -> str:
    """Three decimals; a dash where there is no figure."""
    return "-" if value is None else f"{value:.3f}"
