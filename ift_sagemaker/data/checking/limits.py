"""What a target takes, checked without writing it: each row, the file, the number of rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from ift_sagemaker.data.checking.tally import Tally
from ift_sagemaker.data.converting.targets import NotHeldError, ReservedWordError, Sheet, Target
from ift_sagemaker.data.rows.finding import Findings, Severity
from ift_sagemaker.data.rows.formats import RowShape
from ift_sagemaker.data.rows.instruction import Row
from ift_sagemaker.data.tokens.counter import PLANNING_CHARACTERS, estimated
from ift_sagemaker.errors import ConfigError
from ift_sagemaker.wire.template import PromptTemplate


class Tokens:
    """Tokens of a row, without a chat template: counted where there is a tokenizer, else estimated."""

    def __init__(self, count: Callable[[str], int] | None) -> None:
        self._count = count
        self.are_counted = count is not None

    def of(self, prompt: str, completion: str) -> int:
        if self._count is not None:
            return self._count(prompt) + self._count(completion)
        return estimated(len(prompt) + len(completion))


class TargetRules:
    """Checks rows against one target. Raises ConfigError where such rows cannot become the target's."""

    def __init__(self, target: Target, shape: RowShape, template: PromptTemplate | None) -> None:
        write = target.writers.get(shape.canonical)
        if write is None:
            takes = ", ".join(target.writers)
            message = f"{shape.name} rows cannot become {target.name}, which is made of {takes} rows"
            raise ConfigError(message, field="target", value=target.name)
        self._write, self._target, self._sheet = write, target, Sheet(template)

    def check(self, row: Row, line: int, findings: Findings) -> int | None:
        """The bytes that a canonical row becomes; None where the target cannot hold it."""
        try:
            return len(self._write(row, self._sheet))
        except NotHeldError as loss:
            rule = "reserved-word" if isinstance(loss, ReservedWordError) else "not-held"
            findings.add(line, "", rule, f"{self._target.name} cannot hold {loss}")
            return None

    def check_tokens(self, tokens: int, line: int, findings: Findings) -> None:
        """An error for a record of more tokens, counted by a tokenizer, than the target takes."""
        most = self._target.max_tokens
        if most is not None and tokens > most:
            message = f"has {tokens} tokens, {self._target.name} takes no more than {most}"
            findings.add(line, "", "token-limit", message)

    def check_characters(self, characters: int, line: int, findings: Findings) -> None:
        """A warning for a record that by AWS's planning figure has more tokens than the target takes."""
        most = self._target.max_tokens
        if most is not None and characters > most * PLANNING_CHARACTERS:
            message = (
                f"has, at {PLANNING_CHARACTERS} characters each, about "
                f"{math.ceil(characters / PLANNING_CHARACTERS)} tokens, "
                f"{self._target.name} takes no more than {most}"
            )
            findings.add(line, "", "token-limit", message, severity="warning")


def of_the_set(target: Target, tally: Tally) -> Iterator[tuple[Severity, str, str]]:
    """(severity, rule, message) of what the set as a whole is too much or too little of."""
    rows, size = tally.rows.total() or tally.usable, tally.sums["bytes"]
    if rows < target.minimum:
        yield "error", "row-count", f"has {rows} rows, {target.name} takes no fewer than {target.minimum}"
    elif target.advised is not None and rows < target.advised:
        yield "warning", "row-advice", f"has {rows} rows, {target.name} is advised {target.advised} or more"
    if target.maximum is not None and rows > target.maximum:
        yield "error", "row-count", f"has {rows} rows, {target.name} takes no more than {target.maximum}"
    if target.max_bytes is not None and size > target.max_bytes:
        message = f"becomes {size} bytes, {target.name} takes no more than {target.max_bytes}"
        yield "error", "file-size", message
