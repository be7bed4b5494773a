"""Filtering, sorting and paging of List operations, as AWS does them. Pure."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ift_sagemaker.local.state.resources import Document, invalid

DEFAULT_PAGE = 10

Position = tuple[Any, str]


@dataclass(frozen=True)
class Listing:
    """How one kind is listed: the member of the answer, the name field, the fields of a summary."""

    member: str
    name: str
    fields: tuple[str, ...]
    status: str = ""
    order: str = "Descending"

    @property
    def status_after_cut(self) -> bool:
        """Whether `StatusEquals` is applied to the cut page, which AWS says of ListTrainingJobs."""
        return self.member == "TrainingJobSummaries"


def listed(documents: Iterable[Document], params: Mapping[str, Any], listing: Listing) -> dict[str, Any]:
    """The answer of a List operation.

    Where the listing applies `StatusEquals` after the cut, a page may be short or empty and still have a
    NextToken.
    """
    descending = params.get("SortOrder", listing.order) == "Descending"
    field = _sort_field(params, listing)

    def position(document: Document) -> Position:
        return document[field], document[listing.name]

    found = sorted(
        (item for item in documents if _matches(item, params, listing)), key=position, reverse=descending
    )
    token = params.get("NextToken")
    if token:
        last = _read_token(token, field, descending=descending)
        found = [item for item in found if (position(item) < last if descending else position(item) > last)]
    size = int(params.get("MaxResults", DEFAULT_PAGE))
    answer: dict[str, Any] = {
        listing.member: [
            {name: item[name] for name in listing.fields if name in item}
            for item in found[:size]
            if not listing.status_after_cut or _has_status(item, params, listing)
        ]
    }
    if len(found) > size:
        answer["NextToken"] = _token(position(found[size - 1]), field, descending=descending)
    return answer


def _sort_field(params: Mapping[str, Any], listing: Listing) -> str:
    by = params.get("SortBy", "CreationTime")
    return {"Name": listing.name, "Status": listing.status}.get(by, "CreationTime")


def _matches(document: Document, params: Mapping[str, Any], listing: Listing) -> bool:
    if params.get("NameContains", "").lower() not in document[listing.name].lower():
        return False
    if not listing.status_after_cut and not _has_status(document, params, listing):
        return False
    return all(
        _within(document.get(field, 0), params.get(f"{field}After"), params.get(f"{field}Before"))
        for field in ("CreationTime", "LastModifiedTime")
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
    if isinstance(value, str) is not (field != "CreationTime"):
        raise invalid("Invalid NextToken")
    return value, name
