"""What can simply be added up over rows, and over parts of a set: counts of findings, lengths, labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from ift_sagemaker.data.rows.finding import MAX_FINDINGS, Finding, Findings, Severity

MAX_LABELS = 20
_LABEL_CHARACTERS = 200
_EXACT = 1 << 16
_STEP = 1 << 10
_STEPS = 1 << 13


class Ledger:
    """Findings: all are counted by severity, rule and source; of each rule the first 1,000 are kept."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[Severity, str, str]] = Counter()
        self._kept: dict[tuple[Severity, str], list[Finding]] = {}

    def note(self, finding: Finding, count: int = 1) -> None:
        self.counts[finding.severity, finding.rule, finding.path] += count
        kept = self._kept.setdefault((finding.severity, finding.rule), [])
        kept.append(finding)
        if len(kept) >= 2 * MAX_FINDINGS:
            self._cut(kept)

    def count(self, severity: Severity, rule: str, path: str, count: int) -> None:
        """Counts findings that need not be kept."""
        self.counts[severity, rule, path] += count

    def add(self, other: Ledger) -> None:
        self.counts.update(other.counts)
        for key, findings in other._kept.items():
            kept = self._kept.setdefault(key, [])
            kept += findings
            self._cut(kept)

    def findings(self) -> tuple[Finding, ...]:
        """Errors first, then by source and line."""
        for kept in self._kept.values():
            self._cut(kept)
        found = [finding for kept in self._kept.values() for finding in kept]
        return tuple(sorted(found, key=lambda finding: (finding.severity != "error", *_place(finding))))

    def to_json(self) -> dict[str, Any]:
        counts = [[*key, count] for key, count in self.counts.items()]
        return {"counts": counts, "kept": [asdict(finding) for finding in self.findings()]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Ledger:
        ledger = cls()
        for finding in value["kept"]:
            ledger.note(Finding(**finding))
        ledger.counts = Counter({(row[0], row[1], row[2]): row[3] for row in value["counts"]})
        return ledger

    @staticmethod
    def _cut(kept: list[Finding]) -> None:
        kept.sort(key=_place)
        del kept[MAX_FINDINGS:]


def _place(finding: Finding) -> tuple[str, int, str, str, str]:
    return finding.path, finding.line, finding.rule, finding.field, finding.message


class LedgerFindings(Findings):
    """What readers and rules add their findings to, where a ledger keeps them."""

    def __init__(self, path: str, ledger: Ledger) -> None:
        super().__init__(path)
        self._ledger = ledger

    def note(self, finding: Finding) -> None:
        self._ledger.note(finding)


class LengthCounts:
    """How many texts have each length: exactly up to 65,535 characters, then in steps of 1,024."""

    def __init__(self, counts: Mapping[int, int] | None = None) -> None:
        self._counts: npt.NDArray[np.int64] = np.zeros(_EXACT + _STEPS, np.int64)
        for length, count in (counts or {}).items():
            self._counts[_slot(np.array([length]))] += count

    def add(self, lengths: npt.NDArray[np.int64]) -> None:
        slots, counts = np.unique(_slot(lengths), return_counts=True)
        self._counts[slots] += counts

    def merge(self, other: LengthCounts) -> None:
        self._counts += other._counts

    def counts(self) -> dict[int, int]:
        """Texts by length; of a step its least length."""
        used = np.flatnonzero(self._counts)
        lengths = np.where(used < _EXACT, used, _EXACT + (used - _EXACT) * _STEP)
        return dict(zip(lengths.tolist(), self._counts[used].tolist(), strict=True))


def _slot(lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    steps = np.minimum(_EXACT + (lengths - _EXACT) // _STEP, _EXACT + _STEPS - 1)
    return np.where(lengths < _EXACT, lengths, steps)


class LabelCounts:
    """Rows by answer, as long as there are no more than 20 different ones, none of them long."""

    def __init__(self, counts: Mapping[str, int] | None = None, *, many: bool = False) -> None:
        self._counts: Counter[str] = Counter(counts or {})
        self.many = many

    def add(self, completions: Iterable[str]) -> None:
        if not self.many:
            self.merge(LabelCounts(Counter(completions)))

    def merge(self, other: LabelCounts) -> None:
        self._counts.update(other._counts)
        self.many |= other.many or len(self._counts) > MAX_LABELS
        self.many |= any(len(label) > _LABEL_CHARACTERS for label in other._counts)
        if self.many:
            self._counts.clear()

    def counts(self) -> dict[str, int]:
        """Most frequent first; empty where there are too many."""
        return dict(sorted(self._counts.items(), key=lambda item: (-item[1], item[0])))


class Tally:
    """Everything of a set that adds up."""

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.rows: Counter[str] = Counter()
        self.usable = 0
        self.prompts, self.completions = LengthCounts(), LengthCounts()
        self.labels = LabelCounts()
        self.languages: Counter[str] = Counter()
        self.sums: Counter[str] = Counter()
        self.longest_tokens = 0
        self.names: dict[str, list[str]] = {}

    def name(self, kind: str, value: str) -> None:
        """Notes what the set is called, is for, was counted by …; each different value once."""
        values = self.names.setdefault(kind, [])
        if value not in values:
            values.append(value)

    def named(self, kind: str) -> Sequence[str]:
        return sorted(self.names.get(kind, []))

    def add(self, other: Tally) -> None:
        self.ledger.add(other.ledger)
        self.rows.update(other.rows)
        self.usable += other.usable
        self.prompts.merge(other.prompts)
        self.completions.merge(other.completions)
        self.labels.merge(other.labels)
        self.languages.update(other.languages)
        self.sums.update(other.sums)
        self.longest_tokens = max(self.longest_tokens, other.longest_tokens)
        for kind, values in other.names.items():
            for value in values:
                self.name(kind, value)

    def to_json(self) -> dict[str, Any]:
        return {
            "ledger": self.ledger.to_json(),
            "rows": self.rows,
            "usable": self.usable,
            "prompts": [*self.prompts.counts().items()],
            "completions": [*self.completions.counts().items()],
            "labels": {"counts": self.labels.counts(), "many": self.labels.many},
            "languages": self.languages,
            "sums": self.sums,
            "longest_tokens": self.longest_tokens,
            "names": self.names,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Tally:
        tally = cls()
        tally.ledger = Ledger.from_json(value["ledger"])
        tally.rows, tally.usable = Counter(value["rows"]), value["usable"]
        tally.prompts, tally.completions = (
            LengthCounts(dict(value[name])) for name in ("prompts", "completions")
        )
        tally.labels = LabelCounts(value["labels"]["counts"], many=value["labels"]["many"])
        tally.languages, tally.sums = Counter(value["languages"]), Counter(value["sums"])
        tally.longest_tokens, tally.names = value["longest_tokens"], dict(value["names"])
        return tally
