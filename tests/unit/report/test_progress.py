"""Progress where people look, lines where a log is kept."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

from rich.console import Console

from ift_sagemaker.report.progress import (
    UploadBar,
    endpoint_watching,
    metrics_text,
    saying,
    watching,
    watching_where_seen,
)


@dataclass
class Line:
    message: str


@dataclass
class Look:
    status: str
    secondary_status: str = ""
    lines: list[Line] = field(default_factory=list)


@dataclass
class Sent:
    key: str
    size: int
    sent: int


def _console(*, terminal: bool) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, force_terminal=terminal, width=120, color_system=None), out


def _steps(total: int) -> list[Look]:
    return [
        Look("InProgress", "Training", [Line(f"ift_metrics step={n} total_steps={total} train_loss=1.5")])
        for n in range(1, total + 1)
    ]


def test_a_log_gets_one_line_a_change_and_one_a_tenth_of_the_steps() -> None:
    console, out = _console(terminal=False)
    with watching("job", console) as on_progress:
        on_progress(Look("InProgress", "Starting"))
        on_progress(Look("InProgress", "Starting"))
        for look in _steps(100):
            on_progress(look)
        on_progress(Look("Completed", "Completed"))
    lines = out.getvalue().splitlines()
    assert lines[0] == "job: InProgress / Starting"
    assert lines[-1] == "job: Completed"
    assert len(lines) == 3 + 11
    assert "step 10/100 · loss 1.500" in out.getvalue()


def test_a_terminal_gets_a_bar_with_the_last_figures() -> None:
    console, out = _console(terminal=True)
    with watching("job", console) as on_progress:
        for look in _steps(3):
            on_progress(look)
    assert "step 3/3 · loss 1.500" in out.getvalue()


def test_where_nobody_looks_nothing_is_shown() -> None:
    console, out = _console(terminal=False)
    with watching_where_seen("job", console) as on_progress:
        on_progress(Look("InProgress"))
    assert out.getvalue() == ""
    console, out = _console(terminal=True)
    with watching_where_seen("job", console) as on_progress:
        on_progress(Look("InProgress"))
    assert "InProgress" in out.getvalue()


def test_an_endpoint_is_told_once_a_status() -> None:
    console, out = _console(terminal=False)
    with endpoint_watching("e", console) as on_status:
        for status in ("Creating", "Creating", "InService"):
            on_status(status)
    assert out.getvalue().splitlines() == ["e: Creating", "e: InService"]
    console, out = _console(terminal=True)
    with endpoint_watching("e", console) as on_status:
        on_status("Creating")
    assert "e: Creating" in out.getvalue()


def test_uploads_have_a_bar_each() -> None:
    console, out = _console(terminal=True)
    with UploadBar(console) as bar:
        bar(Sent("ift/data/x/train.jsonl", 10, 5))
        bar(Sent("ift/data/x/train.jsonl", 10, 10))
        bar(Sent("ift/weights/model.safetensors", 4, 4))
    assert "train.jsonl" in out.getvalue()
    assert "model.safetensors" in out.getvalue()


def test_every_figure_has_its_unit() -> None:
    text = metrics_text(
        {"step": 1, "total_steps": 2, "eval_loss": 2, "tokens_per_second": 310.4, "eta_seconds": 9}
    )
    assert text == "step 1/2 · eval loss 2.000 · 310 tokens/s · 9 s left"


def test_what_is_said_is_one_line() -> None:
    console, out = _console(terminal=False)
    saying("model", console)("downloading [bold]")
    assert out.getvalue() == "model: downloading [bold]\n"
