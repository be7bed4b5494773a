"""Progress on stderr: bars on a terminal, plain lines where a log is kept (CI)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Protocol, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)

from ift_sagemaker.wire.metrics import parse_metrics


class _Line(Protocol):
    @property
    def message(self) -> str: ...


class Look(Protocol):
    """What one look at a job saw."""

    @property
    def status(self) -> str: ...
    @property
    def secondary_status(self) -> str: ...
    @property
    def lines(self) -> Sequence[_Line]: ...


@contextmanager
def watching(name: str, console: Console | None = None) -> Iterator[Callable[[Look], None]]:
    """A callback for `TrainingJob.wait`: a bar with loss and time left, or one line a change."""
    console = console or Console(stderr=True)
    if not (console.is_terminal or console.is_jupyter):
        yield _PlainWatch(name, console)
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=False) as progress:
        yield _BarWatch(name, progress)


@contextmanager
def watching_where_seen(name: str, console: Console | None = None) -> Iterator[Callable[[Look], None]]:
    """As `watching` on a terminal or in a notebook; nothing where nobody looks."""
    console = console or Console(stderr=True)
    if console.is_terminal or console.is_jupyter:
        with watching(name, console) as on_progress:
            yield on_progress
    else:
        yield lambda _: None


def metrics_text(values: dict[str, float]) -> str:
    """`step 3/30 · loss 1.234 · 320 tokens/s · 42 s left`."""
    parts = []
    if "step" in values:
        parts.append(f"step {values['step']:.0f}/{values.get('total_steps', 0):.0f}")
    if "train_loss" in values:
        parts.append(f"loss {values['train_loss']:.3f}")
    if "eval_loss" in values:
        parts.append(f"eval loss {values['eval_loss']:.3f}")
    if "tokens_per_second" in values:
        parts.append(f"{values['tokens_per_second']:.0f} tokens/s")
    if "eta_seconds" in values:
        parts.append(f"{values['eta_seconds']:.0f} s left")
    return " · ".join(parts)


class _PlainWatch:
    """One line where the status changes, and one for every tenth of the steps."""

    def __init__(self, name: str, console: Console) -> None:
        self._name, self._console = name, console
        self._seen = ("", "")
        self._tenth = -1

    def __call__(self, look: Look) -> None:
        seen = (look.status, look.secondary_status)
        if seen != self._seen:
            self._seen = seen
            self._print(" / ".join(dict.fromkeys(part for part in seen if part)))
        for line in look.lines:
            self._metrics(parse_metrics(line.message))

    def _metrics(self, values: dict[str, float] | None) -> None:
        if not values or not values.get("total_steps"):
            return
        tenth = int(10 * values.get("step", 0) / values["total_steps"])
        if tenth != self._tenth:
            self._tenth = tenth
            self._print(metrics_text(values))

    def _print(self, text: str) -> None:
        self._console.print(f"{self._name}: {text}", soft_wrap=True, highlight=False, markup=False)


class _BarWatch:
    def __init__(self, name: str, progress: Progress) -> None:
        self._name, self._progress = name, progress
        self._task = progress.add_task(name, total=None)
        self._text = ""

    def __call__(self, look: Look) -> None:
        values = [found for line in look.lines if (found := parse_metrics(line.message))]
        update: dict[str, Any] = {}
        if values:
            self._text = metrics_text(values[-1])
            if values[-1].get("total_steps"):
                update = {"completed": values[-1].get("step"), "total": values[-1]["total_steps"]}
        what = look.secondary_status or look.status
        self._progress.update(
            self._task,
            description=" · ".join(part for part in (self._name, what, self._text) if part),
            **update,
        )


@contextmanager
def endpoint_watching(name: str, console: Console | None = None) -> Iterator[Callable[[str], None]]:
    """A callback for `Endpoint.wait`: a spinner with the status, or one line a change."""
    console = console or Console(stderr=True)
    if console.is_terminal:
        with console.status(f"{name}: Creating") as spinner:
            yield lambda status: spinner.update(f"{name}: {status}")
        return
    seen: list[str] = []

    def on_status(status: str) -> None:
        if status not in seen[-1:]:
            seen.append(status)
            console.print(f"{name}: {status}", soft_wrap=True, highlight=False, markup=False)

    yield on_status


class _Sent(Protocol):
    @property
    def key(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def sent(self) -> int: ...


class Bars:
    """Bars with these columns behind their names, on a terminal as long as a `with` lasts; nothing elsewhere.

    With `transient` they vanish at the end.
    """

    def __init__(
        self, *columns: ProgressColumn, console: Console | None = None, transient: bool = False
    ) -> None:
        console = console or Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            *columns,
            console=console,
            disable=not console.is_terminal,
            transient=transient,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()


class UploadBar(Bars):
    """A callback for `Session.on_upload`: one bar an object."""

    def __init__(self, console: Console | None = None) -> None:
        super().__init__(BarColumn(), DownloadColumn(), TransferSpeedColumn(), console=console)
        self._tasks: dict[str, Any] = {}

    def __call__(self, sent: _Sent) -> None:
        if sent.key not in self._tasks:
            name = sent.key.rpartition("/")[2]
            self._tasks[sent.key] = self._progress.add_task(f"upload {name}", total=sent.size)
        self._progress.update(self._tasks[sent.key], completed=sent.sent)


def saying(name: str, console: Console | None = None) -> Callable[[str], None]:
    """A callback that says on stderr what is being done, one line a text."""
    console = console or Console(stderr=True)
    return lambda text: console.print(f"{name}: {text}", soft_wrap=True, highlight=False, markup=False)
