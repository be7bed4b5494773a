"""The files behind the objects: staged under a temporary name, published by a rename, never written again."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ift_sagemaker.local.protocol.errors import DISK_FULL, disk_full
from ift_sagemaker.local.protocol.request import Source
from ift_sagemaker.local.s3.digests import ALWAYS, Digests
from ift_sagemaker.local.state.store import locked

CHUNK = 1 << 20
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
                size = _copy(source, sink, digests)
                if durable:
                    os.fsync(sink.fileno())
            return size

        return self._publish(write, digests, verify, durable=durable)

    def adopt(self, path: Path, algorithms: Iterable[str] = ()) -> Staged:
        """The file at `path`, hard-linked (it turns read-only then), or copied where no link can be made."""
        digests = Digests((*ALWAYS, *algorithms))

        def write(temporary: Path) -> int:
            link_or_copy(path, temporary)
            with temporary.open("rb", buffering=0) as source:
                size = _feed(source, digests)
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


def _copy(source: Source, sink: BinaryIO, digests: Digests) -> int:
    size = 0
    while data := source.read(CHUNK):
        digests.update(data)
        size += len(data)
        _write_all(sink, data)
    return size


def _write_all(sink: BinaryIO, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[sink.write(left) :]


def _feed(source: Source, digests: Digests) -> int:
    size = 0
    while data := source.read(CHUNK):
        digests.update(data)
        size += len(data)
    return size


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # some file systems cannot sync a directory
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
