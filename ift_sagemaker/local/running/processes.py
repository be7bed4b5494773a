"""Processes of this machine as /proc tells them: who a process is, who belongs to it, and ending them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ift_sagemaker.wire.paths import ML_ROOT, ML_ROOT_VARIABLE

PROC = Path("/proc")
_ROUNDS = 200
_REAPING_ROUNDS = 20
_PAUSE = 0.005
_ZOMBIE = ("Z", "X")


@dataclass(frozen=True)
class Process:
    """One running process; `started` is in clock ticks since the machine's start."""

    pid: int
    parent: int
    session: int
    started: int


@dataclass(frozen=True)
class Identity:
    """A process for ever: its number may be used again, but not with the same start on the same boot."""

    pid: int
    started: int
    boot: str

    def record(self) -> dict[str, Any]:
        return {"pid": self.pid, "started": self.started, "boot": self.boot}


def read(pid: int) -> Process | None:
    """The process of that number, None where it is gone or only waits to be reaped."""
    try:
        text = (PROC / str(pid) / "stat").read_text("ascii", "replace")
    except OSError:
        return None
    # the command, in parentheses, may itself hold spaces and parentheses
    state, parent, _, session, *rest = text.rpartition(")")[2].split()
    if state in _ZOMBIE:
        return None
    return Process(pid, int(parent), int(session), int(rest[15]))


def everything() -> Iterator[Process]:
    """All running processes."""
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (process := read(int(entry.name))) is not None:
            yield process


def children(pid: int) -> list[Process]:
    """The running children of a process, eldest first."""
    return sorted((item for item in everything() if item.parent == pid), key=lambda item: item.started)


def identify(pid: int) -> Identity | None:
    """Who the process of that number is now."""
    process = read(pid)
    return Identity(pid, process.started, boot_id()) if process else None


def boot_id() -> str:
    """A text that is another after each start of the machine."""
    try:
        return (PROC / "sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


def remains(recorded: dict[str, Any] | None) -> list[Process]:
    """What still runs of the session that the recorded process led.

    A number is free for others only once nobody is in its session, so a leader that is gone, or the recorded
    one itself, means that the session is still ours.
    """
    if not recorded or "boot" not in recorded or recorded["boot"] != boot_id():  # a container has none
        return []
    leader = read(recorded["pid"])
    if leader is not None and leader.started != recorded["started"]:
        return []
    return [
        item
        for item in everything()
        if item.session == recorded["pid"] and item.started >= recorded["started"]
    ]


def marked(home: Path) -> list[Process]:
    """Processes whose `/opt/ml` is below `home`: by their environment, or a bwrap's own arguments."""
    mark = os.fsencode(home) + b"/"
    return [item for item in everything() if item.pid != os.getpid() and _has_mark(item.pid, mark)]


def _has_mark(pid: int, mark: bytes) -> bool:
    try:
        words = (PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
        variables = (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return False
    if words[0].rpartition(b"/")[2] == b"bwrap":
        return any(
            option == b"--bind" and source.startswith(mark) and target == ML_ROOT.encode()
            for option, source, target in zip(words, words[1:], words[2:], strict=False)
        )
    prefix = ML_ROOT_VARIABLE.encode() + b"=" + mark
    return any(variable.startswith(prefix) for variable in variables)


def end(find: Callable[[], list[Process]]) -> int:
    """How many processes were killed until `find` found no more."""
    ended: set[int] = set()
    for _ in range(_ROUNDS):
        found = find()
        if not found:
            break
        ended |= {process.pid for process in found if kill(process)}
        time.sleep(_PAUSE)
    return len(ended)


def kill(process: Process) -> bool:
    """Whether it was killed: this process, and none that got its number meanwhile."""
    with suppress(ProcessLookupError):
        handle = os.pidfd_open(process.pid)
        try:
            there = read(process.pid)
            if there is not None and there.started == process.started:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                return True
        finally:
            os.close(handle)
    return False


def kill_number(pid: int) -> bool:
    """Whether the process of that number was there and killed."""
    process = read(pid)
    return process is not None and kill(process)


def kill_children(pid: int) -> int:
    """How many children of this process were killed: for a subreaper, all that its children left behind."""
    found = children(pid)
    for process in found:
        kill(process)
    reap(process.pid for process in found)
    return len(found)


def reap(
    pids: Iterable[int],
    wait: Callable[[int, int], tuple[int, int]] = os.waitpid,
    sleep: Callable[[float], None] = time.sleep,
) -> set[int]:
    """The killed children that the kernel did not give back within a tenth of a second."""
    left = set(pids)
    for _ in range(_REAPING_ROUNDS):
        left = {pid for pid in left if not _is_reaped(pid, wait)}
        if not left:
            break
        sleep(_PAUSE)
    return left


def _is_reaped(pid: int, wait: Callable[[int, int], tuple[int, int]]) -> bool:
    try:
        return wait(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True
