"""Progress over the rows of a file: a bar on a terminal, nothing where nobody looks."""

from __future__ import annotations

from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, TimeElapsedColumn

from ift_sagemaker.report.progress import Bars


class _Read(Protocol):
    @property
    def rows(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    @property
    def total_bytes(self) -> int | None: ...


class RowsBar(Bars):
    """A callback for `on_progress` of what reads rows: how many, and how far that is."""

    def __init__(self, name: str, console: Console | None = None) -> None:
        super().__init__(BarColumn(), TimeElapsedColumn(), console=console, transient=True)
        self._name = name
        self._task = self._progress.add_task(name, total=None)

    def __call__(self, read: _Read) -> None:
        # rows are written closer or wider than they were, so their bytes only come near the file's
        done = read.bytes if read.total_bytes is None else min(read.bytes, read.total_bytes)
        self._progress.update(
            self._task,
            description=f"{self._name}: {read.rows:,} rows",
            completed=done,
            total=read.total_bytes,
        )
