"""Which servers answer for a root: a file each, under a lock that is held for as long as the server lives."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from ift_sagemaker.errors import StorageError
from ift_sagemaker.local.supervision.leases import acquire, is_held

FOLDER = "servers"
_PATIENCE_IN_SECONDS = 5.0


@dataclass(frozen=True)
class Listener:
    """A running server. `alone`: its process does nothing else, and may be ended with it."""

    pid: int
    url: str
    alone: bool


@contextmanager
def registered(root: Path, url: str, *, alone: bool) -> Iterator[None]:
    """`running` tells of this process's server at `url` while inside.

    Raises:
        StorageError: somebody keeps the new entry locked for seconds.
    """
    folder = root / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    # never the name of an entry that is there: process numbers come back, and containers have their own
    path = folder / f"{os.getpid()}-{url.rpartition(':')[2]}-{uuid.uuid4().hex[:8]}.json"
    lease = acquire(path, _PATIENCE_IN_SECONDS)
    if lease is None:
        raise StorageError(f"{path} is locked by another process", path=str(path))
    try:
        # by name it could be another file: one that is seen before it is locked is taken for a dead one's
        os.write(lease.descriptor, json.dumps(asdict(Listener(os.getpid(), url, alone))).encode())
        yield
    finally:
        lease.retire()


def running(root: Path) -> list[Listener]:
    """The servers that live; whatever dead ones left is removed."""
    found = []
    with suppress(FileNotFoundError):
        for path in sorted((root / FOLDER).iterdir()):
            if not is_held(path):
                _remove(path)
                continue
            with suppress(OSError, ValueError):  # it ended, or has not written yet
                found.append(Listener(**json.loads(path.read_text())))
    return found


def _remove(path: Path) -> None:
    """Removes a dead one's entry, unless somebody took it meanwhile."""
    lease = acquire(path)
    if lease is not None:
        lease.retire()
