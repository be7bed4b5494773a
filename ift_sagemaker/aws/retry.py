"""Waiting and asking again, on a clock that is passed in.

botocore gives up on a lost connection after about 0.1 seconds, so a wait of hours needs its own budget.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from ift_sagemaker.errors import ResourceNotFoundError, ServiceUnavailableError, ThrottledError

T = TypeVar("T")

CONSISTENCY_IN_SECONDS = 60.0
"""How long what was just made may not be seen: AWS tells no figure, only to ask again after a short time."""


@dataclass(frozen=True)
class Patience:
    """How long to wait between looks, and how long to bear an unreachable service.

    `interval_in_seconds`: between two looks at a job. `budget_in_seconds`: of unbroken failures before the
    last one is raised. `late_log_in_seconds`: how long the log of a job that has ended must have been silent
    to be read to its end. `now` is the time of day, which AWS's own times are compared with.
    """

    interval_in_seconds: float = 10.0
    budget_in_seconds: float = 300.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = field(default=random.random)
    late_log_in_seconds: float = 10.0
    now: Callable[[], float] = time.time

    def pause(self) -> None:
        self.sleep(self.interval_in_seconds)

    def call(self, ask: Callable[[], T]) -> T:
        """What `ask` returns; throttling and outages are asked again with growing, jittered pauses."""
        deadline = self.clock() + self.budget_in_seconds
        delay = 1.0
        while True:
            try:
                return ask()
            except (ThrottledError, ServiceUnavailableError):
                pause = delay * (0.5 + self.jitter())
                if self.clock() + pause > deadline:
                    raise
                self.sleep(pause)
                delay = min(delay * 2, 30.0)

    def find(self, ask: Callable[[], T]) -> T:
        """As `call`, for what was made just before: for a minute "not found" is not believed."""
        deadline = self.clock() + CONSISTENCY_IN_SECONDS
        while True:
            try:
                return self.call(ask)
            except ResourceNotFoundError:
                if self.clock() >= deadline:
                    raise
                self.pause()
