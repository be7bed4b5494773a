"""Objects of S3 as files below `/opt/ml`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ift_sagemaker.local.protocol.errors import DISK_FULL, ServiceError
from ift_sagemaker.local.s3.files import CHUNK
from ift_sagemaker.local.s3.objects import ObjectStore, StoredObject
from ift_sagemaker.local.state.resources import split_s3

READ_ONLY = 0o444
SCRIPT_CHANNELS = ("code", "sm_drivers")
"""Channels in which the SDK's script mode unpacks its archive and makes its script executable."""


class DownloadError(Exception):
    """S3 data could not be put into place; the text says why."""


@dataclass(frozen=True)
class Item:
    """One object of S3 and its name below the folder that it comes to."""

    stored: StoredObject
    name: str

    @property
    def is_folder(self) -> bool:
        """Whether it is what consoles put for an empty folder."""
        return self.stored.key.endswith("/")


class Reading:
    """While S3 is read from `uri`: what it refuses becomes a DownloadError, but for a full disk."""

    def __init__(self, uri: str) -> None:
        self._uri = uri

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ServiceError) and error.status != 507:
            raise DownloadError(f"{error.code}: {error.message} ({self._uri})") from error


def items_below(objects: ObjectStore, uri: str) -> list[Item]:
    """Everything under an S3 key or prefix, in the order of keys; the names below the prefix are kept.

    Raises:
        DownloadError: there is nothing.
        ServiceError: no such bucket.
    """
    bucket, prefix = split_s3(uri)
    objects.bucket(bucket)
    found = [Item(stored, relative_name(stored.key, prefix)) for stored in objects.list(bucket, prefix)]
    if all(item.is_folder for item in found):
        raise DownloadError(f"S3 key: {uri} matched no files on s3")
    return found


@contextmanager
def _as_file(stored: StoredObject) -> Iterator[None]:
    """What keeps an object from being a file here becomes a DownloadError, but for a full disk."""
    try:
        yield
    except OSError as error:
        if error.errno in DISK_FULL:
            raise
        address = f"s3://{stored.bucket}/{stored.key}"
        raise DownloadError(f"{address} cannot be a file here: {error.strerror}") from error


class Downloads:
    """Objects of S3 as files.

    `share` links a file with the object store, which saves the bytes; it must be off where the program could
    write through the link (as root, whom file modes do not stop).
    """

    def __init__(self, objects: ObjectStore, *, share: bool) -> None:
        self._objects = objects
        self._share = share

    def prefix(self, uri: str, folder: Path) -> int:
        """How many files came to `folder` from an S3 key or prefix; the names below the prefix are kept.

        Raises:
            DownloadError: no such bucket, nothing there, or a key that is no file name.
        """
        with Reading(uri):
            return self.place(items_below(self._objects, uri), folder)

    def place(self, items: Iterable[Item], folder: Path) -> int:
        """How many files came to `folder`, read-only.

        Raises:
            DownloadError: a name leads elsewhere, or cannot be a file here.
            OSError: the disk is full.
        """
        folder.mkdir(parents=True, exist_ok=True)
        return sum(self._place(item, folder) for item in items)

    def unshared(self) -> Downloads:
        """The same, with files that are copies."""
        return Downloads(self._objects, share=False)

    def copy(self, uri: str, folder: Path) -> int:
        """How many files were copied to `folder`, writable; none is no error."""
        bucket, prefix = split_s3(uri)
        below = f"{prefix.rstrip('/')}/" if prefix else ""
        count = 0
        for found in self._objects.list(bucket, below):
            path = folder / safe_name(found.key.removeprefix(below))
            if not found.key.endswith("/"):
                with _as_file(found):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    self._copy(found, path)
                count += 1
        return count

    def _place(self, item: Item, folder: Path) -> int:
        with _as_file(item.stored):
            return self._put(item, folder / safe_name(item.name))

    def _put(self, item: Item, path: Path) -> int:
        found = item.stored
        if item.is_folder:
            path.mkdir(parents=True, exist_ok=True)
            return 0
        path.parent.mkdir(parents=True, exist_ok=True)
        if self._share:
            self._objects.link(found.bucket, found.key, path)
        else:
            self._copy(found, path)
            path.chmod(READ_ONLY)
        return 1

    def _copy(self, found: StoredObject, path: Path) -> None:
        _, source = self._objects.open(found.bucket, found.key)
        with source, path.open("xb") as sink:
            shutil.copyfileobj(source, sink, CHUNK)


def relative_name(key: str, prefix: str) -> str:
    """The name of a key below a prefix.

    A whole key keeps its last part; a folder, with or without its slash, gives the names inside; any other
    prefix gives what follows its last slash.
    """
    folder = prefix.rstrip("/")
    if folder and key == folder:
        return key.rpartition("/")[2]
    if folder and key.startswith(f"{folder}/"):
        return key[len(folder) + 1 :]
    return key[prefix.rfind("/") + 1 :]


def safe_name(name: str) -> PurePosixPath:
    """The name as a relative path; a DownloadError where it would lead elsewhere."""
    parts = name.rstrip("/").split("/") if name else []
    if any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise DownloadError(f"the S3 key …{name!r} cannot be a file below the channel")
    return PurePosixPath(*parts)


def may_share(runner: str) -> bool:
    """Whether inputs may be hard links into the object store: the runner or the file modes protect them."""
    return runner == "bwrap" or os.geteuid() != 0
