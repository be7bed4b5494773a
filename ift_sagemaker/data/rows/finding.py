"""What is wrong with a row, and the collection of all such findings of one source."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from ift_sagemaker.errors import DatasetError

MAX_FINDINGS = 1_000
_SHOWN_IN_MESSAGE = 10
_EXAMPLE_LENGTH = 60

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """One finding. `line` counts from 1 (0: the source as a whole), `field` is a dotted path or empty."""

    path: str
    line: int
    field: str
    rule: str
    message: str
    example: str = ""
    severity: Severity = "error"

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else self.path
        field = f" {self.field}:" if self.field else ""
        example = f": {self.example}" if self.example else ""
        return f"{place}:{field} {self.message}{example} [{self.rule}]"


class Findings:
    """Findings of one source: the first 1,000 of each severity are kept, all are counted."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.field_of: Callable[[str], str] = str
        """The name that a canonical field has in the source."""
        self._kept: dict[Severity, list[Finding]] = {"error": [], "warning": []}
        self._counts: dict[Severity, int] = {"error": 0, "warning": 0}

    def add(
        self,
        line: int,
        field: str,
        rule: str,
        message: str,
        value: Any = None,
        severity: Severity = "error",
    ) -> None:
        """Notes a finding, in the words of the source."""
        self.note(Finding(self.path, line, self.field_of(field), rule, message, example(value), severity))

    def absorb(self, findings: Iterable[Finding], severity: Severity, count: int) -> None:
        """Takes `count` findings that were made elsewhere, of which these were kept."""
        self._counts[severity] += count
        kept = self._kept[severity]
        kept += islice(findings, MAX_FINDINGS - len(kept))

    def note(self, finding: Finding) -> None:
        self._counts[finding.severity] += 1
        if len(self._kept[finding.severity]) < MAX_FINDINGS:
            self._kept[finding.severity].append(finding)

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(sorted(self._kept["error"], key=lambda finding: finding.line))

    @property
    def warnings(self) -> tuple[Finding, ...]:
        return tuple(sorted(self._kept["warning"], key=lambda finding: finding.line))

    @property
    def error_count(self) -> int:
        return self._counts["error"]

    @property
    def warning_count(self) -> int:
        return self._counts["warning"]

    def raise_errors(self) -> None:
        """Raises DatasetError with every kept error, if there is one."""
        errors, count = self.errors, self._counts["error"]
        if not errors:
            return
        shown = "".join(f"\n  - {finding}" for finding in errors[:_SHOWN_IN_MESSAGE])
        more = f"\n  and {count - _SHOWN_IN_MESSAGE} more" if count > _SHOWN_IN_MESSAGE else ""
        word = "error" if count == 1 else "errors"
        raise DatasetError(
            f"{self.path} has {count} {word}, so no row was used:{shown}{more}",
            path=self.path,
            findings=errors,
        )


def example(value: Any) -> str:
    """A value as a short text; empty for None."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else repr(value)
    text = (
        text[: _EXAMPLE_LENGTH + 1].encode("unicode_escape").decode("ascii") if _unprintable(text) else text
    )
    return text if len(text) <= _EXAMPLE_LENGTH else f"{text[: _EXAMPLE_LENGTH - 1]}…"


def _unprintable(text: str) -> bool:
    return not text[: _EXAMPLE_LENGTH + 1].isprintable()
