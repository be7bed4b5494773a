"""Program output as log lines, and metrics in them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ift_sagemaker.local.logs.lines import Lines, Metrics
from ift_sagemaker.local.logs.shipping import Events, LogPump
from ift_sagemaker.local.protocol.errors import disk_full


def all_lines(*pieces: bytes, limit: int = 1000) -> list[str]:
    lines = Lines(limit)
    found = [line for piece in pieces for line in lines.feed(piece)]
    return found + lines.close()


def test_lines_are_whole_whatever_the_pieces_they_come_in() -> None:
    text = "first\nsécond\r\n\nlast".encode()
    pieces = [text[number : number + 1] for number in range(len(text))]
    assert all_lines(text) == all_lines(*pieces) == ["first", "sécond", "last"]


def test_bytes_that_are_no_utf8_are_replaced() -> None:
    assert all_lines(b"a\xff\x00b\n") == ["a\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}b"]


def test_a_long_line_is_cut_between_characters_and_nothing_is_lost() -> None:
    text = "é" * 25
    found = all_lines(text.encode(), b"\nnext\n", limit=11)
    assert found[-1] == "next"
    assert "".join(found[:-1]) == text
    assert all(len(line.encode()) <= 11 for line in found)


def test_a_line_without_end_is_held_in_bounded_memory() -> None:
    lines = Lines(100)
    assert sum(len(line) for _ in range(50) for line in lines.feed(b"x" * 40)) >= 1900


@pytest.mark.parametrize("end", [b"\r%d%%", b"%d%%\r"])
def test_a_progress_bar_is_one_line_with_its_last_state(end: bytes) -> None:
    states = [end % number for number in range(101)]
    assert all_lines(*states, b"\n", b"done\n") == ["100%", "done"]


def test_a_progress_bar_shows_its_state_at_every_flush() -> None:
    lines = Lines()
    assert lines.feed(b"\r10%\r20%\r30%") == []
    assert lines.flush() == ["20%"]
    assert lines.flush() == []
    assert lines.feed(b"\r40%\r") == []
    assert lines.flush() == ["30%"]
    assert lines.feed(b"\n") == ["40%"]


def test_metrics_are_the_last_finite_value_of_the_first_group() -> None:
    metrics = Metrics([{"Name": "loss", "Regex": "loss=(\\S+)"}, {"Name": "count", "Regex": "[0-9]+"}])
    assert metrics.read("loss=2.5", 1.0)
    assert not metrics.read("nothing here", 2.0)
    assert metrics.read("loss=oops and 7", 3.0)
    assert not metrics.read("loss=inf", 4.0)
    assert metrics.final() == [
        {"MetricName": "loss", "Value": 2.5, "Timestamp": 1.0},
        {"MetricName": "count", "Value": 7.0, "Timestamp": 3.0},
    ]


class Ticking:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    readable, writable = os.pipe()
    yield readable, writable
    os.close(readable)


def test_lines_are_shipped_with_their_times_once_the_delay_is_over() -> None:
    clock, shipped = Ticking(), list[Events]()
    with pipe() as (readable, writable):
        pump = LogPump(readable, shipped.append, clock=clock, monotonic=clock)
        os.write(writable, b"one\n")
        pump.turn(1)
        clock.now += 0.1
        os.write(writable, b"two\n")
        pump.turn(1)
        clock.now += 0.1
        pump.turn(0)
        os.close(writable)
        pump.drain(1)
    assert shipped == [[(100_000, "one")], [(100_100, "two")]]


def test_lines_that_could_not_be_stored_are_counted_and_told_later() -> None:
    clock, shipped = Ticking(), list[Events]()
    full = True

    def ship(events: Events) -> None:
        if full:
            raise disk_full("here")
        shipped.append(events)

    with pipe() as (readable, writable):
        pump = LogPump(readable, ship, clock=clock, monotonic=clock)
        for _ in range(2):
            os.write(writable, b"lost\nlost\n")
            pump.turn(1)
            clock.now += 1
        full = False
        os.write(writable, b"kept\n")
        os.close(writable)
        pump.drain(1)
    messages = [message for events in shipped for _, message in events]
    assert messages == ["ift-local: 4 log lines could not be stored", "kept"]
