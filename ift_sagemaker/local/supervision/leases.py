"""Who is alive: a supervisor holds the lock of its job or endpoint from before its start to its end.

The creator takes the lock and hands the open file on, so there is no moment in which a starting supervisor
looks dead; the kernel frees it when the last holder is gone, however it went.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ift_sagemaker.local.supervision.kinds import KINDS

_PAUSE = 0.01
_SUFFIX = ".lock"


@dataclass
class Lease:
    """A held lock. `descriptor` is the open file that holds it."""

    path: Path
    descriptor: int

    def release(self) -> None:
        """Lets go of this holder's share; others that inherited the file still hold the lock."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def retire(self) -> None:
        """Releases and removes the file: nobody is meant to be alive under this name any more."""
        if self.descriptor >= 0:
            self.path.unlink(missing_ok=True)
        self.release()


def lease_path(root: Path, kind: str, name: str) -> Path:
    return root / "locks" / f"{kind}-{name}{_SUFFIX}"


def inherited(path: Path, descriptor: int) -> Lease:
    """The lease that the creator handed on, closed to this process's own children."""
    os.set_inheritable(descriptor, False)
    return Lease(path, descriptor)


def acquire(
    path: Path,
    patience: float = 0.0,
    sleep: Callable[[float], None] = time.sleep,
) -> Lease | None:
    """The lease, None where another holds it. `patience`: seconds to try again, for those who only look."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        locked = _lock(descriptor, fcntl.LOCK_EX)
        if locked and _is_current(path, descriptor):
            return Lease(path, descriptor)
        os.close(descriptor)
        if not locked:
            if patience <= 0:
                return None
            patience -= _PAUSE
            sleep(_PAUSE)


def is_held(path: Path) -> bool:
    """Whether somebody holds the lease; looking takes nothing away from the holder."""
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            if not _lock(descriptor, fcntl.LOCK_SH):
                return True
            if _is_current(path, descriptor):
                return False
        finally:
            os.close(descriptor)


def abandoned(root: Path) -> Iterator[tuple[str, str]]:
    """Kind and name of every lease whose holder is gone without having retired it."""
    with suppress(FileNotFoundError):
        for path in sorted((root / "locks").iterdir()):
            for kind in KINDS:
                if path.name.startswith(f"{kind}-") and not is_held(path):
                    yield kind, path.name.removeprefix(f"{kind}-").removesuffix(_SUFFIX)


def _lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_current(path: Path, descriptor: int) -> bool:
    """Whether the open file is still the one of that name: a retired lease is unlinked under its lock."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
