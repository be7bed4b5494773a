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
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BUSY_TIMEOUT_IN_SECONDS = 60.0
SCHEMA_VERSION = 1
LAST_ID = (1 << 63) - 1
_PAGE = 200
_IDLE_CONNECTIONS = 16

_SCHEMA = """
CREATE TABLE IF NOT EXISTS documents (
    kind TEXT NOT NULL, name TEXT NOT NULL, created REAL NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (kind, name));
CREATE INDEX IF NOT EXISTS documents_by_time ON documents (kind, created, name);
CREATE TABLE IF NOT EXISTS log_groups (name TEXT PRIMARY KEY, created REAL NOT NULL);
CREATE TABLE IF NOT EXISTS log_streams (
    grp TEXT NOT NULL, name TEXT NOT NULL, created REAL NOT NULL,
    first INTEGER, last INTEGER, ingested REAL, PRIMARY KEY (grp, name));
CREATE TABLE IF NOT EXISTS log_events (
    id INTEGER PRIMARY KEY AUTOINCREMENT, grp TEXT NOT NULL, stream TEXT NOT NULL,
    timestamp INTEGER NOT NULL, message TEXT NOT NULL, ingested REAL NOT NULL);
CREATE INDEX IF NOT EXISTS log_events_by_stream ON log_events (grp, stream, id);
"""


@dataclass(frozen=True)
class LogEvent:
    """One log line. `id` grows with every event of the store; `timestamp` is in ms since the epoch."""

    id: int
    timestamp: int
    message: str
    stream: str
    ingested: float


@dataclass(frozen=True)
class LogQuery:
    """Which events are wanted: ids between `after` and `before`, times in ms from `since` to before `until`.

    `streams` None means all streams of the group; `ingested_until` is in seconds since the epoch.
    """

    group: str
    streams: tuple[str, ...] | None = None
    stream_prefix: str = ""
    after: int = 0
    before: int = LAST_ID
    since: int = 0
    until: int = LAST_ID
    limit: int = 10_000
    newest: bool = False
    ingested_until: float = float("inf")


@dataclass(frozen=True)
class LogStream:
    """One log stream. `first` and `last` are the extreme timestamps of its events, ms since the epoch."""

    name: str
    created: float
    first: int | None
    last: int | None
    ingested: float | None


# inside Store, `list` is its method
LogEvents = list[LogEvent]
LogStreams = list[LogStream]
Groups = list[tuple[str, float]]
Rows = list[tuple[Any, ...]]
Parameters = list[Any]


class Store:
    """Documents and logs under `root`/state.sqlite, made when absent."""

    def __init__(self, root: Path, clock: Callable[[], float] | None = None) -> None:
        self.root = Path(root)
        self.clock = clock or time.time
        _make_private(self.root)
        self._pool = _Pool(self.root / "state.sqlite")
        weakref.finalize(self, self._pool.close)
        self.ensure_schema(_SCHEMA)

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
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A connection inside one immediate transaction: committed at the end, rolled back on an error."""
        with self._pool.connection() as connection:
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
        row = (kind, name, _created(document, self.clock()), _dump(document))
        try:
            with self.transaction() as connection:
                connection.execute("INSERT INTO documents VALUES (?, ?, ?, ?)", row)
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
                "UPDATE documents SET created = ?, body = ? WHERE kind = ? AND name = ?",
                (_created(document, self.clock()), _dump(document), kind, name),
            )
        return document

    def delete(self, kind: str, name: str) -> bool:
        """Whether there was such a document; it is gone now."""
        with self.transaction() as connection:
            gone = connection.execute("DELETE FROM documents WHERE kind = ? AND name = ?", (kind, name))
            return gone.rowcount > 0

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

    def append_log_events(self, group: str, stream: str, events: Sequence[tuple[int, str]]) -> None:
        """Adds `(timestamp in ms since the epoch, message)` events; group and stream are made when absent."""
        if not events:
            return
        now = self.clock()
        times = [timestamp for timestamp, _ in events]
        with self.transaction() as connection:
            _make_stream(connection, group, stream, now)
            connection.executemany(
                "INSERT INTO log_events (grp, stream, timestamp, message, ingested) VALUES (?, ?, ?, ?, ?)",
                [(group, stream, timestamp, message, now) for timestamp, message in events],
            )
            connection.execute(
                "UPDATE log_streams SET first = min(ifnull(first, ?1), ?1), last = max(ifnull(last, ?2), ?2),"
                " ingested = ?3 WHERE grp = ?4 AND name = ?5",
                (min(times), max(times), now, group, stream),
            )

    def log_events(self, group: str, stream: str, after: int = 0, limit: int = 10_000) -> LogEvents:
        """Events of a stream with an id above `after`, in the order they came in."""
        return self.find_log_events(LogQuery(group, (stream,), after=after, limit=limit))

    def find_log_events(self, query: LogQuery) -> LogEvents:
        """The events that fit, in the order they came in; with `newest` the last `limit` of them."""
        conditions = ["grp = ?", "id > ?", "id < ?", "timestamp >= ?", "timestamp < ?"]
        parameters: Parameters = [query.group, query.after, query.before, query.since, query.until]
        if query.streams is not None:
            conditions.append(f"stream IN ({', '.join('?' * len(query.streams))})")
            parameters.extend(query.streams)
        if query.stream_prefix:
            conditions.append("substr(stream, 1, ?) = ?")
            parameters.extend([len(query.stream_prefix), query.stream_prefix])
        if query.ingested_until < float("inf"):
            conditions.append("ingested <= ?")
            parameters.append(query.ingested_until)
        order = "DESC" if query.newest else "ASC"
        where = f"{' AND '.join(conditions)} ORDER BY id {order} LIMIT ?"
        sql = f"SELECT id, timestamp, message, stream, ingested FROM log_events WHERE {where}"  # noqa: S608 - fixed texts
        found = [LogEvent(*row) for row in self.rows(sql, (*parameters, query.limit))]
        return found[::-1] if query.newest else found

    def log_streams(self, group: str, prefix: str = "") -> LogStreams:
        """The streams of a group whose name begins with `prefix`, by name."""
        sql = (
            "SELECT name, created, first, last, ingested FROM log_streams"
            " WHERE grp = ? AND substr(name, 1, ?) = ? ORDER BY name"
        )
        return [LogStream(*row) for row in self.rows(sql, (group, len(prefix), prefix))]

    def log_groups(self, prefix: str = "") -> Groups:
        """`(name, creation time)` of the groups whose name begins with `prefix`, by name."""
        sql = "SELECT name, created FROM log_groups WHERE substr(name, 1, ?) = ? ORDER BY name"
        return [(name, created) for name, created in self.rows(sql, (len(prefix), prefix))]

    def create_log_group(self, group: str) -> bool:
        """Whether the group is new."""
        with self.transaction() as connection:
            return _make_group(connection, group, self.clock())

    def create_log_stream(self, group: str, stream: str) -> bool:
        """Whether the stream is new; raises KeyError where its group does not exist."""
        with self.transaction() as connection:
            if not connection.execute("SELECT 1 FROM log_groups WHERE name = ?", (group,)).fetchone():
                raise KeyError(f"no log group {group}")
            return _make_stream(connection, group, stream, self.clock())


class _Pool:
    """Idle connections of this process, last used first. A thread borrows one and gives it back."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: list[sqlite3.Connection] = []
        self._process = os.getpid()
        self._inherited: list[sqlite3.Connection] = []

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        connection = self._borrow()
        try:
            yield connection
        finally:
            self._give_back(connection)

    def _borrow(self) -> sqlite3.Connection:
        if self._process != os.getpid():
            # SQLite forbids using a connection in a forked child; it stays referenced, unused
            self._inherited, self._idle, self._process = self._idle, [], os.getpid()
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
    connection = sqlite3.connect(
        path, timeout=BUSY_TIMEOUT_IN_SECONDS, isolation_level=None, check_same_thread=False
    )
    # FULL: an object's old file is removed after the commit, so the commit must be on disk by then
    connection.execute("PRAGMA synchronous=FULL")
    return connection


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
            f"{root} holds the state of another version (schema {version}, wanted {SCHEMA_VERSION});"
            " name another folder or remove it",
            field="IFT_LOCAL_ROOT",
            value=str(root),
        )


def _make_group(connection: sqlite3.Connection, group: str, now: float) -> bool:
    made = connection.execute("INSERT OR IGNORE INTO log_groups VALUES (?, ?)", (group, now))
    return made.rowcount > 0


def _make_stream(connection: sqlite3.Connection, group: str, stream: str, now: float) -> bool:
    _make_group(connection, group, now)
    made = connection.execute(
        "INSERT OR IGNORE INTO log_streams (grp, name, created) VALUES (?, ?, ?)", (group, stream, now)
    )
    return made.rowcount > 0


def _created(document: Mapping[str, Any], now: float) -> float:
    return float(document.get("CreationTime", now))


def _dump(document: Mapping[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def _load(body: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(body)
    return document
