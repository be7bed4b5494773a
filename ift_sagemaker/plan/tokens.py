"""How many tokens a data set has: counted, sampled or estimated from characters, with an error bar."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ift_sagemaker.data import InstructionDataset
from ift_sagemaker.data.tokens import counter
from ift_sagemaker.data.tokens.counter import TokenCounter
from ift_sagemaker.data.tokens.tokenizer import ModelTokenizer
from ift_sagemaker.errors import ConfigError, TemplateError, UnsupportedError
from ift_sagemaker.plan.quantities import Range
from ift_sagemaker.wire.rows import to_messages

SAMPLE = 1000
CHARACTERS_PER_TOKEN = Range(*counter.CHARACTERS_PER_TOKEN)
TEMPLATE_TOKENS = Range(*counter.TEMPLATE_TOKENS)
_TWO_SIGMA = 2.0

Row = Mapping[str, Any]
TokensOf = Callable[[Sequence[Row]], list[int]]


@dataclass(frozen=True)
class TokenCount:
    """Tokens of all rows once: `total` between `low` and `high`, as `sampled` of `rows` rows tell.

    `longest` is the longest row seen, at its high estimate; `how` says in words where the figures are from.
    """

    total: float
    low: float
    high: float
    rows: int
    sampled: int
    longest: float
    how: str
    counted: bool = True
    """False where tokens are estimated from characters."""

    @property
    def range(self) -> Range:
        return Range(self.low, self.total, self.high)

    @property
    def mean(self) -> float:
        """Tokens of a row."""
        return self.total / self.rows if self.rows else 0.0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of_lengths(cls, lengths: Sequence[int], rows: int, how: str = "") -> TokenCount:
        """The count from the token lengths of a random sample of the rows, or of all of them.

        Two standard errors of the mean to each side, with the correction for a finite population; never less
        than the sample itself. At least one length; `rows` is at least their number.
        """
        mean, error = _mean_and_error(lengths, rows)
        low, high = max(float(sum(lengths)), rows * (mean - error)), rows * (mean + error)
        what = "all rows counted" if len(lengths) == rows else f"{len(lengths)} of {rows} rows counted"
        total = max(low, rows * mean)
        return cls(total, low, max(high, total), rows, len(lengths), max(lengths), how or what)

    @classmethod
    def of_characters(cls, lengths: Sequence[int], rows: int) -> TokenCount:
        """The estimate from the characters of a random sample of the rows, or of all of them."""
        mean, error = _mean_and_error(lengths, rows)
        characters = Range(max(0.0, mean - error), mean, mean + error)
        tokens = (characters.over(CHARACTERS_PER_TOKEN) + TEMPLATE_TOKENS) * rows
        longest = max(lengths) / CHARACTERS_PER_TOKEN.low + TEMPLATE_TOKENS.high
        how = (
            f"estimate: {CHARACTERS_PER_TOKEN.low:g} to {CHARACTERS_PER_TOKEN.high:g} characters a token, "
            f"{len(lengths)} of {rows} rows read"
        )
        return cls(tokens.likely, tokens.low, tokens.high, rows, len(lengths), longest, how, counted=False)


def count_tokens(
    data: InstructionDataset, tokens_of: TokensOf | None = None, *, sample: int | None = SAMPLE, seed: int = 0
) -> TokenCount:
    """Tokens of a data set as `tokens_of` counts rows (their chat template included).

    Without `tokens_of` an estimate from characters. `sample` rows are looked at, the same ones for the same
    seed, and beside them the row that has the most characters; None looks at all, which makes a count exact.
    """
    rows = len(data)
    wanted = rows if sample is None else min(rows, sample)
    chosen = range(rows) if wanted == rows else sorted(random.Random(seed).sample(range(rows), wanted))  # noqa: S311
    if tokens_of is None:
        return TokenCount.of_characters([_characters(data, data[index]) for index in chosen], rows)
    found = TokenCount.of_lengths(tokens_of([data[index] for index in chosen]), rows)
    if wanted == rows:
        return found
    longest = max((row for row in data), key=lambda row: _characters(data, row))
    return replace(found, longest=max(found.longest, *tokens_of([longest])))


class RowTokens:
    """Counts by the tokenizer in a folder of weights; estimates, and says why, where that cannot be had."""

    def __init__(self, folder: Path, *, exact: bool = False) -> None:
        self._sample = None if exact else SAMPLE
        self._counter, self._lacking = None, ""
        try:
            self._counter = TokenCounter(ModelTokenizer(folder))
        except (ConfigError, UnsupportedError) as error:
            self._lacking = error.message

    def of(self, data: InstructionDataset) -> TokenCount:
        """Tokens of the rows as the trainer has them."""
        counter, lacking = self._counter, self._lacking
        if counter is not None:
            try:
                found = count_tokens(
                    data,
                    lambda rows: counter.count_rows([to_messages(row, data.template) for row in rows]),
                    sample=self._sample,
                )
                return replace(found, how=f"{found.how} by the model's own tokenizer")
            except TemplateError as error:
                lacking = error.message
        found = count_tokens(data, sample=self._sample)
        return replace(found, how=f"{found.how}; not counted: {lacking}")


def _characters(data: InstructionDataset, row: Row) -> int:
    return len(data.prompt(row)) + len(data.completion(row))


def _mean_and_error(lengths: Sequence[int], rows: int) -> tuple[float, float]:
    count = len(lengths)
    mean = sum(lengths) / count
    if count == rows:
        return mean, 0.0
    if count == 1:
        return mean, mean
    variance = sum((length - mean) ** 2 for length in lengths) / (count - 1)
    unseen = math.sqrt((rows - count) / (rows - 1))
    return mean, min(mean, _TWO_SIGMA * math.sqrt(variance / count) * unseen)
