"""List operations: filters, order, pages; the same of documents at hand and of those in the store."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.state.paging import Listing, listed, page_of
from ift_sagemaker.local.state.store import Row, Store
from ift_sagemaker.local.training.operations import LISTING as TRAINING_JOBS
from tests.unit.local.state.explaining import ExplainingStore

Document = dict[str, Any]
Lister = Callable[..., Document]

LISTING = Listing("Items", "Name", ("Name", "ThingStatus"), "ThingStatus", order="Ascending")
JOBS = Listing("Items", "Name", ("Name",), "ThingStatus", order="Ascending", status_after_cut=True)
DOCUMENTS = [
    {"Name": name, "CreationTime": float(when), "LastModifiedTime": when + 0.5, "ThingStatus": status}
    for name, when, status in (
        ("beta", 3, "Failed"),
        ("alpha", 1, "Completed"),
        ("gamma", 2, "Failed"),
        ("delta", 3, "Completed"),
    )
]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "root")
    yield made
    made.close()


def fill(store: Store, documents: Sequence[Mapping[str, Any]]) -> None:
    for document in documents:
        store.insert("thing", document["Name"], document)


@pytest.fixture(params=["at hand", "in the store"])
def lister(request: pytest.FixtureRequest, store: Store) -> Lister:
    """Lists DOCUMENTS, or those of them that are named, in each of the two ways."""

    def of_store(params: Document, listing: Listing = LISTING, without: str = "") -> Document:
        fill(store, [item for item in DOCUMENTS if store.get("thing", str(item["Name"])) is None])
        store.delete("thing", without)
        return page_of(store, "thing", params, listing)

    def at_hand(params: Document, listing: Listing = LISTING, without: str = "") -> Document:
        return listed([item for item in DOCUMENTS if item["Name"] != without], params, listing)

    return at_hand if request.param == "at hand" else of_store


def names(answer: Document) -> list[str]:
    return [item["Name"] for item in answer["Items"]]


def every_page(lister: Lister, **params: Any) -> list[str]:
    found: list[str] = []
    token = None
    while True:
        answer = lister({**params, **({"NextToken": token} if token else {})})
        found += names(answer)
        token = answer.get("NextToken")
        if token is None:
            return found


@pytest.mark.parametrize("size", [1, 2, 3, 10])
def test_pages_of_any_size_hold_everything_once_and_in_order(lister: Lister, size: int) -> None:
    assert every_page(lister, MaxResults=size) == ["alpha", "gamma", "beta", "delta"]
    descending = every_page(lister, MaxResults=size, SortOrder="Descending")
    assert descending == ["delta", "beta", "gamma", "alpha"]
    assert every_page(lister, MaxResults=size, SortBy="Name") == ["alpha", "beta", "delta", "gamma"]
    assert every_page(lister, MaxResults=size, SortBy="Status") == ["alpha", "delta", "beta", "gamma"]


def test_the_last_page_has_no_token(lister: Lister) -> None:
    assert "NextToken" not in lister({"MaxResults": 4})


def test_a_status_filter_of_training_jobs_works_on_the_page_that_was_cut_as_on_aws(lister: Lister) -> None:
    asked = {"MaxResults": 2, "StatusEquals": "Completed"}
    first = lister(asked, JOBS)
    assert first["Items"] == [{"Name": "alpha"}]
    second = lister({**asked, "NextToken": first["NextToken"]}, JOBS)
    assert second == {"Items": [{"Name": "delta"}]}
    assert TRAINING_JOBS.status_after_cut


def test_a_status_filter_of_other_kinds_works_before_the_page_is_cut(lister: Lister) -> None:
    assert lister({"MaxResults": 2, "StatusEquals": "Completed"}) == {
        "Items": [{"Name": name, "ThingStatus": "Completed"} for name in ("alpha", "delta")]
    }
    assert every_page(lister, MaxResults=1, StatusEquals="Failed") == ["gamma", "beta"]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"NameContains": "ALPH"}, ["alpha"]),
        ({"NameContains": "%"}, []),
        ({"CreationTimeAfter": 2.0, "CreationTimeBefore": 2.5}, ["gamma"]),
        ({"CreationTimeAfter": 3.5}, []),
        ({"LastModifiedTimeBefore": 2.0}, ["alpha"]),
        ({"LastModifiedTimeAfter": 1.5, "LastModifiedTimeBefore": 1.5}, ["alpha"]),
    ],
)
def test_filters_are_applied_before_the_page_is_cut(
    lister: Lister, params: dict[str, Any], expected: list[str]
) -> None:
    assert names(lister({"MaxResults": 1, **params})) == expected


def test_a_page_goes_on_where_it_was_although_the_last_item_is_gone(lister: Lister) -> None:
    token = lister({"MaxResults": 2})["NextToken"]
    assert names(lister({"NextToken": token}, without="gamma")) == ["beta", "delta"]


@pytest.mark.parametrize(
    "token",
    [
        "no base64!",
        base64.b64encode(b"{}").decode(),
        base64.b64encode(b'["created", false, "text", "alpha"]').decode(),
        base64.b64encode(b'["created", false, 1000000000000000000000, "alpha"]').decode(),
        base64.b64encode(json.dumps(["name", False, 1.0, "alpha"]).encode()).decode(),
        base64.b64encode(json.dumps(["created", True, 1.0, "alpha"]).encode()).decode(),
    ],
)
def test_a_token_of_another_listing_or_of_nobody_is_refused(lister: Lister, token: str) -> None:
    with pytest.raises(ServiceError, match="Invalid NextToken"):
        lister({"NextToken": token})


def test_a_document_counts_as_what_it_was_changed_to(store: Store) -> None:
    fill(store, DOCUMENTS)
    store.update("thing", "alpha", lambda there: {**there, "ThingStatus": "Failed", "LastModifiedTime": 9.0})
    assert names(page_of(store, "thing", {"StatusEquals": "Failed"}, LISTING)) == ["alpha", "gamma", "beta"]
    assert names(page_of(store, "thing", {"LastModifiedTimeAfter": 9.0}, LISTING)) == ["alpha"]


def test_what_a_document_has_become_decides_and_one_that_is_gone_is_left_out(store: Store) -> None:
    fill(store, DOCUMENTS)
    asked = {"StatusEquals": "Failed"}

    def truth(document: Document) -> Document | None:
        return None if document["Name"] == "beta" else {**document, "ThingStatus": "Stopped"}

    assert names(page_of(store, "thing", {}, LISTING, truth)) == ["alpha", "gamma", "delta"]
    assert names(page_of(store, "thing", asked, LISTING, truth)) == []


class CountingStore(Store):
    """Counts the documents that are handed over unparsed, and those of them that are parsed."""

    selected = 0
    parsed = 0

    def select(self, kind: str, wanted: Any) -> list[Row]:
        rows = super().select(kind, wanted)
        self.selected += len(rows)
        return [_CountedRow(row, self) for row in rows]


class _CountedRow(Row):
    def __init__(self, row: Row, counter: CountingStore) -> None:
        super().__init__(row.value, row.name, row.body)
        object.__setattr__(self, "counter", counter)

    def document(self) -> Document:
        self.counter.parsed += 1  # type: ignore[attr-defined]
        return super().document()


@pytest.mark.parametrize("asked", [{}, {"SortBy": "Name"}, {"SortBy": "Status"}, {"NameContains": "JOB-1"}])
@pytest.mark.parametrize("order", ["Ascending", "Descending"])
def test_a_page_of_many_thousands_reads_its_own_documents_alone(
    tmp_path: Path, asked: dict[str, str], order: str
) -> None:
    store = CountingStore(tmp_path / "root")
    rows = [
        ("thing", f"job-{number:05}", float(number // 3), 0.0, ("Failed", "Completed")[number % 2], "{}")
        for number in range(20_000)
    ]
    with store.transaction() as connection:
        connection.executemany("INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?)", rows)
    token: dict[str, str] = {}
    bare = Listing("Items", "Name", (), "ThingStatus")
    for page in range(1, 4):
        answer = page_of(store, "thing", {**asked, **token, "SortOrder": order, "MaxResults": 100}, bare)
        token = {"NextToken": answer["NextToken"]}
        assert (store.selected, store.parsed) == (101 * page, 100 * page)
    store.close()


@pytest.mark.parametrize("order", ["CreationTime", "Name", "Status"])
@pytest.mark.parametrize("direction", ["Ascending", "Descending"])
def test_order_and_the_beginning_of_a_page_come_from_an_index(
    tmp_path: Path, order: str, direction: str
) -> None:
    store = ExplainingStore(tmp_path / "root")
    fill(store, DOCUMENTS)
    asked = {"SortBy": order, "SortOrder": direction, "MaxResults": 1}
    token = page_of(store, "thing", asked, LISTING)["NextToken"]
    store.plans = ()
    page_of(store, "thing", {**asked, "NextToken": token}, LISTING)
    assert len(store.plans) == 1
    plan = store.plans[0]
    assert re.search(r"SEARCH documents USING .*INDEX .*kind=\? AND ", plan), plan
    store.close()


def test_pages_lose_and_repeat_nothing_that_stays_while_others_come_and_go(store: Store) -> None:
    fill(store, [{"Name": f"stays-{n}", "CreationTime": float(10 * n)} for n in range(10)])
    fill(store, [{"Name": f"goes-{n}", "CreationTime": 10 * n + 5.0} for n in range(10)])
    found: list[str] = []
    token: dict[str, str] = {}
    for turn in range(10):
        answer = page_of(store, "thing", {"MaxResults": 2, "SortOrder": "Ascending", **token}, LISTING)
        found += [name for name in names(answer) if name.startswith("stays")]
        store.delete("thing", f"goes-{turn}")
        store.insert("thing", f"comes-{turn}", {"Name": f"comes-{turn}", "CreationTime": float(turn)})
        if "NextToken" not in answer:
            break
        token = {"NextToken": answer["NextToken"]}
    assert found == [f"stays-{n}" for n in range(10)]
