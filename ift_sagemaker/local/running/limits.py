"""How much memory and processor time a program may take, where this machine lets us say so.

A process cannot be kept to an amount of memory by its resource limits: the one there is (RLIMIT_AS) counts
addresses, of which torch reserves tens of gigabytes that it never fills. Control groups count what is used.
"""

from __future__ import annotations

import hashlib
import os
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

CONTROL_GROUPS = Path("/sys/fs/cgroup")
PERIOD = 100_000
OPEN_FILES = 65_536
_TRIES = 100
_PAUSE = 0.01


@dataclass(frozen=True)
class Limits:
    """`memory` in bytes, `processors` as a number of cores; None is no limit."""

    memory: int | None = None
    processors: float | None = None

    def told(self) -> list[str]:
        """What is limited, in words."""
        memory = [f"memory limit of {self.memory} bytes"] if self.memory else []
        return memory + ([f"processor limit of {self.processors:g} cores"] if self.processors else [])

    def open(self) -> list[str]:
        """What is not limited because nobody asked, in words."""
        memory = [] if self.memory else ["memory limit (IFT_LOCAL_MEMORY is not set)"]
        return memory + ([] if self.processors else ["processor limit (IFT_LOCAL_CPUS is not set)"])


@dataclass(frozen=True)
class ControlGroup:
    """A group of processes that together keep to limits; `folders` are its own, one a controller."""

    folders: tuple[Path, ...]

    def enter(self) -> None:
        """Moves the calling process, with all it will start, into the group."""
        for folder in self.folders:
            (folder / "cgroup.procs").write_text(str(os.getpid()), "ascii")

    def members(self) -> set[int]:
        """Process numbers of all that is in the group."""
        found: set[int] = set()
        for folder in self.folders:
            with suppress(OSError):
                found |= {int(line) for line in (folder / "cgroup.procs").read_text("ascii").split()}
        return found

    def remove(self, kill: Callable[[int], object], sleep: Callable[[float], None] = time.sleep) -> None:
        """Ends what is left in the group, then the group; one that cannot be ended is left."""
        for _ in range(_TRIES):
            members = self.members()
            for pid in members:
                kill(pid)
            if not members and all(map(_remove_folder, self.folders)):
                return
            sleep(_PAUSE)


def group_name(ml_root: Path) -> str:
    """The name of the group of a program, the same in every process."""
    return f"ift-{hashlib.sha256(os.fsencode(ml_root)).hexdigest()[:24]}"


def group_of(ml_root: Path, root: Path = CONTROL_GROUPS) -> ControlGroup | None:
    """The group that is there for a program, None where there is none."""
    folders = [place / group_name(ml_root) for place in _places(root).values()]
    there = tuple(dict.fromkeys(folder for folder in folders if folder.is_dir()))
    return ControlGroup(there) if there else None


def make_group(name: str, limits: Limits, root: Path = CONTROL_GROUPS) -> ControlGroup | None:
    """A new group with these limits, None where this machine or this user cannot have one."""
    values = _settings(limits)
    places = _places(root)
    if not values or not set(values) <= set(places):
        return None
    folders = tuple(dict.fromkeys(places[controller] / name for controller in values))
    group = ControlGroup(folders)
    try:
        for folder in folders:
            folder.mkdir(exist_ok=True)
        for controller, files in values.items():
            _write(places[controller] / name, files)
    except OSError:
        for folder in folders:
            _remove_folder(folder)
        return None
    return group


@lru_cache(maxsize=4)
def can_limit(limits: Limits) -> bool:
    """Whether a group with these limits can be made here, found by making one."""
    group = make_group(f"ift-trial-{os.getpid()}", limits)
    if group is None:
        return False
    group.remove(lambda _: None)
    return True


def bound_resources() -> None:
    """For a child before its program: no core files, and many but not endless open files."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_files(), open_files()))


def open_files() -> int:
    """How many files a program may have open: no more than this process could."""
    return _at_most(resource.RLIMIT_NOFILE, OPEN_FILES)


def user_processes() -> int:
    """A limit of processes that an engine started by this process is allowed to set."""
    return _at_most(resource.RLIMIT_NPROC, 1 << 15)


def _at_most(kind: int, wanted: int) -> int:
    _, hard = resource.getrlimit(kind)
    return wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)


def _settings(limits: Limits) -> dict[str, dict[str, str]]:
    """File contents by controller; a name with a star is of the older form of control groups."""
    found: dict[str, dict[str, str]] = {}
    if limits.memory:
        memory = str(limits.memory)
        found["memory"] = {
            "*memory.limit_in_bytes": memory,
            "*memory.memsw.limit_in_bytes?": memory,
            "memory.max": memory,
            "memory.swap.max?": "0",
        }
    if limits.processors:
        quota = str(round(limits.processors * PERIOD))
        found["cpu"] = {
            "*cpu.cfs_period_us": str(PERIOD),
            "*cpu.cfs_quota_us": quota,
            "cpu.max": f"{quota} {PERIOD}",
        }
    return found


def _write(folder: Path, files: dict[str, str]) -> None:
    is_old = not (folder / "cgroup.events").exists()
    for marked, content in files.items():
        name = marked.strip("*?")
        if marked.startswith("*") != is_old or (marked.endswith("?") and not (folder / name).exists()):
            continue
        (folder / name).write_text(content, "ascii")


def _places(root: Path) -> dict[str, Path]:
    """Where groups of each controller are made."""
    try:
        unified = set((root / "cgroup.subtree_control").read_text("ascii").split())
    except OSError:
        unified = set()
    return {name: place for name in ("memory", "cpu") for place in _place(root, name, unified)}


def _place(root: Path, controller: str, unified: set[str]) -> Iterator[Path]:
    if controller in unified:
        yield root
    elif (root / controller / "cgroup.procs").exists():
        yield root / controller


def _remove_folder(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
