"""What the rows of a dataset look like: repeated, conflicting and suspicious ones, labels and lengths."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import mean
from typing import Any

from ift_sagemaker.data.finding import Finding, Findings

MAX_LABELS = 20
_IMBALANCE = 0.9
SPECIAL_TOKEN = re.compile(
    r"<\|[A-Za-z0-9_]+\|>|</?s>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>|<(?:bos|eos|pad|unk)>|\[EOS\]"
)


@dataclass(frozen=True)
class LengthStats:
    """Lengths in characters."""

    minimum: int
    median: int
    mean: float
    p95: int
    maximum: int

    @classmethod
    def of(cls, texts: Iterable[str]) -> LengthStats:
        """Statistics of at least one text; the percentiles are nearest-rank."""
        lengths = sorted(len(text) for text in texts)
        return cls(
            lengths[0],
            lengths[_rank(0.5, lengths)],
            round(mean(lengths), 1),
            lengths[_rank(0.95, lengths)],
            lengths[-1],
        )


@dataclass(frozen=True)
class Example:
    """One row as the model meets it: `line` in its source, what is asked, what is to be answered."""

    line: int
    prompt: str
    completion: str


@dataclass(frozen=True)
class DatasetReport:
    """The findings (warnings) and figures of a dataset. `labels`: rows per answer, where answers are few."""

    path: str
    format: str
    rows: int
    findings: tuple[Finding, ...]
    finding_count: int
    labels: dict[str, int]
    prompt_length: LengthStats
    completion_length: LengthStats

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        lines = [f"{self.path}: {self.rows} rows, format {self.format}"]
        for name, stats in (("prompt", self.prompt_length), ("completion", self.completion_length)):
            lines.append(
                f"  {name} characters: {stats.minimum} to {stats.maximum}, median {stats.median}, "
                f"mean {stats.mean}, 95 % within {stats.p95}"
            )
        if self.labels:
            shares = (f"{label!r} {count / self.rows:.0%}" for label, count in self.labels.items())
            lines.append(f"  labels: {', '.join(shares)}")
        lines.append(f"  warnings: {self.finding_count or 'none'}")
        lines += [f"  - {finding}" for finding in self.findings]
        if self.finding_count > len(self.findings):
            lines.append(f"  and {self.finding_count - len(self.findings)} more")
        return "\n".join(lines)


def examine(
    examples: Sequence[Example], *, findings: Findings, format_name: str, held_out: frozenset[str]
) -> DatasetReport:
    """The report of at least one example; `held_out` are prompts that must not occur among them.

    Warnings are added to `findings`.
    """
    _repeated(examples, findings)
    _special_tokens(examples, findings)
    for example in examples:
        if example.prompt in held_out:
            _warn(findings, example, "leakage", "the other dataset has the same prompt", example.prompt)
    labels = _labels(examples, findings)
    return DatasetReport(
        findings.path,
        format_name,
        len(examples),
        findings.warnings,
        findings.warning_count,
        labels,
        LengthStats.of(example.prompt for example in examples),
        LengthStats.of(example.completion for example in examples),
    )


def _repeated(examples: Sequence[Example], findings: Findings) -> None:
    first_of: dict[str, Example] = {}
    for example in examples:
        first = first_of.setdefault(example.prompt, example)
        if first is example:
            continue
        if first.completion == example.completion:
            _warn(findings, example, "duplicate", f"is the same as line {first.line}", example.prompt)
        else:
            text = f"has the prompt of line {first.line} and another answer"
            _warn(findings, example, "conflict", text, example.completion)


def _special_tokens(examples: Sequence[Example], findings: Findings) -> None:
    for example in examples:
        for text in (example.prompt, example.completion):
            found = SPECIAL_TOKEN.search(text)
            if found:
                _warn(findings, example, "special-token", "contains a model's control token", found[0])
                break


def _labels(examples: Sequence[Example], findings: Findings) -> dict[str, int]:
    counts = Counter(example.completion for example in examples)
    if not 2 <= len(counts) <= MAX_LABELS or len(examples) < 2 * len(counts):
        return {}
    label, most = counts.most_common(1)[0]
    if most / len(examples) > _IMBALANCE:
        findings.add(
            0, "", "imbalance", f"{most} of {len(examples)} rows have one answer", label, severity="warning"
        )
    return dict(counts.most_common())


def _warn(findings: Findings, example: Example, rule: str, message: str, value: str) -> None:
    findings.add(example.line, "", rule, message, value, severity="warning")


def _rank(share: float, ordered: Sequence[int]) -> int:
    return max(0, -int(-share * len(ordered) // 1) - 1)
