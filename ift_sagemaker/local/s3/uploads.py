"""Multipart uploads: parts as files of their own, joined into one object when the upload completes."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Connection
from typing import Any, BinaryIO, Self

from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.s3 import digests
from ift_sagemaker.local.s3.files import Staged
from ift_sagemaker.local.s3.objects import (
    Attributes,
    NewObject,
    ObjectStore,
    Precondition,
    StoredObject,
    require_bucket,
)

MIN_PART_BYTES = 5 << 20
MAX_PARTS = 10_000


@dataclass(frozen=True)
class Upload:
    """An unfinished upload; `started` in epoch seconds, `algorithm` in lower case or empty."""

    id: str
    bucket: str
    key: str
    started: float
    attributes: Attributes
    algorithm: str
    checksum_type: str


@dataclass(frozen=True)
class Part:
    """One uploaded part."""

    number: int
    file: str
    size: int
    etag: str
    modified: float
    checksums: Mapping[str, str]


@dataclass(frozen=True)
class ListedPart:
    """A part as CompleteMultipartUpload lists it."""

    number: int
    etag: str
    checksums: Mapping[str, str]


class Uploads:
    """The multipart uploads of an ObjectStore."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects
        self._store = objects.store

    def create(
        self, bucket: str, key: str, attributes: Attributes, algorithm: str, checksum_type: str
    ) -> str:
        """The id of a new upload."""
        self._objects.require(bucket, key)
        upload = uuid.uuid4().hex
        row = (upload, bucket, key.encode(), self._store.clock(), attributes.dump(), algorithm, checksum_type)
        with self._store.transaction() as connection:
            require_bucket(connection, bucket)
            connection.execute("INSERT INTO uploads VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        return upload

    def get(self, bucket: str, key: str, upload: str) -> Upload:
        """The upload; a ServiceError NoSuchUpload where there is none of that id for that key."""
        self._objects.bucket(bucket)
        condition = "id = ? AND bucket = ? AND key = ?"
        found = self._select(condition, (upload, bucket, key.encode()))
        if not found:
            raise no_such_upload(upload)
        return found[0]

    def list(self, bucket: str, prefix: str) -> Sequence[Upload]:
        """The unfinished uploads of a bucket, by key and time."""
        self._objects.bucket(bucket)
        found = self._select("bucket = ? ORDER BY key, started, id", (bucket,))
        return [upload for upload in found if upload.key.startswith(prefix)]

    def _select(self, condition: str, parameters: tuple[Any, ...]) -> Sequence[Upload]:
        columns = "id, bucket, key, started, attributes, algorithm, checksum_type"
        rows = self._store.rows(f"SELECT {columns} FROM uploads WHERE {condition}", parameters)  # noqa: S608 - fixed texts
        return [
            Upload(row[0], row[1], row[2].decode(), row[3], Attributes.load(row[4]), row[5], row[6])
            for row in rows
        ]

    def parts(self, upload: Upload) -> dict[int, Part]:
        """The parts by number, ascending."""
        columns = "number, file, size, etag, modified, checksums"
        sql = f"SELECT {columns} FROM parts WHERE upload = ? ORDER BY number"  # noqa: S608 - fixed text
        rows = self._store.rows(sql, (upload.id,))
        return {
            number: Part(number, file, size, etag, modified, json.loads(checksums))
            for number, file, size, etag, modified, checksums in rows
        }

    def put_part(self, upload: Upload, number: int, staged: Staged, checksums: Mapping[str, str]) -> Part:
        """The part, which replaces one of that number."""
        part = Part(number, staged.file, staged.size, staged.md5, self._store.clock(), checksums)
        kept = json.dumps({"crc32": digests.encode(staged.digests["crc32"]), **checksums})
        row = (upload.id, number, part.file, part.size, part.etag, part.modified, kept)
        try:
            with self._store.transaction() as connection:
                _require_upload(connection, upload)
                replaced = _files(connection, "upload = ? AND number = ?", (upload.id, number))
                connection.execute("INSERT OR REPLACE INTO parts VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        except BaseException:
            self._objects.forsake(staged.file)
            raise
        self._objects.files.discard(replaced)
        return part

    def abort(self, upload: Upload) -> None:
        """Forgets the upload and its parts."""
        with self._store.transaction() as connection:
            files = _forget(connection, upload)
        self._objects.files.discard(files)

    def complete(self, upload: Upload, listed: Sequence[ListedPart], condition: Precondition) -> StoredObject:
        """The object made of the listed parts; parts left out are dropped.

        Raises:
            ServiceError: a part is missing, differs, is out of order or too small, a part's file is damaged,
                or `condition` does not hold. The upload goes on then.
        """
        parts = _chosen(self.parts(upload), listed)
        files = self._objects.files
        with files.writing(), ExitStack() as stack:
            joined = stack.enter_context(_Joined(upload.id, parts, files.path))
            composite = _composite(upload, parts)
            whole = () if composite else (upload.algorithm or "crc32",)
            staged = files.stage(joined, whole, always=())
            new = NewObject(
                staged,
                upload.bucket,
                upload.key,
                upload.attributes,
                _etag(parts),
                composite or {name: digests.encode(staged.digests[name]) for name in whole},
            )
            return self._objects.commit(new, condition, lambda connection: _forget(connection, upload))


class _Joined:
    """The bytes of all parts, one after the other; each is compared with its CRC32 as it goes by."""

    def __init__(self, upload: str, parts: Sequence[Part], path: Callable[[str], Path]) -> None:
        self._upload = upload
        self._parts: Iterator[Part] = iter(parts)
        self._path = path
        self._part: Part | None = None
        self._file: BinaryIO | None = None
        self._running = digests.start("crc32")

    def __enter__(self) -> Self:
        self._open_next()
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def _open_next(self) -> None:
        if self._file is not None:
            self._file.close()
        self._part = next(self._parts, None)
        self._running = digests.start("crc32")
        self._file = self._open(self._part) if self._part else None

    def _open(self, part: Part) -> BinaryIO:
        try:
            return self._path(part.file).open("rb", buffering=0)
        except FileNotFoundError:  # completed or aborted by another just now
            raise no_such_upload(self._upload) from None

    def read(self, size: int, /) -> bytes:
        while self._file is not None:
            data = self._file.read(size)
            if data:
                self._running.update(data)
                return data
            self._check()
            self._open_next()
        return b""

    def _check(self) -> None:
        part = self._part
        if part is not None and digests.encode(self._running.digest()) != part.checksums["crc32"]:
            message = f"Part {part.number} was damaged on the disk since it was uploaded; upload it again"
            raise ServiceError("InvalidPart", message, 400)


def _chosen(parts: Mapping[int, Part], listed: Sequence[ListedPart]) -> list[Part]:
    numbers = [part.number for part in listed]
    if not listed or numbers != sorted(set(numbers)):
        message = "The list of parts was not in ascending order. The parts list must be specified in order."
        raise ServiceError("InvalidPartOrder", message, 400)
    chosen = [_match(parts.get(part.number), part) for part in listed]
    small = [part for part in chosen[:-1] if part.size < MIN_PART_BYTES]
    if small:
        message = "Your proposed upload is smaller than the minimum allowed size"
        details = {
            "ProposedSize": small[0].size,
            "MinSizeAllowed": MIN_PART_BYTES,
            "PartNumber": small[0].number,
        }
        raise ServiceError("EntityTooSmall", message, 400, details)
    return chosen


def _match(part: Part | None, listed: ListedPart) -> Part:
    if part is None or part.etag != listed.etag or not _agree(part.checksums, listed.checksums):
        message = (
            "One or more of the specified parts could not be found. The part may not have been uploaded, or"
            " the specified entity tag may not match the part's entity tag."
        )
        raise ServiceError("InvalidPart", message, 400, {"PartNumber": listed.number})
    return part


def _agree(stored: Mapping[str, str], listed: Mapping[str, str]) -> bool:
    return all(stored.get(name) == value for name, value in listed.items())


def _etag(parts: Sequence[Part]) -> str:
    joined = b"".join(bytes.fromhex(part.etag) for part in parts)
    return f"{hashlib.md5(joined, usedforsecurity=False).hexdigest()}-{len(parts)}"


def _composite(upload: Upload, parts: Sequence[Part]) -> dict[str, str]:
    """The checksum of the parts' checksums; empty where that of the whole object is wanted."""
    name = upload.algorithm
    if not name or upload.checksum_type == "FULL_OBJECT" or not all(name in part.checksums for part in parts):
        return {}
    running = digests.start(name)
    for part in parts:
        running.update(digests.decode(part.checksums[name], name))
    return {name: f"{digests.encode(running.digest())}-{len(parts)}"}


def _require_upload(connection: Connection, upload: Upload) -> None:
    if not connection.execute("SELECT 1 FROM uploads WHERE id = ?", (upload.id,)).fetchone():
        raise no_such_upload(upload.id)


def _forget(connection: Connection, upload: Upload) -> list[str]:
    _require_upload(connection, upload)
    files = _files(connection, "upload = ?", (upload.id,))
    connection.execute("DELETE FROM parts WHERE upload = ?", (upload.id,))
    connection.execute("DELETE FROM uploads WHERE id = ?", (upload.id,))
    return files


def _files(connection: Connection, condition: str, parameters: tuple[Any, ...]) -> list[str]:
    sql = f"SELECT file FROM parts WHERE {condition}"  # noqa: S608 - fixed texts
    return [file for (file,) in connection.execute(sql, parameters)]


def no_such_upload(upload: str) -> ServiceError:
    message = (
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been"
        " aborted or completed."
    )
    return ServiceError("NoSuchUpload", message, 404, {"UploadId": upload})
