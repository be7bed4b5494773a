"""What leaves `/opt/ml` when a program has ended, and what comes back into it at hosting: tar archives."""

from __future__ import annotations

import gzip
import os
import shutil
import stat
import tarfile
import zlib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ift_sagemaker.local.protocol.errors import DISK_FULL, ServiceError
from ift_sagemaker.local.running.left_behind import Entry, Left
from ift_sagemaker.local.s3.files import CANNOT_LINK
from ift_sagemaker.local.s3.objects import ObjectStore

# weights hardly compress: higher levels cost minutes and win nothing
_LEVEL = 0
_GIB = 1 << 30
_MAX_PADDING = 16  # MiB


class ArchiveError(Exception):
    """An archive is damaged, unsafe or too large."""


@dataclass(frozen=True)
class Caps:
    """What an archive may become: members, bytes, and bytes for one byte of archive (above `free` bytes)."""

    members: int = 100_000
    size: int = 256 * _GIB
    ratio: float = 200.0
    free: int = 256 << 20


@dataclass(frozen=True)
class Upload:
    """A finished local file and the key that it will have."""

    key: str
    path: Path


def pack(folder: Left, archive: Path) -> None:
    """Writes a tar.gz of all below `folder`, in the order of names; equal content gives equal bytes."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with (
        archive.open("wb") as raw,
        gzip.GzipFile("", "wb", _LEVEL, raw, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for entry in folder.entries():
            _add(tar, entry)


def _add(tar: tarfile.TarFile, entry: Entry) -> None:
    """Adds a file, folder or link; sockets, pipes and devices are left out."""
    file = entry.open() if entry.is_plain else None
    if file is not None:
        with file:
            tar.addfile(_nobody(tar.gettarinfo(arcname=entry.path, fileobj=file)), file)
        return
    member = tarfile.TarInfo(entry.path)
    member.mode, member.mtime = stat.S_IMODE(entry.status.st_mode), int(entry.status.st_mtime)
    if stat.S_ISDIR(entry.status.st_mode):
        member.type = tarfile.DIRTYPE
        tar.addfile(member)
    elif stat.S_ISLNK(entry.status.st_mode):
        member.type, member.linkname = tarfile.SYMTYPE, os.readlink(entry.name, dir_fd=entry.folder)
        tar.addfile(member)


def _nobody(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """The member without owner."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = int(member.mtime)
    return member


def archived(folder: Left, archive: Path, key: str) -> list[Upload]:
    """The folder as one tar.gz, packed beside it."""
    pack(folder, archive)
    return [Upload(key, archive)]


def as_files(folder: Left, prefix: str, desk: Path) -> list[Upload]:
    """The folder's plain files under a prefix, linked into the new folder `desk`."""
    desk.mkdir(parents=True)
    uploads: list[Upload] = []
    for entry in folder.entries():
        copy = desk / str(len(uploads))
        if entry.is_plain and _set_aside(entry, copy):
            uploads.append(Upload(f"{prefix}{entry.path}", copy))
    return uploads


def _set_aside(entry: Entry, copy: Path) -> bool:
    """Whether `copy` is now the same plain file, or a copy of it where the disk has no such link."""
    try:
        os.link(entry.name, copy, src_dir_fd=entry.folder, follow_symlinks=False)
    except OSError as error:
        if error.errno not in CANNOT_LINK:
            raise
        return stable_copy(entry, copy) is not None
    if stat.S_ISREG(copy.lstat().st_mode):
        return True
    copy.unlink()  # replaced since it was seen
    return False


def put_all(objects: ObjectStore, bucket: str, uploads: Iterable[Upload]) -> None:
    """Puts every file. Where one fails, those are taken back whose keys were free before.

    What was there before and was replaced stays so: it is all or none only where every key was free.
    """
    new: list[str] = []
    try:
        for upload in uploads:
            was_free = objects.get(bucket, upload.key) is None
            objects.put_file(bucket, upload.key, upload.path)
            if was_free:
                new.append(upload.key)
    except BaseException:
        for key in new:
            with suppress(ServiceError, OSError):
                objects.delete(bucket, key)
        raise


def extract(archive: Path, folder: Path, caps: Caps | None = None) -> None:
    """Unpacks a tar.gz below `folder`.

    Raises:
        ArchiveError: it is no whole tar.gz, leads out of the folder, or grows beyond the caps.
    """
    folder.mkdir(parents=True, exist_ok=True)
    limit = _Limit(caps or Caps(), archive.stat().st_size)
    try:
        _extract(archive, folder, limit)
    except (tarfile.TarError, EOFError, KeyError, zlib.error) as error:
        raise ArchiveError(f"the archive is damaged or unsafe: {error or type(error).__name__}") from error
    except OSError as error:
        if error.errno in DISK_FULL:
            raise
        raise ArchiveError(f"the archive is damaged or unsafe: {error}") from error


def _extract(archive: Path, folder: Path, limit: _Limit) -> None:
    with gzip.open(archive, "rb") as unzipped:
        with tarfile.open(fileobj=unzipped, mode="r|") as tar:
            for member in tar:
                limit.count(member)
                tar.extract(member, folder, filter="data")
        # tarfile takes a cut between two members for the end; gzip's own trailer tells
        while unzipped.read(1 << 20):
            limit.padding()


class _Limit:
    def __init__(self, caps: Caps, archive_size: int) -> None:
        self._caps = caps
        self._size = min(caps.size, max(caps.free, int(caps.ratio * archive_size)))
        self._members = 0
        self._bytes = 0
        self._padding = 0

    def padding(self) -> None:
        self._padding += 1
        if self._padding > _MAX_PADDING:
            raise ArchiveError("the archive goes on behind its end")

    def count(self, member: tarfile.TarInfo) -> None:
        self._members += 1
        self._bytes += member.size
        if self._members > self._caps.members:
            raise ArchiveError(f"the archive has more than {self._caps.members} members")
        if self._bytes > self._size:
            raise ArchiveError(f"the archive grows beyond {self._size} bytes")


def stable_copy(source: Entry, destination: Path) -> tuple[int, int] | None:
    """`(size, mtime in ns)` of a plain file that was copied whole; None where it changed meanwhile."""
    try:
        reader = source.open()
    except OSError:
        return None
    if reader is None:
        return None
    with reader:
        before = signature(os.fstat(reader.fileno()))
        with destination.open("wb") as writer:
            shutil.copyfileobj(reader, writer, 1 << 20)
        after = signature(os.fstat(reader.fileno()))
    with suppress(OSError):
        there = signature(os.lstat(source.name, dir_fd=source.folder))
        if before == after == there and destination.stat().st_size == before[0]:
            return before
    return None


def signature(status: os.stat_result) -> tuple[int, int]:
    """What changes when a file does."""
    return status.st_size, status.st_mtime_ns
