"""The programs of a run from their start to their end: output, stop requests, time limit."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ift_sagemaker.local.running.runner import Program

TURN_IN_SECONDS = 0.1
TICK_IN_SECONDS = 0.25
DRAIN_IN_SECONDS = 2.0

EXIT = "exit"
STOP = "stop"
MAX_RUNTIME = "max-runtime"
MAX_WAIT = "max-wait"
INTERRUPTION = "interruption"


@dataclass(frozen=True)
class Limits:
    """Seconds a program may run, seconds it has after SIGTERM, and the cause where the first are over."""

    run: float
    grace: float
    cause: str = MAX_RUNTIME


@dataclass(frozen=True)
class Ended:
    """How a program ended: its exit code, what made it end, and on which host it failed, if on any."""

    code: int
    cause: str
    host: str = ""


class Watched(Protocol):
    """What is watched: one Program or several."""

    def poll(self) -> int | None:
        """The exit code, None while running."""

    def terminate(self) -> None:
        """Sends SIGTERM."""

    def kill(self) -> None:
        """Ends everything at once."""


class Output(Protocol):
    """A program's output: a LogPump, or several."""

    def turn(self, timeout: float) -> None:
        """Waits up to `timeout` seconds and passes on what came."""

    def drain(self, patience: float) -> None:
        """Passes on all the rest."""


class Programs:
    """The programs of all hosts as one.

    It has ended when every one has. The first that fails ends the others, by SIGTERM, `grace` seconds and
    SIGKILL, and its exit code is the exit code of all.
    """

    def __init__(
        self,
        programs: Mapping[str, Program],
        grace: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._programs = programs
        self._grace = grace
        self._monotonic = monotonic
        self._told = False
        self._deadline: float | None = None
        self.failed = ""

    def poll(self) -> int | None:
        codes = self.codes()
        if not self.failed:
            self.failed = next((host for host, code in codes.items() if code), "")
        if None not in codes.values():
            return codes[self.failed] if self.failed else 0
        if self.failed:
            self._end_others()
        return None

    def codes(self) -> dict[str, int | None]:
        """The exit code of each host's program, None where it runs."""
        return {host: program.poll() for host, program in self._programs.items()}

    def terminate(self) -> None:
        self._told = True
        for program in self._programs.values():
            if program.poll() is None:
                program.terminate()

    def kill(self) -> None:
        for program in self._programs.values():
            program.kill()

    def _end_others(self) -> None:
        if not self._told:
            self._deadline = self._monotonic() + self._grace
            self.terminate()
        elif self._deadline is not None and self._monotonic() >= self._deadline:
            self.kill()


class Outputs:
    """The outputs of all hosts as one."""

    def __init__(self, outputs: Sequence[Output]) -> None:
        self._outputs = outputs

    def turn(self, timeout: float) -> None:
        for output in self._outputs:
            output.turn(timeout / len(self._outputs))

    def drain(self, patience: float) -> None:
        for output in self._outputs:
            output.drain(patience / len(self._outputs))


class Watch:
    """Follows a program.

    `tick` is asked a few times a second for a cause to stop the program, empty where there is none; `on_stop`
    is told the cause once, before SIGTERM is sent.
    """

    def __init__(
        self,
        program: Watched,
        pump: Output,
        limits: Limits,
        tick: Callable[[], str],
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
            self._stop(self._limits.cause, now)
        elif now >= self._next_tick:
            self._next_tick = now + TICK_IN_SECONDS
            if cause := self._tick():
                self._stop(cause, now)

    def _stop(self, cause: str, now: float) -> None:
        self._cause = cause
        self._deadline = now + self._limits.grace
        self._on_stop(cause)
        self._program.terminate()
