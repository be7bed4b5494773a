"""How many may run at once: numbered slot files, taken by `flock`, and a queue of tickets before them."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ift_sagemaker.local.supervision.leases import Lease, acquire, is_held, lease_path

POLL_IN_SECONDS = 0.2


class Slots:
    """`count` slots for one kind. First come, first served, by the creation time on the ticket.

    A slot is freed by the kernel when its holder dies; the ticket of a dead supervisor is passed over, and
    so is one that may not be taken yet. `clock` gives seconds since the epoch.
    """

    def __init__(self, root: Path, kind: str, count: int, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._root = root
        self._kind = kind
        self._count = count
        self._queue = root / "queue" / kind

    def enqueue(self, name: str, created: float, delay: float = 0.0) -> None:
        """Puts `name` into the queue, to be let through `delay` seconds after `created` at the earliest.

        Its lease must be held, else it is passed over.
        """
        self._queue.mkdir(parents=True, exist_ok=True)
        due = f"{created + delay:.6f}" if delay else ""
        (self._queue / f"{created:020.6f} {name}").write_text(due, "ascii")

    def leave(self, name: str) -> None:
        """Takes `name` out of the queue."""
        for ticket in self._tickets():
            if _holder(ticket) == name:
                ticket.unlink(missing_ok=True)

    def take(self, name: str) -> Lease | None:
        """A slot for `name`, which then leaves the queue; None while others are first or all are taken."""
        if self._first() not in (name, None) or not self._is_due(name):
            return None
        for number in range(self._count):
            slot = acquire(self._root / "slots" / f"{self._kind}-{number}.lock")
            if slot is not None:
                self.leave(name)
                return slot
        return None

    def wait(
        self,
        name: str,
        check: Callable[[], None],
        sleep: Callable[[float], None] = time.sleep,
    ) -> Lease:
        """A slot for `name`. `check` is called before every look and ends the waiting by raising."""
        while True:
            check()
            slot = self.take(name)
            if slot is not None:
                return slot
            sleep(POLL_IN_SECONDS)

    def _first(self) -> str | None:
        for ticket in self._tickets():
            name = _holder(ticket)
            if not is_held(lease_path(self._root, self._kind, name)):
                ticket.unlink(missing_ok=True)
            elif self._may_go(ticket):
                return name
        return None

    def _is_due(self, name: str) -> bool:
        return all(self._may_go(ticket) for ticket in self._tickets() if _holder(ticket) == name)

    def _may_go(self, ticket: Path) -> bool:
        try:
            due = ticket.read_text("ascii")
        except FileNotFoundError:
            return True
        return not due or self._clock() >= float(due)

    def _tickets(self) -> list[Path]:
        with suppress(FileNotFoundError):
            return sorted(self._queue.iterdir())
        return []


def _holder(ticket: Path) -> str:
    return ticket.name.partition(" ")[2]
