"""From a program's output pipe to CloudWatch Logs of the local AWS, in batches."""

from __future__ import annotations

import os
import select
import sqlite3
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress

from ift_sagemaker.local.logs.lines import Lines
from ift_sagemaker.local.protocol.errors import ServiceError

DELAY_IN_SECONDS = 0.2
MAX_BATCH = 1000
_READ = 1 << 16

Events = list[tuple[int, str]]
Ship = Callable[[Events], None]


def ship_traceback(ship: Ship, now: float) -> None:
    """Prints the exception at hand, and ships its lines: what is printed goes when the folder goes."""
    text = traceback.format_exc()
    sys.stderr.write(text)
    with suppress(OSError, sqlite3.Error, ServiceError):
        ship([(int(now * 1000), f"ift-local: {line}") for line in text.splitlines()])


class LogPump:
    """Reads `descriptor` and hands lines to `ship`, no later than `DELAY_IN_SECONDS` after they came.

    `see` gets every line once. Lines that cannot be shipped (a full disk) are counted and reported with the
    next batch: a program never waits for its log.
    """

    def __init__(
        self,
        descriptor: int,
        ship: Ship,
        see: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._ship = ship
        self._see = see
        self._clock = clock
        self._monotonic = monotonic
        self._lines = Lines()
        self._batch: Events = []
        self._due = 0.0
        self._lost = 0
        self.ended = False

    def note(self, line: str) -> None:
        """Adds a line of our own."""
        self._add([line])

    def turn(self, timeout: float) -> None:
        """Waits up to `timeout` seconds for output, reads what there is, ships what is due."""
        if self.ended:
            time.sleep(timeout)
        elif select.select([self._descriptor], [], [], timeout)[0]:
            self._read()
        if self._monotonic() >= self._due:
            self._add(self._lines.flush())
            self.flush()

    def drain(self, patience: float) -> None:
        """Reads to the end of the output, for at most `patience` seconds, and ships everything."""
        deadline = self._monotonic() + patience
        while not self.ended and (left := deadline - self._monotonic()) > 0:
            self.turn(min(left, DELAY_IN_SECONDS))
        self._add(self._lines.close())
        self.flush()

    def flush(self) -> None:
        """Ships the batch."""
        self._due = self._monotonic() + DELAY_IN_SECONDS
        if not self._batch:
            return
        batch, self._batch = self._batch, []
        if self._lost:
            batch.insert(0, (batch[0][0], f"ift-local: {self._lost} log lines could not be stored"))
        try:
            self._ship(batch)
            self._lost = 0
        except (OSError, sqlite3.Error, ServiceError):
            self._lost += len(batch) - bool(self._lost)

    def _read(self) -> None:
        data = b""
        with suppress(BlockingIOError):
            data = os.read(self._descriptor, _READ)
            self.ended = not data
        self._add(self._lines.feed(data))

    def _add(self, lines: list[str]) -> None:
        now = self._clock()
        for line in lines:
            self._see(line)
            self._batch.append((int(now * 1000), line))
        if len(self._batch) >= MAX_BATCH:
            self.flush()
