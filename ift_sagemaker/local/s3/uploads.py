"""Multipart uploads: parts that become one object when the upload completes."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from sqlite3 import Connection
from typing import Any

from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.protocol.request import Source
from ift_sagemaker.local.s3 import digests, grid, lifecycle
from ift_sagemaker.local.s3.combining import COMBINABLE, combined
from ift_sagemaker.local.s3.files import Staged, Verify
from ift_sagemaker.local.s3.grid import MIN_PART_BYTES, Part
from ift_sagemaker.local.s3.joining import Joined, compare, no_such_upload
from ift_sagemaker.local.s3.layouts import keep_layout
from ift_sagemaker.local.s3.objects import ObjectStore, drop_upload, require_bucket
from ift_sagemaker.local.s3.records import (
    NOTHING_TO_CHECK,
    Attributes,
    NewObject,
    Precondition,
    StoredObject,
)


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
class ListedPart:
    """A part as CompleteMultipartUpload lists it."""

    number: int
    etag: str
    checksums: Mapping[str, str]


@dataclass(frozen=True)
class Incoming:
    """A part on its way in: `size` in bytes where it is known, `kept` the checksums to keep with it.

    `verify` gets the digests, those of the algorithms `wanted` among them, and may refuse by raising.
    """

    source: Source
    size: int | None = None
    kept: tuple[str, ...] = ()
    wanted: tuple[str, ...] = ()
    verify: Verify | None = None


@dataclass(frozen=True)
class Completion:
    """What must hold for an upload to complete: of the key, and of the object's size and checksums."""

    condition: Precondition = NOTHING_TO_CHECK
    size: int | None = None
    checksums: Mapping[str, str] = field(default_factory=dict)

    def check(self, size: int, checksums: Mapping[str, str]) -> None:
        """Raises the ServiceError that S3 sends where the object is not the promised one."""
        if self.size not in (None, size):
            message = "The provided 'x-amz-mp-object-size' header value does not match what was computed."
            raise ServiceError("InvalidRequest", message, 400)
        for name, value in self.checksums.items():
            if value not in (checksums.get(name), checksums.get(name, "").partition("-")[0]):
                message = f"The {name.upper()} you specified did not match the calculated checksum."
                raise ServiceError("BadDigest", message, 400)


class Uploads:
    """The multipart uploads of an ObjectStore; each part but the last has at least `least` bytes."""

    def __init__(self, objects: ObjectStore, least: int = MIN_PART_BYTES) -> None:
        self._objects = objects
        self._store = objects.store
        self._least = least

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
        found = self._living(self._select(condition, (upload, bucket, key.encode())))
        if not found:
            raise no_such_upload(upload)
        return found[0]

    def list(self, bucket: str, prefix: str) -> Sequence[Upload]:
        """The unfinished uploads of a bucket, by key and time."""
        self._objects.bucket(bucket)
        found = self._living(self._select("bucket = ? ORDER BY key, started, id", (bucket,)))
        return [upload for upload in found if upload.key.startswith(prefix)]

    def _living(self, found: Sequence[Upload]) -> Sequence[Upload]:
        """Those that no rule of their bucket has ended; the others are forgotten now."""
        now = self._store.clock()
        old = [upload for upload in found if now - upload.started >= lifecycle.DAY_IN_SECONDS]
        if not old:
            return found
        rules = lifecycle.rules_of(self._store, old[0].bucket)
        ended = [
            upload for upload in old if any(rule.ends(upload.key, now - upload.started) for rule in rules)
        ]
        for upload in ended:
            with suppress(ServiceError):  # ended by another just now
                self.abort(upload)
        return [upload for upload in found if upload not in ended]

    def _select(self, condition: str, parameters: tuple[Any, ...]) -> Sequence[Upload]:
        columns = "id, bucket, key, started, attributes, algorithm, checksum_type"
        rows = self._store.rows(f"SELECT {columns} FROM uploads WHERE {condition}", parameters)  # noqa: S608 - fixed texts
        return [
            Upload(row[0], row[1], row[2].decode(), row[3], Attributes.load(row[4]), row[5], row[6])
            for row in rows
        ]

    def parts(self, upload: Upload) -> dict[int, Part]:
        """The parts by number, ascending."""
        sql = (
            "SELECT number, parts.file, ifnull((number - 1) * part_size, 0), size, etag, modified, checksums"
            " FROM parts LEFT JOIN grids ON grids.upload = parts.upload AND grids.file = parts.file"
            " WHERE parts.upload = ? ORDER BY number"
        )
        rows = self._store.rows(sql, (upload.id,))
        return {
            number: Part(number, file, offset, size, etag, modified, json.loads(checksums))
            for number, file, offset, size, etag, modified, checksums in rows
        }

    def put_part(self, upload: Upload, number: int, body: Incoming) -> Part:
        """The part, which replaces one of that number.

        Raises:
            ServiceError: the upload is gone, the body is not what was announced, or the disk is full.
        """
        with self._objects.files.writing():
            staged = self._stage(upload, number, body)
            checksums = {name: digests.encode(staged.digests[name]) for name in ("crc32", *body.kept)}
            part = Part(number, staged.file, 0, staged.size, staged.md5, self._store.clock(), checksums)
            try:
                replaced = self._name(upload, part)
            except BaseException:
                self._objects.forsake(staged.file)
                raise
            self._objects.files.discard(replaced)
        return part

    def _stage(self, upload: Upload, number: int, body: Incoming) -> Staged:
        # neither bytes nor row are durable: a completed object is, after a comparison with the parts' CRC32
        files, slot = self._objects.files, None
        wanted = (*body.kept, *body.wanted)
        if body.size is not None:
            with self._store.transaction(durable=False) as connection:
                _require_upload(connection, upload)
                slot = grid.take_slot(connection, upload.id, number, body.size, self._least)
        if slot is None:
            return files.stage(body.source, wanted, body.verify, durable=False)
        return files.fill(slot, body.source, wanted, body.verify)

    def _name(self, upload: Upload, part: Part) -> Sequence[str]:
        """Names the part; the files that nothing names any more."""
        checksums = json.dumps(dict(part.checksums))
        row = (upload.id, part.number, part.file, part.size, part.etag, part.modified, checksums)
        with self._store.transaction(durable=False) as connection:
            _require_upload(connection, upload)
            replaced = _files(connection, "upload = ? AND number = ?", (upload.id, part.number))
            connection.execute("INSERT OR REPLACE INTO parts VALUES (?, ?, ?, ?, ?, ?, ?)", row)
            shared = grid.find(connection, upload.id)
        return [file for file in replaced if shared is None or file != shared.file]

    def abort(self, upload: Upload) -> None:
        """Forgets the upload and its parts."""
        with self._store.transaction() as connection:
            _require_upload(connection, upload)
            files = drop_upload(connection, upload.id)
        self._objects.files.discard(files)

    def complete(self, upload: Upload, listed: Sequence[ListedPart], wanted: Completion) -> StoredObject:
        """The object made of the listed parts; parts left out are dropped.

        Where the parts lie in one file as they follow each other, that file becomes the object: its bytes are
        read once, to be compared with the parts' CRC32, and not written. Otherwise they are copied.

        Raises:
            ServiceError: a part is missing, differs, is out of order or too small, a part's file is damaged,
                or what is `wanted` does not hold. The upload goes on then.
        """
        parts = _chosen(self.parts(upload), listed, self._least)
        checksums = _composite(upload, parts) or _full(upload, parts)
        wanted.check(sum(part.size for part in parts), checksums)
        with self._objects.files.writing():
            with self._store.transaction() as connection:
                shared = grid.find(connection, upload.id)
            if shared is not None and shared.is_whole(parts):
                with suppress(_OthersWriteError):
                    staged = self._settle(upload, shared, parts)
                    return self._commit(upload, staged, parts, checksums, wanted)
            return self._commit(upload, self._join(upload, parts), parts, checksums, wanted)

    def _settle(self, upload: Upload, shared: grid.Grid, parts: Sequence[Part]) -> Staged:
        compare(upload.id, parts, self._objects.files.path)
        self._objects.files.settle(shared.file)
        return Staged(shared.file, sum(part.size for part in parts), {})

    def _join(self, upload: Upload, parts: Sequence[Part]) -> Staged:
        with Joined(upload.id, parts, self._objects.files.path) as joined:
            return self._objects.files.stage(joined, always=())

    def _commit(
        self,
        upload: Upload,
        staged: Staged,
        parts: Sequence[Part],
        checksums: Mapping[str, str],
        wanted: Completion,
    ) -> StoredObject:
        where = (upload.bucket, upload.key, upload.attributes)
        new = NewObject(staged, *where, _etag(parts), checksums)

        def end_upload(connection: Connection) -> list[str]:
            shared = grid.find(connection, upload.id)
            if shared is not None and shared.file == staged.file and not shared.is_whole(parts):
                raise _OthersWriteError
            _require_upload(connection, upload)
            files = drop_upload(connection, upload.id)
            keep_layout(connection, staged.file, parts, upload.algorithm)
            return [file for file in files if file != staged.file]

        return self._objects.commit(new, wanted.condition, end_upload)


class _OthersWriteError(Exception):
    """A slot beyond the listed parts was given away: somebody may still write to the file."""


def _chosen(parts: Mapping[int, Part], listed: Sequence[ListedPart], least: int) -> list[Part]:
    numbers = [part.number for part in listed]
    if not listed or numbers != sorted(set(numbers)):
        message = "The list of parts was not in ascending order. The parts list must be specified in order."
        raise ServiceError("InvalidPartOrder", message, 400)
    chosen = [_match(parts.get(part.number), part) for part in listed]
    small = [part for part in chosen[:-1] if part.size < least]
    if small:
        message = "Your proposed upload is smaller than the minimum allowed size"
        details = {
            "ProposedSize": small[0].size,
            "MinSizeAllowed": least,
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


def _full(upload: Upload, parts: Sequence[Part]) -> dict[str, str]:
    """The checksum of all bytes, out of those of the parts."""
    name = upload.algorithm if upload.algorithm in COMBINABLE else "crc32"
    pieces = [(digests.decode(part.checksums[name], name), part.size) for part in parts]
    return {name: digests.encode(combined(name, pieces))}


def _require_upload(connection: Connection, upload: Upload) -> None:
    if not connection.execute("SELECT 1 FROM uploads WHERE id = ?", (upload.id,)).fetchone():
        raise no_such_upload(upload.id)


def _files(connection: Connection, condition: str, parameters: tuple[Any, ...]) -> list[str]:
    sql = f"SELECT file FROM parts WHERE {condition}"  # noqa: S608 - fixed texts
    return [file for (file,) in connection.execute(sql, parameters)]
