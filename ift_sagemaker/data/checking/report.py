"""What a check of instruction data found: findings, and figures of the rows."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ift_sagemaker.data.rows.finding import Finding

SPECIAL_TOKEN = re.compile(
    r"<\|[A-Za-z0-9_]+\|>|</?s>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>|<(?:bos|eos|pad|unk)>|\[EOS\]"
)
_BLOCKS = " ▁▂▃▄▅▆▇█"
_SHOWN_FINDINGS = 1_000


@dataclass(frozen=True)
class LengthStats:
    """Lengths in characters. Above 65,536 characters they are counted in steps of 1,024."""

    minimum: int
    median: int
    mean: float
    p95: int
    maximum: int

    @classmethod
    def of(cls, texts: Iterable[str]) -> LengthStats:
        """Statistics of at least one text; the percentiles are nearest-rank."""
        return cls.of_counts(Counter(len(text) for text in texts))

    @classmethod
    def of_counts(cls, counts: Mapping[int, int]) -> LengthStats:
        """The same of how many texts have each length: counts of parts can be added, statistics cannot."""
        lengths = sorted(counts)
        total = sum(counts.values())
        ranks = {share: max(1, -int(-share * total // 1)) for share in (0.5, 0.95)}
        found: dict[float, int] = {}
        below = 0
        for length in lengths:
            below += counts[length]
            for share, rank in ranks.items():
                if share not in found and below >= rank:
                    found[share] = length
        mean = sum(length * count for length, count in counts.items()) / total
        return cls(lengths[0], found[0.5], round(mean, 1), found[0.95], lengths[-1])


@dataclass(frozen=True)
class Bin:
    """So many texts of `low` to under `high` characters."""

    low: int
    high: int
    count: int


def histogram(counts: Mapping[int, int]) -> tuple[Bin, ...]:
    """Lengths in bins that are the same for every set (0, 1, 2, 3, 4, 6, 8, 12, 16 …), those in use."""
    binned: Counter[int] = Counter()
    for length, count in counts.items():
        binned[_bin_of(length)] += count
    used = range(min(binned, default=0), max(binned, default=-1) + 1)
    return tuple(Bin(_edge(number), _edge(number + 1), binned[number]) for number in used)


def _bin_of(length: int) -> int:
    if length < 2:
        return length
    power = length.bit_length() - 1
    return 2 * power + (length >= 3 << (power - 1))


def _edge(number: int) -> int:
    """The least length of a bin."""
    power, upper = divmod(number, 2)
    if number < 2:
        return number
    return 3 << (power - 1) if upper else 1 << power


@dataclass(frozen=True)
class FileCounts:
    """Rows and findings of one source."""

    path: str
    rows: int
    errors: int
    warnings: int


@dataclass(frozen=True)
class TokenCount:
    """Tokens of all rows and of the longest. `basis` says how they were counted or estimated."""

    total: int
    longest: int
    basis: str


@dataclass(frozen=True)
class DatasetReport:
    """Findings and figures. `findings` are the first 1,000 of each rule, `finding_count` is of all.

    `rows` counts all that were read, lengths and what follows only those that can be used. `labels`: rows per
    answer, where answers are few. `languages`: rows per probable language. `left_out`: the rules that were
    off.
    """

    path: str
    format: str
    rows: int
    findings: tuple[Finding, ...]
    finding_count: int
    error_count: int
    labels: dict[str, int]
    prompt_length: LengthStats | None
    completion_length: LengthStats | None
    usable_rows: int
    rules: dict[str, int]
    files: tuple[FileCounts, ...]
    prompt_histogram: tuple[Bin, ...]
    completion_histogram: tuple[Bin, ...]
    languages: dict[str, int]
    tokens: TokenCount
    target: str | None = None
    against: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def errors(self) -> tuple[Finding, ...]:
        """What keeps rows, or the set, from being used."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.severity == "warning")

    @property
    def warning_count(self) -> int:
        return self.finding_count - self.error_count

    def share(self, *rules: str) -> float:
        """Findings of these rules for one usable row."""
        return sum(self.rules.get(rule, 0) for rule in rules) / max(1, self.usable_rows)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        lines = [f"{self.path}: {self.rows} rows, format {self.format}", *self._figures()]
        lines.append(f"  errors: {self.error_count or 'none'}")
        lines.append(f"  warnings: {self.warning_count or 'none'}")
        shown = self.findings[:_SHOWN_FINDINGS]
        lines += [f"  - {finding}" for finding in shown]
        if self.finding_count > len(shown):
            lines.append(f"  and {self.finding_count - len(shown)} more")
        return "\n".join(lines)

    def _figures(self) -> Iterable[str]:
        for name, stats, bins in (
            ("prompt", self.prompt_length, self.prompt_histogram),
            ("completion", self.completion_length, self.completion_histogram),
        ):
            if stats is not None:
                yield (
                    f"  {name} characters: {stats.minimum} to {stats.maximum}, median {stats.median}, "
                    f"mean {stats.mean}, 95 % within {stats.p95}  {blocks(bins)}"
                )
        if self.labels:
            yield f"  labels: {self._shares(self.labels, quoted=True)}"
        if self.languages:
            yield f"  probable languages: {self._shares(self.languages)}"

    def _shares(self, counts: Mapping[str, int], *, quoted: bool = False) -> str:
        total = max(1, self.usable_rows)
        return ", ".join(
            f"{repr(name) if quoted else name} {count / total:.0%}" for name, count in counts.items()
        )

    def _repr_html_(self) -> str:
        from ift_sagemaker.data.checking.page import fragment

        return fragment(self)


def share_text(share: float) -> str:
    """A share in percent; what is not none is not shown as none, and what is not all not as all."""
    if 0 < share < 0.001:
        return "<0.1%"
    return ">99.9%" if 0.999 < share < 1 else f"{share:.1%}"


def blocks(bins: Iterable[Bin]) -> str:
    """A histogram as a line of block characters; bins that are not empty are never blank."""
    counts = [one.count for one in bins]
    most = max(counts, default=0)
    return "".join(_BLOCKS[math.ceil((len(_BLOCKS) - 1) * count / most)] for count in counts) if most else ""
