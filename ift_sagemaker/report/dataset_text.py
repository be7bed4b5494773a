"""A dataset report on the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ift_sagemaker.data.checking.report import blocks, share_text
from ift_sagemaker.report.tables import to_text

if TYPE_CHECKING:
    from ift_sagemaker.data.checking.report import DatasetReport

_BAR = 24


def dataset_report(report: DatasetReport, columns: int | None = None) -> str:
    """Figures as tables, then every kept finding on a line of its own, however long."""
    lines = [f"- {finding}\n" for finding in report.findings]
    if report.finding_count > len(report.findings):
        lines.append(f"and {report.finding_count - len(report.findings):,} more\n")
    return f"{_title(report)}\n{to_text(Group(*_parts(report)), columns)}{''.join(lines)}"


def _title(report: DatasetReport) -> str:
    """Told apart from the tables, whose width would part an address."""
    written = f", format {report.format}" if report.format else ""
    target = f", for {report.target}" if report.target else ""
    against = f", against {', '.join(report.against)}" if report.against else ""
    return f"{report.path}: {report.rows:,} rows{written}{target}{against}"


def _parts(report: DatasetReport) -> Iterator[RenderableType]:
    yield from _figures(report)
    tokens = report.tokens
    if tokens.total:
        yield Text(f"tokens: {tokens.total:,}, longest row {tokens.longest:,} ({tokens.basis})")
    yield Text(f"errors: {report.error_count or 'none'}, warnings: {report.warning_count or 'none'}")
    if report.left_out:
        yield Text(f"not checked: {', '.join(report.left_out)}")
    if report.rules:
        yield _counted("rule", report.rules, max(report.rules.values()), share_of=0)


def _figures(report: DatasetReport) -> Iterator[RenderableType]:
    table = Table("characters", "least", "median", "mean", "95 % within", "most", "rows by length")
    for name, stats, bins in (
        ("prompt", report.prompt_length, report.prompt_histogram),
        ("completion", report.completion_length, report.completion_histogram),
    ):
        if stats is not None:
            figures = (stats.minimum, stats.median, stats.mean, stats.p95, stats.maximum)
            table.add_row(name, *(f"{figure:,}" for figure in figures), blocks(bins))
    if table.row_count:
        yield table
    for title, counts in (("answer", report.labels), ("probable language", report.languages)):
        if counts:
            yield _counted(title, counts, max(1, report.usable_rows), share_of=report.usable_rows)


def _counted(title: str, counts: Mapping[str, int], most: int, *, share_of: int) -> Table:
    table = Table(title, "rows" if share_of else "findings", *(["share"] if share_of else []), "")
    for name, count in counts.items():
        share = [share_text(count / share_of)] if share_of else []
        table.add_row(Text(name or "(empty)"), f"{count:,}", *share, "█" * max(1, round(_BAR * count / most)))
    return table
