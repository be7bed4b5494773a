"""The state as clients see it under the weather: what is written is there at once, what is read lags."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ift_sagemaker.local.state.log_records import LogEvent, LogQuery
from ift_sagemaker.local.state.paging import Selection
from ift_sagemaker.local.state.resources import ENDPOINT_CONFIG, MODEL, Document
from ift_sagemaker.local.state.store import Selected, Store
from ift_sagemaker.local.weather.profile import Weather

# inside EventualStore, `list` is its method
LogEvents = list[LogEvent]
STALE_KINDS = (MODEL, ENDPOINT_CONFIG)
"""What CreateEndpoint may not find although it was just created."""
_GONE = "gone:"


class EventualStore(Store):
    """The store of the same root. Writes meet the true state, so a name that is taken is refused at once."""

    def __init__(self, root: Path, clock: Callable[[], float], weather: Weather) -> None:
        super().__init__(root, clock)
        self._weather = weather

    def get(self, kind: str, name: str) -> Document | None:
        """The document, None also where it is new and of a kind that is read late."""
        found = super().get(kind, name)
        if found is not None and kind in STALE_KINDS and self._age(found) < self._weather.stale_read:
            return None
        return found

    def list(self, kind: str) -> Iterator[Document]:
        """Documents that are not new, and those that were deleted a moment ago."""
        there = list(super().list(kind))
        yield from (document for document in there if self._age(document) >= self._weather.stale_list)
        known = {_identity(document) for document in there}
        for document in super().list(_GONE + kind):
            if self._is_remembered(document) and _identity(document) not in known:
                yield {key: value for key, value in document.items() if key != "_gone_at"}

    def select(self, kind: str, wanted: Selection) -> Selected:
        """The documents that fit and are not new, and those that were deleted a moment ago."""
        first, last = wanted.created
        oldest = self.clock() - self._weather.stale_list
        seen = replace(wanted, created=(first, oldest if last is None else min(last, oldest)))
        there = super().select(kind, seen)
        gone = [
            row
            for row in super().select(_GONE + kind, wanted)
            if Store.get(self, kind, row.name) is None and self._is_remembered(row.document())
        ]
        whole = sorted(there + gone, key=lambda row: row.position, reverse=wanted.descending)
        return whole[: wanted.limit + 1]

    def delete(self, kind: str, name: str) -> bool:
        """Whether there was such a document; it is gone now, and listed for a while."""
        found = super().get(kind, name)
        if not super().delete(kind, name):
            return False
        if found is not None:
            self._remember(kind, name, found)
        return True

    def find_log_events(self, query: LogQuery) -> LogEvents:
        """The events that fit and were sent long enough ago."""
        shown = self.clock() - self._weather.late_log
        return super().find_log_events(replace(query, ingested_until=min(shown, query.ingested_until)))

    def _remember(self, kind: str, name: str, document: Document) -> None:
        """Adds it to what is listed for a while, and drops all of the kind that no longer is."""
        gone, now = _GONE + kind, self.clock()
        row = (gone, name, *self._row(gone, {**document, "_gone_at": now}))
        old = "name = ? OR json_extract(body, '$._gone_at') <= ?"
        with self.transaction(durable=False) as connection:
            connection.execute(
                f"DELETE FROM documents WHERE kind = ? AND ({old})",  # noqa: S608 - a fixed text
                (gone, name, now - self._weather.stale_list),
            )
            connection.execute("INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?)", row)

    def _is_remembered(self, document: Document) -> bool:
        return self.clock() - float(document["_gone_at"]) < self._weather.stale_list

    def _age(self, document: Document) -> float:
        created: Any = document.get("CreationTime", 0.0)
        return self.clock() - float(created)


def _identity(document: Document) -> tuple[Any, ...]:
    """What tells a deleted document from another of its name."""
    return tuple(value for key, value in document.items() if key.endswith("Arn"))
