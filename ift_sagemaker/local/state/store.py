"""The state of the local AWS in one SQLite file: documents by kind and name, and log events.

Many processes and threads work on it at once: write-ahead log, a busy timeout, and `BEGIN IMMEDIATE` for
every write, so a read-modify-write never meets a lock it cannot take.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import stat
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ift_sagemaker.local.state.log_records import LOG_SCHEMA, LogRecords
from ift_sagemaker.local.state.paging import Selection

BUSY_TIMEOUT_IN_SECONDS = 60.0
SCHEMA_VERSION = 2
_PAGE = 200
_IDLE_CONNECTIONS = 16

_SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    kind TEXT NOT NULL, name TEXT NOT NULL, created REAL NOT NULL, modified REAL NOT NULL,
    status TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (kind, name));
CREATE INDEX IF NOT EXISTS documents_by_time ON documents (kind, created, name, status, modified);
CREATE INDEX IF NOT EXISTS documents_by_status ON documents (kind, status, name, created, modified);
CREATE INDEX IF NOT EXISTS documents_by_name ON documents (kind, name, status, created, modified);
"""


@dataclass(frozen=True)
class Row:
    """A document as it lies in the store. `value` is what it was sorted by."""

    value: Any
    name: str
    body: str

    @property
    def position(self) -> tuple[Any, str]:
        return self.value, self.name

    def document(self) -> dict[str, Any]:
        """The document, parsed now."""
        return _load(self.body)


# inside Store, `list` is its method
Selected = list[Row]
Rows = list[tuple[Any, ...]]


class Store(LogRecords):
    """Documents and logs under `root`/state.sqlite, made when absent."""

    def __init__(self, root: Path, clock: Callable[[], float] | None = None) -> None:
        self.root = Path(root)
        self.clock = clock or time.time
        _make_private(self.root)
        self._pool = _Pool(self.root / "state.sqlite")
        weakref.finalize(self, self._pool.close)
        self.ensure_schema(_SCHEMA + LOG_SCHEMA)

    def close(self) -> None:
        """Closes the idle connections; the store opens new ones when it is used again."""
        self._pool.close()

    def ensure_schema(self, script: str) -> None:
        """Runs `script` (only `CREATE … IF NOT EXISTS`) once, alone among all processes."""
        with (
            locked(self.root / "schema.lock", fcntl.LOCK_EX),
            self._pool.connection() as connection,
        ):
            connection.execute("PRAGMA journal_mode=WAL")
            _check_version(connection, self.root)
            connection.executescript(f"BEGIN IMMEDIATE;{script}COMMIT;")

    @contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """A connection inside one immediate transaction: committed at the end, rolled back on an error.

        One that is not `durable` may be lost with the power, alone or with those after it, and costs no sync.
        """
        with self._pool.turn(), self._pool.connection() as connection:
            # FULL: an object's old file is removed after the commit, so the commit must be on disk by then
            connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                if connection.in_transaction:  # a full disk has SQLite roll back by itself
                    connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> Rows:
        """All rows of one query, read outside any transaction."""
        with self._pool.connection() as connection:
            return connection.execute(sql, parameters).fetchall()

    def insert(self, kind: str, name: str, document: Mapping[str, Any]) -> None:
        """Adds a document; raises KeyError where the name is taken."""
        row = (kind, name, *self._row(kind, document))
        try:
            with self.transaction() as connection:
                connection.execute("INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?)", row)
        except sqlite3.IntegrityError:
            raise KeyError(f"{kind} {name} exists") from None

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        """The document, or None."""
        rows = self.rows("SELECT body FROM documents WHERE kind = ? AND name = ?", (kind, name))
        return _load(rows[0][0]) if rows else None

    def update(
        self, kind: str, name: str, change: Callable[[dict[str, Any]], dict[str, Any]]
    ) -> dict[str, Any]:
        """The document after `change`, in one immediate transaction; an error leaves it as it was.

        Raises:
            KeyError: there is no such document.
        """
        with self.transaction() as connection:
            found = connection.execute(
                "SELECT body FROM documents WHERE kind = ? AND name = ?", (kind, name)
            ).fetchone()
            if found is None:
                raise KeyError(f"no {kind} {name}")
            document = change(_load(found[0]))
            connection.execute(
                "UPDATE documents SET created = ?, modified = ?, status = ?, body = ?"
                " WHERE kind = ? AND name = ?",
                (*self._row(kind, document), kind, name),
            )
        return document

    def delete(self, kind: str, name: str) -> bool:
        """Whether there was such a document; it is gone now."""
        with self.transaction() as connection:
            gone = connection.execute("DELETE FROM documents WHERE kind = ? AND name = ?", (kind, name))
            return gone.rowcount > 0

    def forget(self, kind: str, created_before: float) -> int:
        """How many documents of a kind were older, in epoch seconds; they are gone now."""
        with self.transaction(durable=False) as connection:
            sql = "DELETE FROM documents WHERE kind = ? AND created < ?"
            return connection.execute(sql, (kind, created_before)).rowcount

    def list(self, kind: str) -> Iterator[dict[str, Any]]:
        """Documents of a kind, newest `CreationTime` first, read in pages."""
        sql = (
            "SELECT created, name, body FROM documents WHERE kind = ? AND (created, name) < (?, ?)"
            " ORDER BY created DESC, name DESC LIMIT ?"
        )
        last: tuple[float, str] = (float("inf"), "")
        while page := self.rows(sql, (kind, *last, _PAGE)):
            yield from (_load(body) for _, _, body in page)
            last = page[-1][:2]

    def select(self, kind: str, wanted: Selection) -> Selected:
        """The documents that fit, in order, and one beyond `wanted.limit` if there is one; none is parsed."""
        conditions, parameters = ["kind = ?"], [kind]
        for condition, value in _conditions(wanted):
            if value is not None:
                conditions.append(condition)
                parameters.append(value)
        sign, order = ("<", "DESC") if wanted.descending else (">", "ASC")
        if wanted.after is not None:
            conditions.append(f"({wanted.field}, name) {sign} (?, ?)")
            parameters.extend(wanted.after)
        sql = (
            f"SELECT {wanted.field}, name, body FROM documents WHERE {' AND '.join(conditions)}"  # noqa: S608 - fixed texts
            f" ORDER BY {wanted.field} {order}, name {order} LIMIT ?"
        )
        return [Row(*row) for row in self.rows(sql, (*parameters, wanted.limit + 1))]

    def _row(self, kind: str, document: Mapping[str, Any]) -> tuple[Any, ...]:
        """created, modified, status, body: what a listing filters and sorts by stands in columns."""
        created = float(document.get("CreationTime", self.clock()))
        status = document.get(status_field(kind), "")
        return created, float(document.get("LastModifiedTime", 0)), status, _dump(document)


class _Pool:
    """Idle connections of this process, last used first. A thread borrows one and gives it back."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: list[sqlite3.Connection] = []
        self._process = os.getpid()
        self._inherited: list[sqlite3.Connection] = []
        self._turn = threading.Lock()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """One thread of this process at a time: SQLite itself has waiters sleep, up to 100 ms at once."""
        self._notice_fork()
        with self._turn:
            yield

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        connection = self._borrow()
        try:
            yield connection
        finally:
            self._give_back(connection)

    def _notice_fork(self) -> None:
        if self._process != os.getpid():
            # SQLite forbids using a connection in a forked child; it stays referenced, unused
            self._inherited, self._idle, self._process = self._idle, [], os.getpid()
            self._turn = threading.Lock()

    def _borrow(self) -> sqlite3.Connection:
        self._notice_fork()
        try:
            return self._idle.pop()
        except IndexError:
            return _connect(self._path)

    def _give_back(self, connection: sqlite3.Connection) -> None:
        if len(self._idle) < _IDLE_CONNECTIONS and not connection.in_transaction:
            self._idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        if self._process == os.getpid():
            while self._idle:
                self._idle.pop().close()


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(
        path, timeout=BUSY_TIMEOUT_IN_SECONDS, isolation_level=None, check_same_thread=False
    )


def _make_private(root: Path) -> None:
    """Makes the root and its state, closed to other users also where they are there already."""
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    state = root / "state.sqlite"
    with suppress(FileExistsError):
        # SQLite gives its other files the modes of this one; an existing one must not be opened beside SQLite
        os.close(os.open(state, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    for path, mode in ((root, 0o700), (state, 0o600)):
        there = path.stat()
        # a sticky folder such as /tmp is everybody's
        if there.st_mode & 0o077 and there.st_uid == os.geteuid() and not there.st_mode & stat.S_ISVTX:
            path.chmod(mode)


@contextmanager
def locked(path: Path, kind: int) -> Iterator[bool]:
    """Whether the `flock` of `kind` on `path` is held inside; False only where `kind` has LOCK_NB."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, kind)
            held = True
        except BlockingIOError:
            held = False
        yield held
    finally:
        os.close(descriptor)


def _check_version(connection: sqlite3.Connection, root: Path) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == 0:
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
    elif version != SCHEMA_VERSION:
        from ift_sagemaker.errors import ConfigError

        raise ConfigError(
            f"{root} holds the state of another version (schema {version}, wanted {SCHEMA_VERSION}):"
            " remove it with `ift local reset`, or set IFT_LOCAL_ROOT to another folder",
            field="IFT_LOCAL_ROOT",
            value=str(root),
        )


def status_field(kind: str) -> str:
    """Where SageMaker's documents of a kind tell their status: `TrainingJobStatus` of a "training-job"."""
    return "".join(word.capitalize() for word in kind.split("-")) + "Status"


def _conditions(wanted: Selection) -> Iterator[tuple[str, Any]]:
    """Conditions with one parameter each; those of None are not asked for."""
    yield "instr(lower(name), ?)", wanted.name_contains or None
    yield "status = ?", wanted.status
    for column, (first, last) in (("created", wanted.created), ("modified", wanted.modified)):
        yield f"{column} >= ?", first
        yield f"{column} <= ?", last


def _dump(document: Mapping[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def _load(body: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(body)
    return document
