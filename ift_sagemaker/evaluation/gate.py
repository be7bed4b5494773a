"""The evaluation gate: requirements such as `exact_match>=0.7` that the tuned model must meet."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from ift_sagemaker.errors import ConfigError, GateError
from ift_sagemaker.evaluation.evaluation import METRICS, Evaluation

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_FORM = re.compile(
    r"\s*(?P<metric>[A-Za-z_]+)\s*(?:\[(?P<instruction>.+)\])?\s*(?P<operator>>=|<=|>|<)\s*(?P<limit>[^\s=<>]\S*)\s*",
    re.DOTALL,
)
_SHAPE = "metric>=number, as in exact_match>=0.7 or exact_match[Classify sentiment]>=0.7"


@dataclass(frozen=True)
class Requirement:
    """One demand on the tuned model's score, over all rows or those of one instruction."""

    metric: str
    operator: str
    limit: float
    instruction: str | None = None

    @classmethod
    def parse(cls, text: str) -> Requirement:
        """The requirement a text spells. Raises ConfigError that says how one is spelt."""
        match = _FORM.fullmatch(text)
        if match is None:
            raise ConfigError(
                f"{text!r} is no requirement; write {_SHAPE}", field="require", value=text, allowed=_SHAPE
            )
        metric = match["metric"].lower()
        if metric not in METRICS:
            raise ConfigError(
                f"{text!r}: no metric {metric!r}; there are {', '.join(METRICS)}",
                field="require",
                value=text,
                allowed=", ".join(METRICS),
            )
        instruction = match["instruction"]
        return cls(metric, match["operator"], _limit(match["limit"], metric, text), instruction)

    def require_instruction(self, instructions: Collection[str]) -> None:
        """Raises ConfigError where it is about an instruction that is not among these."""
        if self.instruction is not None and self.instruction not in instructions:
            known = ", ".join(repr(name) for name in instructions) or "none"
            raise ConfigError(
                f"{self}: no row has that instruction; there are {known}",
                field="require",
                value=str(self),
                allowed=known,
            )

    def missed_by(self, evaluation: Evaluation) -> str | None:
        """What is missed, with the figure; None where the requirement is met.

        Raises ConfigError for an instruction that no row has.
        """
        scores = evaluation.tuned
        if self.instruction is not None:
            self.require_instruction(scores.by_instruction)
            scores = scores.by_instruction[self.instruction]
        figure: float | None = getattr(scores, self.metric)
        if figure is None:
            return f"{self}: there is no figure, as no row has tokens"
        if _OPERATORS[self.operator](figure, self.limit):
            return None
        return f"{self}: it is {figure:.4g} over {scores.count} rows"

    def __str__(self) -> str:
        selector = "" if self.instruction is None else f"[{self.instruction}]"
        return f"{self.metric}{selector}{self.operator}{self.limit:g}"


def check(evaluation: Evaluation, requirements: Iterable[Requirement]) -> None:
    """Raises GateError with every requirement that the tuned model misses, each with its figure."""
    found = (requirement.missed_by(evaluation) for requirement in requirements)
    missed = [text for text in found if text is not None]
    if missed:
        lines = "".join(f"\n  - {text}" for text in missed)
        raise GateError(f"the evaluation gate said no:{lines}", missed=missed)


def _limit(text: str, metric: str, whole: str) -> float:
    try:
        limit = float(text)
    except ValueError:
        limit = math.nan
    allowed = "a finite number" if metric == "loss" else "a number from 0 to 1"
    if not math.isfinite(limit) or (metric != "loss" and not 0 <= limit <= 1):
        raise ConfigError(
            f"{whole!r}: {text!r} is not {allowed}", field="require", value=whole, allowed=allowed
        )
    return limit
