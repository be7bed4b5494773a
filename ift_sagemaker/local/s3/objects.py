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
from dataclasses import replace
from pathlib import Path
from sqlite3 import Connection
from typing import BinaryIO, TypeVar, cast

from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.protocol.request import Source
from ift_sagemaker.local.s3 import digests
from ift_sagemaker.local.s3.files import ObjectFiles, Verify, link_or_copy, new_file
from ift_sagemaker.local.s3.layouts import ObjectPart, load_layout
from ift_sagemaker.local.s3.records import (
    DEFAULT_CONTENT_TYPE,
    NOTHING_TO_CHECK,
    Attributes,
    Bucket,
    NewObject,
    Precondition,
    Row,
    StoredObject,
    no_such_bucket,
    no_such_key,
)
from ift_sagemaker.local.state.store import Store

__all__ = ("ObjectStore", "StoredObject", "require_bucket", "successor")

MAX_KEY_BYTES = 1024
SWEEP_INTERVAL_IN_SECONDS = 3600.0
_PAGE = 500
_RETRIES = 20

T = TypeVar("T")
Files = list[str]  # inside ObjectStore, `list` is its method

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
CREATE TABLE IF NOT EXISTS grids (upload TEXT PRIMARY KEY, file TEXT NOT NULL, part_size INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS slots (
    upload TEXT NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (upload, number)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS layouts (file TEXT PRIMARY KEY, parts TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS lifecycles (bucket TEXT PRIMARY KEY, rules TEXT NOT NULL) WITHOUT ROWID;
"""
_FILES = "SELECT file FROM objects UNION ALL SELECT file FROM parts UNION ALL SELECT file FROM grids"
_COLUMNS = "bucket, key, file, size, etag, modified, attributes, checksums"


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
        return {file for (file,) in self.store.rows(_FILES)}

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
            uploads = connection.execute("SELECT id FROM uploads WHERE bucket = ?", (name,)).fetchall()
            files = [file for (upload,) in uploads for file in drop_upload(connection, upload)]
            connection.execute("DELETE FROM lifecycles WHERE bucket = ?", (name,))
            connection.execute("DELETE FROM buckets WHERE name = ?", (name,))
        self.files.discard(files)

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

    def layout(self, stored: StoredObject) -> Sequence[ObjectPart]:
        """The parts that the object was made of; none for one that was stored at once."""
        rows = self.store.rows("SELECT parts FROM layouts WHERE file = ?", (stored.path.name,))
        return load_layout(rows[0][0]) if rows else []

    def retag(self, bucket: str, key: str, tags: Mapping[str, str]) -> None:
        """Gives the object these tags and no others.

        Raises:
            ServiceError: there is no such bucket or object.
        """
        where = "WHERE bucket = ? AND key = ?"
        with self.store.transaction() as connection:
            require_bucket(connection, bucket)
            sql = f"SELECT attributes FROM objects {where}"  # noqa: S608 - fixed text
            found = connection.execute(sql, (bucket, key.encode())).fetchone()
            if found is None:
                raise no_such_key(key)
            attributes = replace(Attributes.load(found[0]), tags=tags)
            sql = f"UPDATE objects SET attributes = ? {where}"  # noqa: S608 - fixed text
            connection.execute(sql, (attributes.dump(), bucket, key.encode()))

    def delete(self, bucket: str, *keys: str) -> None:
        """Removes the objects, all in one step; without one of a key nothing happens."""
        with self.store.transaction() as connection:
            require_bucket(connection, bucket)
            gone = [file for key in keys for file in _remove(connection, bucket, key.encode())]
        self.files.discard(gone)

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
        sql = f"SELECT 1 FROM ({_FILES}) WHERE file = ?"  # noqa: S608 - fixed text
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
    sql = "SELECT etag FROM objects WHERE bucket = ? AND key = ?"
    found = connection.execute(sql, (bucket, key)).fetchone()
    condition.check(found[0] if found else None)
    replaced = _remove(connection, bucket, key)
    connection.execute("INSERT INTO objects VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
    return replaced


def _remove(connection: Connection, bucket: str, key: bytes) -> list[str]:
    """The file of the object that was removed; nothing where there was none."""
    sql = "DELETE FROM objects WHERE bucket = ? AND key = ? RETURNING file"
    gone = [file for (file,) in connection.execute(sql, (bucket, key)).fetchall()]
    connection.executemany("DELETE FROM layouts WHERE file = ?", [(file,) for file in gone])
    return gone


def drop_upload(connection: Connection, upload: str) -> list[str]:
    """The files of the upload that was forgotten, inside a transaction."""
    sql = "SELECT file FROM parts WHERE upload = ?1 UNION SELECT file FROM grids WHERE upload = ?1"
    files = [file for (file,) in connection.execute(sql, (upload,)).fetchall()]
    for table in ("parts", "slots", "grids"):
        connection.execute(f"DELETE FROM {table} WHERE upload = ?", (upload,))  # noqa: S608 - fixed names
    connection.execute("DELETE FROM uploads WHERE id = ?", (upload,))
    return files


def require_bucket(connection: Connection, bucket: str) -> None:
    """Raises NoSuchBucket, inside a transaction."""
    if not connection.execute("SELECT 1 FROM buckets WHERE name = ?", (bucket,)).fetchone():
        raise no_such_bucket(bucket)


def successor(prefix: bytes) -> bytes:
    """The first byte string after all those that begin with `prefix`, which is UTF-8 and not empty."""
    return prefix[:-1] + bytes([prefix[-1] + 1])
