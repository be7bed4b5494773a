"""Log groups, streams and events in the store's file."""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

LAST_ID = (1 << 63) - 1
_ALL = -1
# sorts after every character a name may have
_END = "\U0010ffff"

LOG_SCHEMA = """
CREATE TABLE IF NOT EXISTS log_groups (name TEXT PRIMARY KEY, created REAL NOT NULL);
CREATE TABLE IF NOT EXISTS log_streams (
    grp TEXT NOT NULL, name TEXT NOT NULL, created REAL NOT NULL,
    first INTEGER, last INTEGER, ingested REAL, PRIMARY KEY (grp, name));
CREATE INDEX IF NOT EXISTS log_streams_by_time ON log_streams (grp, ifnull(last, 0), name);
CREATE TABLE IF NOT EXISTS log_events (
    id INTEGER PRIMARY KEY AUTOINCREMENT, grp TEXT NOT NULL, stream TEXT NOT NULL,
    timestamp INTEGER NOT NULL, message TEXT NOT NULL, ingested REAL NOT NULL);
CREATE INDEX IF NOT EXISTS log_events_by_stream ON log_events (grp, stream, id);
CREATE INDEX IF NOT EXISTS log_events_by_group ON log_events (grp, id);
"""

Groups = list[tuple[str, float]]


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


@dataclass(frozen=True)
class StreamOrder:
    """Streams by name or by the time of their last event, those behind `after` (that time, name) alone."""

    by_time: bool = False
    descending: bool = False
    after: tuple[int, str] | None = None
    limit: int = _ALL


class LogRecords(ABC):
    """What a store does with logs. `clock` gives seconds since the epoch."""

    clock: Callable[[], float]

    @abstractmethod
    def transaction(self) -> AbstractContextManager[sqlite3.Connection]: ...

    @abstractmethod
    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]: ...

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

    def log_events(self, group: str, stream: str, after: int = 0, limit: int = 10_000) -> list[LogEvent]:
        """Events of a stream with an id above `after`, in the order they came in."""
        return self.find_log_events(LogQuery(group, (stream,), after=after, limit=limit))

    def find_log_events(self, query: LogQuery) -> list[LogEvent]:
        """The events that fit, in the order they came in; with `newest` the last `limit` of them."""
        index, conditions = "log_events_by_group", ["grp = ?", "id > ?", "id < ?"]
        conditions += ["timestamp >= ?", "timestamp < ?"]
        parameters: list[Any] = [query.group, query.after, query.before, query.since, query.until]
        if query.streams is not None:
            index = "log_events_by_stream"
            conditions.append(f"stream IN ({', '.join('?' * len(query.streams))})")
            parameters.extend(query.streams)
        if query.stream_prefix:
            index = "log_events_by_stream"
            conditions.append("stream >= ? AND stream < ?")
            parameters.extend([query.stream_prefix, query.stream_prefix + _END])
        if query.ingested_until < float("inf"):
            conditions.append("ingested <= ?")
            parameters.append(query.ingested_until)
        order = "DESC" if query.newest else "ASC"
        where = f"{' AND '.join(conditions)} ORDER BY id {order} LIMIT ?"
        table = f"log_events INDEXED BY {index}"
        sql = f"SELECT id, timestamp, message, stream, ingested FROM {table} WHERE {where}"  # noqa: S608 - fixed texts
        found = [LogEvent(*row) for row in self.rows(sql, (*parameters, query.limit))]
        return found[::-1] if query.newest else found

    def log_streams(self, group: str, prefix: str = "", order: StreamOrder | None = None) -> list[LogStream]:
        """The streams of a group whose name begins with `prefix`, by name where no other order is given."""
        order = order or StreamOrder()
        sign, direction = ("<", "DESC") if order.descending else (">", "ASC")
        conditions = ["grp = ?"]
        parameters: list[Any] = [group]
        if prefix:
            conditions.append("name >= ? AND name < ?")
            parameters.extend([prefix, prefix + _END])
        if order.after is not None:
            conditions.append(f"(ifnull(last, 0), name) {sign} (?, ?)" if order.by_time else f"name {sign} ?")
            parameters.extend(order.after if order.by_time else order.after[1:])
        by = f"ifnull(last, 0) {direction}, name {direction}" if order.by_time else f"name {direction}"
        where = f"{' AND '.join(conditions)} ORDER BY {by} LIMIT ?"
        sql = f"SELECT name, created, first, last, ingested FROM log_streams WHERE {where}"  # noqa: S608 - fixed texts
        return [LogStream(*row) for row in self.rows(sql, (*parameters, order.limit))]

    def log_groups(self, prefix: str = "", after: str = "", limit: int = _ALL) -> Groups:
        """`(name, creation time)` of the groups whose name begins with `prefix`, behind `after`, by name."""
        sql = (
            "SELECT name, created FROM log_groups WHERE name >= ? AND name < ? AND name > ?"
            " ORDER BY name LIMIT ?"
        )
        return [(name, made) for name, made in self.rows(sql, (prefix, prefix + _END, after, limit))]

    def has_log_group(self, group: str) -> bool:
        return bool(self.rows("SELECT 1 FROM log_groups WHERE name = ?", (group,)))

    def has_log_stream(self, group: str, stream: str) -> bool:
        return bool(self.rows("SELECT 1 FROM log_streams WHERE grp = ? AND name = ?", (group, stream)))

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

    def delete_log_group(self, group: str) -> bool:
        """Whether there was such a group; it is gone, with its streams and events."""
        with self.transaction() as connection:
            connection.execute("DELETE FROM log_events WHERE grp = ?", (group,))
            connection.execute("DELETE FROM log_streams WHERE grp = ?", (group,))
            return connection.execute("DELETE FROM log_groups WHERE name = ?", (group,)).rowcount > 0

    def delete_log_stream(self, group: str, stream: str) -> bool:
        """Whether there was such a stream; it is gone, with its events."""
        with self.transaction() as connection:
            connection.execute("DELETE FROM log_events WHERE grp = ? AND stream = ?", (group, stream))
            gone = connection.execute("DELETE FROM log_streams WHERE grp = ? AND name = ?", (group, stream))
            return gone.rowcount > 0


def _make_group(connection: sqlite3.Connection, group: str, now: float) -> bool:
    made = connection.execute("INSERT OR IGNORE INTO log_groups VALUES (?, ?)", (group, now))
    return made.rowcount > 0


def _make_stream(connection: sqlite3.Connection, group: str, stream: str, now: float) -> bool:
    _make_group(connection, group, now)
    made = connection.execute(
        "INSERT OR IGNORE INTO log_streams (grp, name, created) VALUES (?, ?, ?)", (group, stream, now)
    )
    return made.rowcount > 0
