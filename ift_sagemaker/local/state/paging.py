"""Filtering, sorting and paging of List operations, as AWS does them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ift_sagemaker.local.state.resources import Document, invalid

if TYPE_CHECKING:
    from ift_sagemaker.local.state.store import Store

DEFAULT_PAGE = 10

Position = tuple[Any, str]


@dataclass(frozen=True)
class Listing:
    """How one kind is listed: the member of the answer, the name field, the fields of a summary.

    `status_after_cut`: `StatusEquals` is applied to the page once it is cut, which AWS says of
    ListTrainingJobs: such a page may be short or empty and still have a NextToken.
    """

    member: str
    name: str
    fields: tuple[str, ...]
    status: str = ""
    order: str = "Descending"
    status_after_cut: bool = False


@dataclass(frozen=True)
class Selection:
    """Which documents of a kind are wanted, and in which order: by `field` ("created", "name" or "status").

    Times are in epoch seconds, both ends included; `after` is the position that the page before ended at.
    """

    field: str
    descending: bool
    limit: int
    after: Position | None = None
    name_contains: str = ""
    status: str | None = None
    created: tuple[float | None, float | None] = (None, None)
    modified: tuple[float | None, float | None] = (None, None)


def page_of(
    store: Store,
    kind: str,
    params: Mapping[str, Any],
    listing: Listing,
    truth: Callable[[Document], Document | None] = lambda document: document,
) -> Document:
    """The answer of a List operation on the documents of a kind; only those of the page are read.

    `truth` tells what a document has become since it was written, None where it is gone.
    """
    selection = selected(params, listing)
    rows = store.select(kind, selection)
    shown = (truth(row.document()) for row in rows[: selection.limit])
    summaries = [item for item in shown if item is not None and _has_status(item, params, listing)]
    last = rows[selection.limit - 1].position if len(rows) > selection.limit else None
    return _answer(summaries, last, selection, listing)


def listed(documents: Iterable[Document], params: Mapping[str, Any], listing: Listing) -> Document:
    """The answer of a List operation on documents that are at hand."""
    selection = selected(params, listing)
    found = sorted(
        (
            (_position(item, selection, listing), item)
            for item in documents
            if _fits(item, selection, listing)
        ),
        key=lambda pair: pair[0],
        reverse=selection.descending,
    )
    page = found[: selection.limit]
    summaries = [item for _, item in page if _has_status(item, params, listing)]
    return _answer(summaries, page[-1][0] if len(found) > len(page) else None, selection, listing)


def selected(params: Mapping[str, Any], listing: Listing) -> Selection:
    """What a List request asks for.

    Raises:
        ServiceError: its NextToken is none, or that of a request in another order.
    """
    field = {"Name": "name", "Status": "status"}.get(params.get("SortBy", "CreationTime"), "created")
    descending = params.get("SortOrder", listing.order) == "Descending"
    token = params.get("NextToken")
    return Selection(
        field=field,
        descending=descending,
        limit=int(params.get("MaxResults", DEFAULT_PAGE)),
        after=_read_token(token, field, descending=descending) if token else None,
        name_contains=params.get("NameContains", "").lower(),
        status=None if listing.status_after_cut else params.get("StatusEquals"),
        created=(params.get("CreationTimeAfter"), params.get("CreationTimeBefore")),
        modified=(params.get("LastModifiedTimeAfter"), params.get("LastModifiedTimeBefore")),
    )


def _answer(
    summaries: Iterable[Document], last: Position | None, selection: Selection, listing: Listing
) -> Document:
    answer: Document = {
        listing.member: [{name: item[name] for name in listing.fields if name in item} for item in summaries]
    }
    if last is not None:
        answer["NextToken"] = _token(last, selection.field, descending=selection.descending)
    return answer


def _position(document: Document, selection: Selection, listing: Listing) -> Position:
    field = {"name": listing.name, "status": listing.status}.get(selection.field, "CreationTime")
    return document.get(field, ""), document[listing.name]


def _fits(document: Document, selection: Selection, listing: Listing) -> bool:
    if selection.after is not None:
        position = _position(document, selection, listing)
        if position == selection.after or (position > selection.after) is selection.descending:
            return False
    return (
        selection.name_contains in document[listing.name].lower()
        and selection.status in (None, document.get(listing.status))
        and _within(document.get("CreationTime", 0), *selection.created)
        and _within(document.get("LastModifiedTime", 0), *selection.modified)
    )


def _has_status(document: Document, params: Mapping[str, Any], listing: Listing) -> bool:
    return params.get("StatusEquals") in (None, document.get(listing.status))


def _within(value: float, after: float | None, before: float | None) -> bool:
    return (after is None or value >= after) and (before is None or value <= before)


def _token(position: Position, field: str, *, descending: bool) -> str:
    return base64.urlsafe_b64encode(json.dumps([field, descending, *position]).encode()).decode()


def _read_token(token: str, field: str, *, descending: bool) -> Position:
    try:
        decoded = json.loads(base64.b64decode(token.encode(), b"-_", validate=True))
        found_field, found_order, value, name = decoded
    except ValueError:
        raise invalid("Invalid NextToken") from None
    if (found_field, found_order) != (field, descending) or not isinstance(name, str):
        raise invalid("Invalid NextToken: it belongs to a listing in another order")
    if not isinstance(value, float if field == "created" else str):
        raise invalid("Invalid NextToken")
    return value, name
