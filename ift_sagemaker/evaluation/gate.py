"""Requirements on the tuned model, as CI writes them: `exact_match>=0.7`."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ift_sagemaker.errors import ConfigError, GateError
from ift_sagemaker.evaluation import METRICS, Evaluation, Scores

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_FORM = re.compile(r"\s*(\w+)\s*(?:\[([^\]]+)\])?\s*(>=|<=|>|<)\s*([-+.\deE]+)\s*")
ALLOWED = f"METRIC>=VALUE or METRIC[INSTRUCTION]>=VALUE with METRIC one of {', '.join(METRICS)}"


@dataclass(frozen=True)
class Requirement:
    """One bound on one metric of the tuned model, over all rows or over one instruction's."""

    metric: str
    comparison: str
    bound: float
    instruction: str | None = None

    @classmethod
    def parse(cls, text: str) -> Requirement:
        """Raises ConfigError for a text of another form or an unknown metric."""
        match = _FORM.fullmatch(text)
        bound = _number(match[4]) if match and match[1] in METRICS else None
        if match is None or bound is None:
            raise ConfigError(
                f"requirement {text!r} is not of the form {ALLOWED}",
                field="require",
                value=text,
                allowed=ALLOWED,
            )
        return cls(match[1], match[3], bound, match[2])

    def figure(self, evaluation: Evaluation) -> float:
        """The figure it is about; raises ConfigError for an instruction that no row has."""
        scores: Scores = evaluation.tuned
        if self.instruction is not None:
            parts = evaluation.tuned.by_instruction
            if self.instruction not in parts:
                raise ConfigError(
                    f"no row has the instruction {self.instruction!r}; there are: {'; '.join(parts)}",
                    field="require",
                    value=self.instruction,
                    allowed=", ".join(parts),
                )
            scores = parts[self.instruction]
        value: float = getattr(scores, self.metric)
        return value

    def holds(self, evaluation: Evaluation) -> bool:
        """False for a figure that is not a number, whatever the bound."""
        return _OPERATORS[self.comparison](self.figure(evaluation), self.bound)

    def __str__(self) -> str:
        where = f"[{self.instruction}]" if self.instruction else ""
        return f"{self.metric}{where}{self.comparison}{self.bound:g}"


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def check(evaluation: Evaluation, requirements: Sequence[Requirement]) -> None:
    """Raises GateError naming every requirement the tuned model misses, with its figure."""
    missed = [
        f"{requirement}, measured {requirement.figure(evaluation):.4f}"
        for requirement in requirements
        if not requirement.holds(evaluation)
    ]
    if missed:
        raise GateError(f"the evaluation gate said no: {'; '.join(missed)}", missed=missed)
