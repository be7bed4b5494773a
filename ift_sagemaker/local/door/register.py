"""Which servers answer for a root: a file each, under a lock that is held for as long as the server lives."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from ift_sagemaker.local.state.store import locked

FOLDER = "servers"


@dataclass(frozen=True)
class Listener:
    """A running server. `alone`: its process does nothing else, and may be ended with it."""

    pid: int
    url: str
    alone: bool


@contextmanager
def registered(root: Path, url: str, *, alone: bool) -> Iterator[None]:
    """`running` tells of this process's server at `url` while inside."""
    folder = root / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{os.getpid()}-{url.rpartition(':')[2]}.json"
    path.unlink(missing_ok=True)  # of a process that had this number before
    with locked(path, fcntl.LOCK_EX):
        path.write_text(json.dumps(asdict(Listener(os.getpid(), url, alone))))
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def running(root: Path) -> list[Listener]:
    """The servers that live; whatever dead ones left is removed."""
    found = []
    with suppress(FileNotFoundError):
        for path in sorted((root / FOLDER).iterdir()):
            with locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB) as dead:
                if dead:
                    path.unlink(missing_ok=True)
                    continue
            with suppress(OSError, ValueError):  # it ended, or has not written yet
                found.append(Listener(**json.loads(path.read_text())))
    return found
