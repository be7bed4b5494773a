"""Waiting and asking again, on a clock that is passed in.

botocore gives up on a lost connection after about 0.1 seconds, so a wait of hours needs its own budget.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from ift_sagemaker.errors import ServiceUnavailableError, ThrottledError

T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """How long to wait between looks, and how long to bear an unreachable service.

    `interval_in_seconds`: between two looks at a job. `budget_in_seconds`: of unbroken failures before the
    last one is raised.
    """

    interval_in_seconds: float = 10.0
    budget_in_seconds: float = 300.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = field(default=random.random)

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
