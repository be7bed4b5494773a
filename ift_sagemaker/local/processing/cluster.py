"""The programs of all hosts of one job, to be watched as if they were one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from ift_sagemaker.local.running.runner import Program
from ift_sagemaker.local.supervision.watch import Output


class Programs:
    """One program a host; `failed` names the host whose program failed first, empty while none did.

    "A processing job completes if all of the processing containers exit successfully with an exit code
    of 0, and fails if any of the containers exits with a non-zero exit code":
    https://docs.aws.amazon.com/sagemaker/latest/dg/build-your-own-processing-container.html
    That a failure ends the other hosts, by SIGTERM, `grace` seconds and SIGKILL, is our reading of it.
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
        self._deadline = float("inf")
        self._terminated = False
        self.failed = ""

    def poll(self) -> int | None:
        """None while a program runs, then the exit code of the host that failed first, else 0."""
        codes = self.codes()
        self.failed = self.failed or next((host for host, code in codes.items() if code), "")
        if None not in codes.values():
            return codes.get(self.failed, 0)
        if self.failed:
            self._end_the_others()
        return None

    def codes(self) -> dict[str, int | None]:
        """The exit code of each host's program, None where it runs."""
        return {host: program.poll() for host, program in self._programs.items()}

    def terminate(self) -> None:
        self._terminated = True
        for program in self._programs.values():
            program.terminate()

    def kill(self) -> None:
        for program in self._programs.values():
            program.kill()

    def _end_the_others(self) -> None:
        if not self._terminated:
            self._deadline = self._monotonic() + self._grace
            self.terminate()
        elif self._monotonic() >= self._deadline:
            self.kill()


class Outputs:
    """What the programs of all hosts print."""

    def __init__(self, pumps: Sequence[Output]) -> None:
        self._pumps = pumps

    def turn(self, timeout: float) -> None:
        """Waits up to `timeout` seconds, each host's share of it, and passes on what came."""
        for pump in self._pumps:
            pump.turn(timeout / len(self._pumps))

    def drain(self, patience: float) -> None:
        """Passes on all the rest, waiting up to `patience` seconds, each host's share of it."""
        for pump in self._pumps:
            pump.drain(patience / len(self._pumps))
