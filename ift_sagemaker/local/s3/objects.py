"""Buckets and objects: bytes as plain files, one per object version, and metadata in the Store's database.

A file is written under a temporary name, fsync'ed, renamed, and only then named by a row; it is never written
again (mode 0444), so a hard link to it stays what it was when the object is replaced or deleted. What a crash
leaves without a row is swept by the first start of an hour.
"""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from sqlite3 import Connection
from typing import BinaryIO, TypeVar, cast

from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.protocol.request import Source
from ift_sagemaker.local.s3 import digests
from ift_sagemaker.local.s3.files import ObjectFiles, Staged, Verify, link_or_copy, new_file
from ift_sagemaker.local.state.store import Store

DEFAULT_CONTENT_TYPE = "binary/octet-stream"
MAX_KEY_BYTES = 1024
SWEEP_INTERVAL_IN_SECONDS = 3600.0
_PAGE = 500
_RETRIES = 20

T = TypeVar("T")
Files = list[str]  # inside ObjectStore, `list` is its method
Row = tuple[str, bytes, str, int, str, float, str, str]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS buckets (name TEXT PRIMARY KEY, created REAL NOT NULL, location TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS objects (
    bucket TEXT NOT NULL, key BLOB NOT NULL, file TEXT NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL,
    modified REAL NOT NULL, attributes TEXT NOT NULL, checksums TEXT NOT NULL,
    PRIMARY KEY (bucket, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS uploads (
    id TEXT PRIMARY KEY, bucket TEXT NOT NULL, key BLOB NOT NULL, started REAL NOT NULL,
    attributes TEXT NOT NULL, algorithm TEXT NOT NULL, checksum_type TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS parts (
    upload TEXT NOT NULL, number INTEGER NOT NULL, file TEXT NOT NULL, size INTEGER NOT NULL,
    etag TEXT NOT NULL, modified REAL NOT NULL, checksums TEXT NOT NULL, PRIMARY KEY (upload, number));
"""
_COLUMNS = "bucket, key, file, size, etag, modified, attributes, checksums"


@dataclass(frozen=True)
class Attributes:
    """What a caller says about an object: `headers` are stored HTTP headers such as Cache-Control."""

    content_type: str = DEFAULT_CONTENT_TYPE
    metadata: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def dump(self) -> str:
        return json.dumps([self.content_type, dict(self.metadata), dict(self.headers)])

    @classmethod
    def load(cls, text: str) -> Attributes:
        content_type, metadata, headers = json.loads(text)
        return cls(content_type, metadata, headers)


@dataclass(frozen=True)
class StoredObject:
    """One object. `path` is its file: read it or link it, never write it. `last_modified` in epoch seconds.

    `checksums` maps an algorithm (`crc32`) to the Base64 text that S3 answers, `…-N` for a composite one.
    """

    bucket: str
    key: str
    path: Path
    size: int
    etag: str
    last_modified: float
    attributes: Attributes
    checksums: Mapping[str, str]

    @property
    def content_type(self) -> str:
        return self.attributes.content_type

    @property
    def metadata(self) -> Mapping[str, str]:
        return self.attributes.metadata


@dataclass(frozen=True)
class Bucket:
    """One bucket; `created` in epoch seconds, `location` its region."""

    name: str
    created: float
    location: str


@dataclass(frozen=True)
class Precondition:
    """What must hold of the object that is there when a write commits; ETags without quotes."""

    if_absent: bool = False
    if_match: str | None = None

    def check(self, etag: str | None) -> None:
        """Raises the ServiceError that S3 sends where the condition does not hold; `etag` None: no object."""
        if self.if_match is not None and etag is None:
            raise no_such_key("")
        if self.if_absent and etag is not None:
            raise precondition_failed("If-None-Match")
        if self.if_match not in (None, "*", etag):
            raise precondition_failed("If-Match")


NOTHING_TO_CHECK = Precondition()


@dataclass(frozen=True)
class NewObject:
    """An object about to be named: the staged file and all that its row says."""

    staged: Staged
    bucket: str
    key: str
    attributes: Attributes
    etag: str
    checksums: Mapping[str, str]

    def row(self, modified: float) -> Row:
        staged, checksums = self.staged, json.dumps(dict(self.checksums))
        where = (self.bucket, self.key.encode(), staged.file, staged.size)
        return (*where, self.etag, modified, self.attributes.dump(), checksums)


class ObjectStore:
    """Buckets and objects under `store.root`/s3. Safe for many processes and threads."""

    def __init__(self, store: Store, open_new: Callable[[Path], BinaryIO] = new_file) -> None:
        self.store = store
        self.files = ObjectFiles(store.root / "s3", open_new)
        store.ensure_schema(_SCHEMA)
        if self._sweep_is_due():
            self.sweep()

    def _sweep_is_due(self) -> bool:
        since = self.store.clock() - self.files.swept()
        return not 0 <= since < SWEEP_INTERVAL_IN_SECONDS

    def sweep(self) -> int:
        """How many files were removed that a crash left without a row."""
        self.files.note_sweep(self.store.clock())
        return self.files.sweep(self._files_in_use)

    def _files_in_use(self) -> set[str]:
        return {
            file for (file,) in self.store.rows("SELECT file FROM objects UNION ALL SELECT file FROM parts")
        }

    # buckets

    def create_bucket(self, name: str, location: str = "us-east-1") -> bool:
        """Whether the bucket is new."""
        with self.store.transaction() as connection:
            row = (name, self.store.clock(), location)
            return connection.execute("INSERT OR IGNORE INTO buckets VALUES (?, ?, ?)", row).rowcount > 0

    def buckets(self) -> list[Bucket]:
        """All buckets by name."""
        return [
            Bucket(*row) for row in self.store.rows("SELECT name, created, location FROM buckets ORDER BY 1")
        ]

    def bucket(self, name: str) -> Bucket:
        """The bucket; a ServiceError NoSuchBucket where there is none."""
        rows = self.store.rows("SELECT name, created, location FROM buckets WHERE name = ?", (name,))
        if not rows:
            raise no_such_bucket(name)
        return Bucket(*rows[0])

    def has_bucket(self, name: str) -> bool:
        return bool(self.store.rows("SELECT 1 FROM buckets WHERE name = ?", (name,)))

    def delete_bucket(self, name: str) -> None:
        """Removes an empty bucket and the unfinished uploads in it; a ServiceError where it is not empty."""
        with self.store.transaction() as connection:
            require_bucket(connection, name)
            if connection.execute("SELECT 1 FROM objects WHERE bucket = ? LIMIT 1", (name,)).fetchone():
                raise ServiceError("BucketNotEmpty", "The bucket you tried to delete is not empty", 409)
            of_bucket = "upload IN (SELECT id FROM uploads WHERE bucket = ?)"
            parts = connection.execute(f"SELECT file FROM parts WHERE {of_bucket}", (name,)).fetchall()  # noqa: S608 - fixed text
            connection.execute(f"DELETE FROM parts WHERE {of_bucket}", (name,))  # noqa: S608 - fixed text
            connection.execute("DELETE FROM uploads WHERE bucket = ?", (name,))
            connection.execute("DELETE FROM buckets WHERE name = ?", (name,))
        self.files.discard(file for (file,) in parts)

    # objects

    def put(  # noqa: PLR0913 - what S3's PutObject takes, all by name
        self,
        bucket: str,
        key: str,
        stream: Source | bytes,
        *,
        content_type: str = DEFAULT_CONTENT_TYPE,
        metadata: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        algorithms: Iterable[str] = ("crc32",),
        verify: Verify | None = None,
        condition: Precondition = NOTHING_TO_CHECK,
    ) -> StoredObject:
        """The object made of `stream`, which replaces the one of that key in one step.

        `algorithms` are the checksums kept with it; `verify` gets every digest and may refuse by raising.

        Raises:
            ServiceError: no such bucket, a bad key, a failed check, or a full disk; then nothing is stored.
        """
        self.require(bucket, key)
        algorithms = tuple(algorithms)
        source = io.BytesIO(stream) if isinstance(stream, bytes) else stream
        with self.files.writing():
            staged = self.files.stage(source, algorithms, verify)
            checksums = {name: digests.encode(staged.digests[name]) for name in algorithms}
            attributes = Attributes(content_type, metadata or {}, headers or {})
            return self.commit(NewObject(staged, bucket, key, attributes, staged.md5, checksums), condition)

    def put_file(
        self, bucket: str, key: str, path: Path, *, content_type: str = DEFAULT_CONTENT_TYPE
    ) -> StoredObject:
        """The object made of the file at `path`, by a hard link where the disk allows it, else by a copy.

        A linked file becomes the store's: it turns read-only and must not be written any more.
        """
        self.require(bucket, key)
        with self.files.writing():
            staged = self.files.adopt(path)
            checksums = {"crc32": digests.encode(staged.digests["crc32"])}
            attributes = Attributes(content_type)
            return self.commit(NewObject(staged, bucket, key, attributes, staged.md5, checksums))

    def get(self, bucket: str, key: str) -> StoredObject | None:
        """The object, or None."""
        sql = f"SELECT {_COLUMNS} FROM objects WHERE bucket = ? AND key = ?"  # noqa: S608 - fixed text
        rows = self.store.rows(sql, (bucket, key.encode()))
        return self._object(cast("Row", rows[0])) if rows else None

    def open(self, bucket: str, key: str) -> tuple[StoredObject, BinaryIO]:
        """The object and its bytes, open; both of one version, whatever is written meanwhile.

        Raises:
            ServiceError: there is no such bucket or object.
        """
        return self.use(bucket, key, lambda path: path.open("rb", buffering=0))

    def link(self, bucket: str, key: str, destination: Path) -> StoredObject:
        """The object, hard-linked at `destination` (copied where a link cannot be made).

        Raises:
            ServiceError: there is no such bucket or object.
            FileExistsError: `destination` is there already.
        """
        found, _ = self.use(bucket, key, lambda path: link_or_copy(path, destination))
        return found

    def use(self, bucket: str, key: str, action: Callable[[Path], T]) -> tuple[StoredObject, T]:
        """The object, and what `action` made of its file; again where it was replaced just then.

        Raises:
            ServiceError: there is no such bucket or object.
        """
        for _ in range(_RETRIES):
            found = self.get(bucket, key)
            if found is None:
                self.bucket(bucket)
                raise no_such_key(key)
            try:
                return found, action(found.path)
            except FileNotFoundError:
                if found.path.exists():
                    raise
                # replaced between the look-up and the use: look again
        raise ServiceError("InternalError", f"The file of {bucket}/{key} is missing from the disk", 500)

    def list(
        self, bucket: str, prefix: str = "", after: str = "", limit: int | None = None
    ) -> Iterator[StoredObject]:
        """Objects in the order of their keys' UTF-8 bytes, those after the key `after`."""
        start = after.encode() + b"\0" if after else b""
        left = limit
        while left is None or left > 0:
            size = _PAGE if left is None else min(left, _PAGE)
            page = self.scan(bucket, prefix, start, size)
            yield from page
            if len(page) < size:
                return
            start = page[-1].key.encode() + b"\0"
            left = None if left is None else left - size

    def scan(self, bucket: str, prefix: str, start: bytes, limit: int) -> Sequence[StoredObject]:
        """Up to `limit` objects with keys from `start` (UTF-8, included) on that begin with `prefix`."""
        first = prefix.encode()
        bound, parameters = "", [bucket, max(first, start)]
        if first:
            bound = " AND key < ?"
            parameters.append(successor(first))
        sql = f"SELECT {_COLUMNS} FROM objects WHERE bucket = ? AND key >= ?{bound} ORDER BY key LIMIT ?"  # noqa: S608 - fixed texts
        found = self.store.rows(sql, (*parameters, limit))
        return [self._object(cast("Row", row)) for row in found]

    def delete(self, bucket: str, key: str) -> None:
        """Removes the object; without one of that key nothing happens."""
        with self.store.transaction() as connection:
            require_bucket(connection, bucket)
            gone = connection.execute(
                "DELETE FROM objects WHERE bucket = ? AND key = ? RETURNING file", (bucket, key.encode())
            ).fetchall()
        self.files.discard(file for (file,) in gone)

    def require(self, bucket: str, key: str) -> None:
        """Raises a ServiceError where the bucket is absent or the key cannot be one."""
        self.bucket(bucket)
        if not key:
            raise ServiceError("InvalidArgument", "The object key is empty", 400)
        if len(key.encode()) > MAX_KEY_BYTES:
            raise ServiceError("KeyTooLongError", "Your key is too long", 400)

    def commit(
        self,
        new: NewObject,
        condition: Precondition = NOTHING_TO_CHECK,
        also: Callable[[Connection], Files] | None = None,
    ) -> StoredObject:
        """The object whose row now names the staged file; on an error that file is removed.

        `also` runs in the same transaction; the files it returns are removed afterwards.
        """
        row = new.row(self.store.clock())
        try:
            with self.store.transaction() as connection:
                unnamed = _replace(connection, row, condition)
                unnamed += also(connection) if also else []
        except BaseException:
            self.forsake(new.staged.file)
            raise
        self.files.discard(unnamed)
        return self._object(row)

    def forsake(self, file: str) -> None:
        """Removes a file whose naming failed; it stays where a row names it (the interrupt came late)."""
        sql = "SELECT 1 FROM objects WHERE file = ?1 UNION ALL SELECT 1 FROM parts WHERE file = ?1"
        with suppress(sqlite3.Error):  # what cannot be told is left to the sweep
            if not self.store.rows(sql, (file,)):
                self.files.discard([file])

    def _object(self, row: Row) -> StoredObject:
        bucket, key, file, size, etag, modified, attributes, checksums = row
        return StoredObject(
            bucket,
            key.decode(),
            self.files.path(file),
            size,
            etag,
            modified,
            Attributes.load(attributes),
            json.loads(checksums),
        )


def _replace(connection: Connection, row: Row, condition: Precondition) -> list[str]:
    bucket, key = row[0], row[1]
    require_bucket(connection, bucket)
    found = connection.execute(
        "SELECT file, etag FROM objects WHERE bucket = ? AND key = ?", (bucket, key)
    ).fetchone()
    condition.check(found[1] if found else None)
    connection.execute("INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
    return [found[0]] if found else []


def require_bucket(connection: Connection, bucket: str) -> None:
    """Raises NoSuchBucket, inside a transaction."""
    if not connection.execute("SELECT 1 FROM buckets WHERE name = ?", (bucket,)).fetchone():
        raise no_such_bucket(bucket)


def successor(prefix: bytes) -> bytes:
    """The first byte string after all those that begin with `prefix`, which is UTF-8 and not empty."""
    return prefix[:-1] + bytes([prefix[-1] + 1])


def no_such_bucket(name: str) -> ServiceError:
    return ServiceError("NoSuchBucket", "The specified bucket does not exist", 404, {"BucketName": name})


def no_such_key(key: str) -> ServiceError:
    return ServiceError("NoSuchKey", "The specified key does not exist.", 404, {"Key": key})


def precondition_failed(condition: str) -> ServiceError:
    """S3's refusal; `condition` is the header that did not hold."""
    message = "At least one of the pre-conditions you specified did not hold"
    return ServiceError("PreconditionFailed", message, 412, {"Condition": condition})
