"""The files behind the objects: staged under a temporary name, published by a rename, never written again."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ift_sagemaker.local.protocol.errors import DISK_FULL, ServiceError, disk_full
from ift_sagemaker.local.protocol.request import Source, read_into
from ift_sagemaker.local.s3.digests import ALWAYS, Digests
from ift_sagemaker.local.s3.writing import Writer
from ift_sagemaker.local.state.store import locked

CHUNK = 1 << 20
# what is read, hashed and written at a time: it stays in a core's cache from the first to the last of these
BLOCK = 1 << 18
_TURNS = 16
CANNOT_LINK = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS)

Verify = Callable[[Mapping[str, bytes]], None]


@dataclass(frozen=True)
class Staged:
    """A finished file that nothing names yet; `file` is what `ObjectFiles.path` takes."""

    file: str
    size: int
    digests: Mapping[str, bytes]

    @property
    def md5(self) -> str:
        return self.digests["md5"].hex()


@dataclass(frozen=True)
class Slot:
    """Where bytes belong in a file that others fill as well; in bytes."""

    file: str
    offset: int
    size: int


def new_file(path: Path) -> BinaryIO:
    """`path`, which must not exist, open for unbuffered writing."""
    return path.open("xb", buffering=0)


class ObjectFiles:
    """Files under `home`. A file is durable once published, where `durable` is not False."""

    def __init__(self, home: Path, open_new: Callable[[Path], BinaryIO] = new_file) -> None:
        self._home = home
        self._open_new = open_new
        self._final = home / "objects"
        self._incoming = home / "incoming"
        self._sweep_time = home / "swept"
        self._turns = [threading.Lock() for _ in range(_TURNS)]
        self._final.mkdir(parents=True, exist_ok=True)
        self._incoming.mkdir(exist_ok=True)

    def path(self, file: str) -> Path:
        return self._final / file[:2] / file

    @contextmanager
    def writing(self) -> Iterator[None]:
        """From staging to the commit of the row: keeps a sweep of another process away."""
        with locked(self._home / "writers.lock", fcntl.LOCK_SH):
            yield

    def stage(
        self,
        source: Source,
        algorithms: Iterable[str] = (),
        verify: Verify | None = None,
        *,
        durable: bool = True,
        always: Iterable[str] = ALWAYS,
    ) -> Staged:
        """The file made of `source`, with its digests of the algorithms named and those `always` made.

        `verify` gets the digests and may refuse by raising; then nothing stays.

        Raises:
            ServiceError: (507) the disk is full.
        """
        digests = Digests((*always, *algorithms))

        def write(temporary: Path) -> int:
            with self._open_new(temporary) as sink:
                size = _copy(source, digests, Writer(sink).write)
                if durable:
                    os.fsync(sink.fileno())
            return size

        return self._publish(write, digests, verify, durable=durable)

    def fill(
        self, slot: Slot, source: Source, algorithms: Iterable[str] = (), verify: Verify | None = None
    ) -> Staged:
        """The slot filled from `source`; as `stage`, but not durable, and on an error the slot is spent.

        Raises:
            ServiceError: (400) the source is longer than the slot; (507) the disk is full.
        """
        digests = Digests((*ALWAYS, *algorithms))
        # the kernel lets one thread at a time write to a file, and has the others spin until it is their turn
        turn = self._turns[hash(slot.file) % _TURNS]
        try:
            with _open_slot(self.path(slot.file)) as sink:
                sink.seek(slot.offset)
                writer = Writer(sink, turn)
                size = _copy(source, digests, writer.write, slot.size)
                writer.begin_write_out()
        except OSError as error:
            if error.errno in DISK_FULL:
                raise disk_full(self._home) from error
            raise
        results = digests.results()
        if verify is not None:
            verify(results)
        return Staged(slot.file, size, results)

    def settle(self, file: str) -> None:
        """Makes a file of filled slots durable, and read-only."""
        path = self.path(file)
        with path.open("rb", buffering=0) as source:
            os.fsync(source.fileno())
        path.chmod(0o444)
        _sync_directory(path.parent)

    def adopt(self, path: Path, algorithms: Iterable[str] = ()) -> Staged:
        """The file at `path`, hard-linked (it turns read-only then), or copied where no link can be made."""
        digests = Digests((*ALWAYS, *algorithms))

        def write(temporary: Path) -> int:
            link_or_copy(path, temporary)
            with temporary.open("rb", buffering=0) as source:
                size = _copy(source, digests)
                os.fsync(source.fileno())
            return size

        return self._publish(write, digests, None, durable=True)

    def _publish(
        self, write: Callable[[Path], int], digests: Digests, verify: Verify | None, *, durable: bool
    ) -> Staged:
        file = uuid.uuid4().hex
        temporary, final = self._incoming / file, self.path(file)
        try:
            size = write(temporary)
            results = digests.results()
            if verify is not None:
                verify(results)
            temporary.chmod(0o444)
            final.parent.mkdir(exist_ok=True)
            temporary.rename(final)
            if durable:
                _sync_directory(final.parent)
        except BaseException as error:
            temporary.unlink(missing_ok=True)
            final.unlink(missing_ok=True)
            if isinstance(error, OSError) and error.errno in DISK_FULL:
                raise disk_full(self._home) from error
            raise
        return Staged(file, size, results)

    def discard(self, files: Iterable[str]) -> None:
        """Removes files that no row names any more; hard links to them stay."""
        for file in files:
            self.path(file).unlink(missing_ok=True)

    def swept(self) -> float:
        """When the last sweep began, in epoch seconds; 0 where there was none."""
        with suppress(FileNotFoundError):
            return self._sweep_time.stat().st_mtime
        return 0.0

    def note_sweep(self, now: float) -> None:
        """Has `swept` answer `now`."""
        self._sweep_time.touch()
        os.utime(self._sweep_time, (now, now))

    def sweep(self, in_use: Callable[[], set[str]]) -> int:
        """How many files without a row were removed; none while another process is writing."""
        with locked(self._home / "writers.lock", fcntl.LOCK_EX | fcntl.LOCK_NB) as alone:
            if not alone:
                return 0
            used = in_use()
            present = (path for shelf in self._final.iterdir() for path in shelf.iterdir())
            orphans = [path for path in present if path.name not in used]
            orphans.extend(self._incoming.iterdir())
            for path in orphans:
                path.unlink(missing_ok=True)
            return len(orphans)


def link_or_copy(source: Path, destination: Path) -> None:
    """Makes `destination` the same file as `source`, or a copy where the disk has no such link."""
    try:
        os.link(source, destination)
    except OSError as error:
        if error.errno not in CANNOT_LINK:
            raise
        with source.open("rb") as reader, destination.open("xb") as writer:
            shutil.copyfileobj(reader, writer, CHUNK)


def _open_slot(path: Path) -> BinaryIO:
    """The file of a slot, made when absent; open for unbuffered writing."""
    path.parent.mkdir(exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o644)
    except PermissionError:  # settled by a completion that did not come about
        path.chmod(0o644)
        descriptor = os.open(path, flags, 0o644)
    return os.fdopen(descriptor, "wb", buffering=0)


def blocks(source: Source) -> Iterator[memoryview]:
    """All that `source` holds, `BLOCK` bytes at a time; each block is gone once the next is asked for."""
    whole = memoryview(bytearray(BLOCK))
    ended = False
    while not ended:
        filled = 0
        while filled < BLOCK and not ended:
            got = read_into(source, whole[filled:])
            filled, ended = filled + got, not got
        if filled:
            yield whole[:filled]


def _copy(
    source: Source,
    digests: Digests,
    write: Callable[[memoryview], None] = lambda _: None,
    limit: int | None = None,
) -> int:
    size = 0
    for block in blocks(source):
        size += len(block)
        if limit is not None and size > limit:
            raise ServiceError("IncompleteBody", "The body is longer than its announced length", 400)
        digests.update(block)
        write(block)
    return size


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # some file systems cannot sync a directory
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
