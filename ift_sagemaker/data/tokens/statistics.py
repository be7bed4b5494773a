"""What a dataset weighs: rows, columns, characters, and tokens as a model counts them."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import mean
from typing import Any

from ift_sagemaker.data.tokens.counter import TokenCounter, bounds
from ift_sagemaker.data.tokens.packing import Packing, pack
from ift_sagemaker.wire.rows import Message

SAMPLE_ROWS = 2_000
SHOWN_LINES = 100
_BARS = 12
_CONFIDENCE = 1.96


@dataclass(frozen=True)
class TokenStats:
    """Tokens of the rows. `total` is within `error` in 19 of 20 samples; `error` is 0 where all are counted.

    `counted` of the rows were. Where `by` says that it is an estimate, `error` is None and `low` to `high`
    are what is usual; else they are `total` less and more the error. `histogram` has (from, below, rows) of
    those counted.
    """

    by: str
    total: int
    low: int
    high: int
    error: int | None
    counted: int
    mean: float
    median: int
    p95: int
    maximum: int
    histogram: tuple[tuple[int, int, int], ...]
    packing: Packing


@dataclass(frozen=True)
class DatasetStats:
    """The figures of a dataset: `columns` with the rows that fill each, `characters` of all turns."""

    path: str
    format: str
    rows: int
    columns: dict[str, int]
    characters: int
    tokens: TokenStats

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def filled_columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Rows with something in it, for each column in order of first appearance."""
    counts: dict[str, int] = {}
    for row in rows:
        for name, value in row.items():
            counts[name] = counts.get(name, 0) + (value not in (None, "", [], {}))
    return counts


def characters_of(messages: Sequence[Message]) -> int:
    return sum(len(turn["content"]) for turn in messages)


def token_stats(
    conversations: Sequence[Sequence[Message]],
    lines: Sequence[int],
    counter: TokenCounter,
    *,
    max_length: int,
    sample: int | None = SAMPLE_ROWS,
    seed: int = 0,
) -> TokenStats:
    """Figures over at least one row: of `sample` rows drawn by `seed`, of all where it is None.

    An estimate costs next to nothing and takes all rows. The total of a sample is that of a ratio estimator:
    tokens for each character, times all characters (W. G. Cochran, "Sampling Techniques", chapter 6).
    """
    count = len(conversations)
    chosen: Sequence[int] = range(count)
    if counter.exact and sample is not None and sample < count:
        chosen = sorted(random.Random(seed).sample(chosen, sample))  # noqa: S311 - a sample, no secret
    lengths = counter.count_rows([conversations[place] for place in chosen])
    total, error = sum(lengths), 0
    if len(chosen) < count:
        sizes = [characters_of(messages) for messages in conversations]
        total, error = _ratio_estimate(lengths, [sizes[place] for place in chosen], sum(sizes), count)
    low, high = total - error, total + error
    if not counter.exact:
        low, high = bounds(sum(map(characters_of, conversations)), count)
    ordered = sorted(lengths)
    return TokenStats(
        by=counter.name,
        total=total,
        low=low,
        high=high,
        error=error if counter.exact else None,
        counted=len(chosen),
        mean=round(total / count, 1),
        median=_rank(0.5, ordered),
        p95=_rank(0.95, ordered),
        maximum=ordered[-1],
        histogram=_histogram(lengths),
        packing=_packing(lengths, [lines[place] for place in chosen], max_length, count),
    )


def _ratio_estimate(
    tokens: Sequence[int], sizes: Sequence[int], all_sizes: int, count: int
) -> tuple[int, int]:
    """(total, half of its 95 % interval) from a sample's tokens and characters and all characters."""
    drawn = len(tokens)
    ratio = sum(tokens) / max(1, sum(sizes))
    residual = sum((token - ratio * size) ** 2 for token, size in zip(tokens, sizes, strict=True))
    variance = residual / max(1, drawn - 1) / drawn * (1 - drawn / count)
    return round(ratio * all_sizes), math.ceil(_CONFIDENCE * count * math.sqrt(variance))


def _packing(lengths: Sequence[int], lines: Sequence[int], max_length: int, count: int) -> Packing:
    fitting = [length for length in lengths if length <= max_length]
    over = [line for length, line in zip(lengths, lines, strict=True) if length > max_length]
    scale = count / len(lengths)
    sequences, tokens = pack(fitting, max_length), sum(fitting)
    return Packing(
        max_length,
        math.ceil(sequences * scale),
        round(1 - tokens / (sequences * max_length), 4) if sequences else 0.0,
        round(1 - mean(fitting) / max_length, 4) if fitting else 0.0,
        round(len(over) * scale),
        tuple(over[:SHOWN_LINES]),
    )


def _histogram(lengths: Sequence[int]) -> tuple[tuple[int, int, int], ...]:
    """Up to 12 bars of a round width: 1, 2 or 5 times a power of ten."""
    width = _round_width((max(lengths) + 1) / _BARS)
    counts = [0] * (max(lengths) // width + 1)
    for length in lengths:
        counts[length // width] += 1
    return tuple((place * width, (place + 1) * width, count) for place, count in enumerate(counts))


def _round_width(least: float) -> int:
    power = 1
    while True:
        for factor in (1, 2, 5):
            if factor * power >= least:
                return factor * power
        power *= 10


def _rank(share: float, ordered: Sequence[int]) -> int:
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
