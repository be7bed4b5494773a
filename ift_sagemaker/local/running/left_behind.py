"""What a program left below `/opt/ml`, opened so that no link it made leads anywhere else.

A program may put a symbolic link where a folder or a file is looked for, also while it is looked for. So each
step down is an `openat` that refuses links, and what is found is named by an open folder, not by a path.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NO_FOLDER = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


@dataclass(frozen=True)
class Entry:
    """Something in a folder: `path` is its name below the folder asked for, `folder` holds it and is open."""

    path: str
    name: str
    folder: int
    status: os.stat_result

    @property
    def is_plain(self) -> bool:
        return stat.S_ISREG(self.status.st_mode)

    def open(self) -> BinaryIO | None:
        """The plain file, None where it is one no longer."""
        return _open_plain(self.name, self.folder)


class Left(Protocol):
    """What programs left: one folder, or those of several hosts as one."""

    def is_empty(self) -> bool:
        """Whether there is nothing."""

    def entries(self) -> Iterator[Entry]:
        """All that there is; an entry is good until the next one is asked for."""


@dataclass(frozen=True)
class ProgramFolder:
    """The folder `name`, which may have several parts, below `root`, which no program can replace."""

    root: Path
    name: str

    @property
    def path(self) -> Path:
        """Only for use while no program runs."""
        return self.root / self.name

    @contextmanager
    def opened(self) -> Iterator[int | None]:
        """A descriptor of the folder; None where there is none, or a link on the way to it."""
        descriptor = _descend(self.root, PurePosixPath(self.name).parts)
        try:
            yield descriptor
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def is_empty(self) -> bool:
        """Whether there is nothing in the folder, or no folder."""
        with self.opened() as descriptor:
            return descriptor is None or not os.listdir(descriptor)  # noqa: PTH208 - by descriptor

    def entries(self) -> Iterator[Entry]:
        """All below the folder in the order of names, a folder before what is in it.

        An entry is good until the next one is asked for.
        """
        with self.opened() as descriptor:
            if descriptor is not None:
                yield from _walk(descriptor, "")

    def read_text(self, name: str, limit: int) -> str | None:
        """Up to `limit` characters of a plain file in the folder, None where there is none."""
        data = self.read_bytes(name, limit * 4)
        return None if data is None else data.decode("utf-8", "replace")[:limit]

    def read_bytes(self, name: str, limit: int) -> bytes | None:
        """Up to `limit` bytes of a plain file in the folder, None where there is none."""
        with suppress(OSError), self.opened() as descriptor:
            file = None if descriptor is None else _open_plain(name, descriptor)
            if file is not None:
                with file:
                    return file.read(limit)
        return None


@dataclass(frozen=True)
class MergedFolders:
    """The same folder of every host as one.

    "If multiple containers in a single training job write to this directory they should ensure no
    file/directory names clash" (AWS, your-algorithms-training-algo-output). Where they do, the first host's
    stays.
    """

    folders: Sequence[ProgramFolder]

    def is_empty(self) -> bool:
        return all(folder.is_empty() for folder in self.folders)

    def entries(self) -> Iterator[Entry]:
        """All of the first host, then what each further one adds."""
        seen: dict[str, bool] = {}
        for folder in self.folders:
            for entry in folder.entries():
                if entry.path in seen or not _is_free(entry.path, seen):
                    continue
                seen[entry.path] = stat.S_ISDIR(entry.status.st_mode)
                yield entry


def _is_free(path: str, folders: dict[str, bool]) -> bool:
    """Whether every folder on the way is one: another host may have a file of that name."""
    return all(folders.get(str(parent), True) for parent in PurePosixPath(path).parents)


def _descend(root: Path, parts: tuple[str, ...]) -> int | None:
    """A descriptor of the folder below `root`; None where a part is no folder, a link or leads upwards."""
    if ".." in parts:
        return None
    try:
        current = os.open(root, _FOLDER & ~os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    for part in parts:
        parent = current
        try:
            below = _open_folder(part, parent)
        finally:
            os.close(parent)
        if below is None:
            return None
        current = below
    return current


def _open_folder(name: str, parent: int) -> int | None:
    try:
        return os.open(name, _FOLDER, dir_fd=parent)
    except OSError as error:
        if error.errno in _NO_FOLDER:
            return None
        raise


def _open_plain(name: str, folder: int) -> BinaryIO | None:
    try:
        file = os.fdopen(os.open(name, _FILE, dir_fd=folder), "rb")
    except OSError as error:
        if error.errno in (*_NO_FOLDER, errno.ENXIO):  # the last is a socket's answer
            return None
        raise
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    return None


def _walk(folder: int, prefix: str) -> Iterator[Entry]:
    for name in sorted(os.listdir(folder)):
        try:
            status = os.lstat(name, dir_fd=folder)
        except FileNotFoundError:  # removed just now
            continue
        yield Entry(prefix + name, name, folder, status)
        below = _open_folder(name, folder) if stat.S_ISDIR(status.st_mode) else None
        if below is not None:
            try:
                yield from _walk(below, f"{prefix}{name}/")
            finally:
                os.close(below)
