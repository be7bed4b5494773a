"""Terminal tables from plain data."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console, RenderableType
from rich.table import Table

from ift_sagemaker.evaluation import Evaluation
from ift_sagemaker.evaluation.evaluation import figure
from ift_sagemaker.report.comparison import MARKS, marked

if TYPE_CHECKING:
    import pandas as pd

_FEATURE_WIDTH = 24
_CELL_WIDTH = 26


def width() -> int:
    """Columns of the terminal, 100 where there is none."""
    terminal = Console(stderr=True)
    return terminal.width if terminal.is_terminal else 100


def to_text(renderable: RenderableType, columns: int | None = None) -> str:
    """The renderable as text, as wide as the terminal unless `columns` says otherwise."""
    buffer = io.StringIO()
    Console(file=buffer, width=columns or width(), color_system=None, legacy_windows=False).print(renderable)
    return buffer.getvalue()


def evaluation_table(evaluation: Evaluation) -> Table:
    """Base → tuned, all rows first, then each instruction."""
    columns = ("base → tuned", "rows", "exact match", "ROUGE-L", "loss", "ended by itself")
    table = Table(*columns, caption=evaluation.stand_in or None)
    for name, base, tuned in evaluation.parts():
        table.add_row(
            name,
            str(base.count),
            *(
                f"{figure(getattr(base, metric))} → {figure(getattr(tuned, metric))}"
                for metric in ("exact_match", "rouge_l", "loss", "ended")
            ),
        )
    return table


def comparison_tables(frame: pd.DataFrame, columns: int) -> list[Table]:
    """As many tables as it takes to keep every cell readable in `columns`."""
    beside = max(1, (columns - _FEATURE_WIDTH) // _CELL_WIDTH)
    names = list(frame.columns)
    return [comparison_table(frame[names[start : start + beside]]) for start in range(0, len(names), beside)]


def comparison_table(frame: pd.DataFrame) -> Table:
    """Families side by side; `*` marks general knowledge, `†` what corrects a claim of 2023."""
    table = Table(
        "",
        *map(str, frame.columns),
        title=f"Foundation models, as of {frame.attrs['as_of']}",
        caption=f"{MARKS}; `--json`, `--markdown` and `--html` have the source of every cell",
        show_lines=True,
    )
    for feature in frame.index:
        table.add_row(str(feature), *(marked(frame, str(feature), str(family)) for family in frame.columns))
    return table


def targets_table(targets: Sequence[Mapping[str, str]]) -> Table:
    """What rows can be converted to."""
    table = Table(*targets[0])
    for target in targets:
        table.add_row(*target.values())
    return table


def jobs_table(jobs: Iterable[Mapping[str, Any]]) -> Table:
    """ListTrainingJobs' summaries."""
    table = Table("job", "status", "created (UTC)")
    for job in jobs:
        table.add_row(str(job["TrainingJobName"]), str(job["TrainingJobStatus"]), _time(job["CreationTime"]))
    return table


def endpoints_table(endpoints: Iterable[Mapping[str, Any]]) -> Table:
    """ListEndpoints' summaries."""
    table = Table("endpoint", "status", "created (UTC)")
    for found in endpoints:
        table.add_row(str(found["EndpointName"]), str(found["EndpointStatus"]), _time(found["CreationTime"]))
    return table


def _time(value: Any) -> str:
    from datetime import UTC

    return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S") if hasattr(value, "astimezone") else str(value)
