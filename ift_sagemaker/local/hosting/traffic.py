"""Who is asking a fleet right now, known to all processes: a shared lock on one file a fleet.

Whoever asks looks up the fleet, takes the lock, and looks again; a supervisor names another fleet first and
ends the old one only when nobody holds its lock, or when it was held for longer than any request may take.
So an update cuts no request short that keeps to its time. An endpoint that is deleted or fails ends at once.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Passage:
    """A place among those who ask a fleet, until released."""

    descriptor: int

    def release(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def gate(home: Path, number: int) -> Path:
    """The file of a fleet below the endpoint's folder."""
    return home / f"traffic-{number}"


def open_gate(path: Path) -> None:
    """Lets requests in from now on."""
    path.touch(mode=0o600)


def enter(path: Path) -> Passage | None:
    """A passage, None where the fleet is gone or about to go."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return Passage(descriptor)


def is_quiet(path: Path) -> bool:
    """Whether nobody asks the fleet."""
    with suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)
    return True
