"""One program from its start to its end: output, stop requests, time limit."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

TURN_IN_SECONDS = 0.1
TICK_IN_SECONDS = 0.25
DRAIN_IN_SECONDS = 2.0

EXIT = "exit"
STOP = "stop"
MAX_RUNTIME = "max-runtime"


@dataclass(frozen=True)
class Limits:
    """Seconds a program may run, and seconds it has after SIGTERM."""

    run: float
    grace: float


@dataclass(frozen=True)
class Ended:
    """How a program ended: its exit code, and what made it end (EXIT, STOP or MAX_RUNTIME)."""

    code: int
    cause: str


class Watched(Protocol):
    """What of a Program is watched; the programs of several hosts can stand for one."""

    def poll(self) -> int | None:
        """The exit code, None while running."""

    def terminate(self) -> None:
        """Sends SIGTERM."""

    def kill(self) -> None:
        """Ends it and all it started, at once."""


class Output(Protocol):
    """A program's output: a LogPump."""

    def turn(self, timeout: float) -> None:
        """Waits up to `timeout` seconds and passes on what came."""

    def drain(self, patience: float) -> None:
        """Passes on all the rest."""


class Watch:
    """Follows a program.

    `tick` is asked a few times a second whether the program must stop; `on_stop` is told the cause once,
    before SIGTERM is sent.
    """

    def __init__(
        self,
        program: Watched,
        pump: Output,
        limits: Limits,
        tick: Callable[[], object],
        on_stop: Callable[[str], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._program = program
        self._pump = pump
        self._limits = limits
        self._tick = tick
        self._on_stop = on_stop
        self._monotonic = monotonic
        self._cause = EXIT
        self._deadline = monotonic() + limits.run
        self._next_tick = 0.0

    def run(self) -> Ended:
        """Returns when the program has ended and all its output is shipped."""
        while (code := self._program.poll()) is None:
            self._pump.turn(TURN_IN_SECONDS)
            self._consider(self._monotonic())
        self._pump.drain(DRAIN_IN_SECONDS)
        return Ended(code, self._cause)

    def _consider(self, now: float) -> None:
        if self._cause != EXIT:
            if now >= self._deadline:
                self._program.kill()
            return
        if now >= self._deadline:
            self._stop(MAX_RUNTIME, now)
        elif now >= self._next_tick:
            self._next_tick = now + TICK_IN_SECONDS
            if self._tick():
                self._stop(STOP, now)

    def _stop(self, cause: str, now: float) -> None:
        self._cause = cause
        self._deadline = now + self._limits.grace
        self._on_stop(cause)
        self._program.terminate()
