"""Asynchronous requests, accepted and not yet answered: rows on disk, which outlive every process."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any

from ift_sagemaker.local.hosting.document import accepts
from ift_sagemaker.local.state.resources import ENDPOINT, Document
from ift_sagemaker.local.state.store import Store

_SCHEMA = """
CREATE TABLE IF NOT EXISTS async_requests (
    id INTEGER PRIMARY KEY AUTOINCREMENT, endpoint TEXT NOT NULL, attempts INTEGER NOT NULL,
    request TEXT NOT NULL, body BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS async_requests_by_endpoint ON async_requests (endpoint, id);
"""


@dataclass(frozen=True)
class AsyncRequest:
    """One request. `source` is the S3 address of its input, empty where the body came inline.

    `output` and `failure` are where answer or failure go (`failure` may be empty), `accepted` is in epoch
    seconds, `timeout` the seconds that the container has, `lifetime` those that it may wait in the queue.
    """

    inference_id: str
    headers: dict[str, str]
    source: str
    output: str
    failure: str
    accepted: float
    timeout: float
    lifetime: float


@dataclass(frozen=True)
class Accepted:
    """A request in the queue. `attempts` counts the times that the container died over it."""

    id: int
    attempts: int
    request: AsyncRequest
    body: bytes


class AcceptedRequests:
    """The queue of one endpoint; another endpoint that later gets the same name has another queue."""

    def __init__(self, store: Store, endpoint: Document) -> None:
        self._store = store
        self._name: str = endpoint["EndpointName"]
        self._key = f"{self._name} {endpoint['CreationTime']:.6f}"
        store.ensure_schema(_SCHEMA)

    def add(self, request: AsyncRequest, body: bytes) -> bool:
        """Whether the request is in the queue, on disk; False where the endpoint answers no longer."""
        with self._store.transaction() as connection:
            found = connection.execute(
                "SELECT body FROM documents WHERE kind = ? AND name = ?", (ENDPOINT, self._name)
            ).fetchone()
            if found is None or not accepts(json.loads(found[0])):
                return False
            connection.execute(
                "INSERT INTO async_requests (endpoint, attempts, request, body) VALUES (?, 0, ?, ?)",
                (self._key, json.dumps(asdict(request)), body),
            )
        return True

    def waiting(self, limit: int, but: Collection[int] = ()) -> list[Accepted]:
        """The oldest requests, those with the numbers `but` left out."""
        rows = self._store.rows(
            "SELECT id, attempts, request, body FROM async_requests WHERE endpoint = ? ORDER BY id LIMIT ?",
            (self._key, limit + len(but)),
        )
        return [_read(row) for row in rows if row[0] not in but][:limit]

    def tried(self, number: int) -> None:
        """Counts one time that the container died over a request."""
        with self._store.transaction() as connection:
            connection.execute("UPDATE async_requests SET attempts = attempts + 1 WHERE id = ?", (number,))

    def done(self, number: int) -> None:
        """Takes a request out of the queue, once its outcome is in S3."""
        with self._store.transaction() as connection:
            connection.execute("DELETE FROM async_requests WHERE id = ?", (number,))


def _read(row: tuple[Any, ...]) -> Accepted:
    number, attempts, request, body = row
    return Accepted(number, attempts, AsyncRequest(**json.loads(request)), bytes(body))
