"""Progress over the rows of a file: a bar on a terminal, nothing where nobody looks."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn


class _Read(Protocol):
    @property
    def rows(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    @property
    def total_bytes(self) -> int | None: ...


class RowsBar:
    """A callback for `on_progress` of the functions that shape rows: rows read, and how far that is."""

    def __init__(self, name: str, console: Console | None = None) -> None:
        console = console or Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=console, disable=not console.is_terminal, transient=True)
        self._name = name
        self._task = self._progress.add_task(name, total=None)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def __call__(self, read: _Read) -> None:
        # rows are written closer or wider than they were, so their bytes only come near the file's
        done = read.bytes if read.total_bytes is None else min(read.bytes, read.total_bytes)
        self._progress.update(
            self._task,
            description=f"{self._name}: {read.rows:,} rows",
            completed=done,
            total=read.total_bytes,
        )
