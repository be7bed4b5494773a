"""List operations: filters, order, pages."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.state.paging import Listing, listed
from ift_sagemaker.local.training.operations import LISTING as TRAINING_JOBS

JOBS = Listing("TrainingJobSummaries", "Name", ("Name",), "Status", order="Ascending")
LISTING = Listing("Items", "Name", ("Name", "Status"), "Status", order="Ascending")
DOCUMENTS = [
    {"Name": name, "CreationTime": float(when), "LastModifiedTime": when + 0.5, "Status": status}
    for name, when, status in (
        ("beta", 3, "Failed"),
        ("alpha", 1, "Completed"),
        ("gamma", 2, "Failed"),
        ("delta", 3, "Completed"),
    )
]


def names(answer: dict[str, Any]) -> list[str]:
    return [item["Name"] for item in answer["Items"]]


def every_page(**params: Any) -> list[str]:
    found: list[str] = []
    token = None
    while True:
        answer = listed(DOCUMENTS, {**params, **({"NextToken": token} if token else {})}, LISTING)
        found += names(answer)
        token = answer.get("NextToken")
        if token is None:
            return found


@pytest.mark.parametrize("size", [1, 2, 3, 10])
def test_pages_of_any_size_hold_everything_once_and_in_order(size: int) -> None:
    assert every_page(MaxResults=size) == ["alpha", "gamma", "beta", "delta"]
    assert every_page(MaxResults=size, SortOrder="Descending") == ["delta", "beta", "gamma", "alpha"]
    assert every_page(MaxResults=size, SortBy="Name") == ["alpha", "beta", "delta", "gamma"]
    assert every_page(MaxResults=size, SortBy="Status") == ["alpha", "delta", "beta", "gamma"]


def test_the_last_page_has_no_token() -> None:
    assert "NextToken" not in listed(DOCUMENTS, {"MaxResults": 4}, LISTING)


def test_a_status_filter_of_training_jobs_works_on_the_page_that_was_cut_as_on_aws() -> None:
    asked = {"MaxResults": 2, "StatusEquals": "Completed"}
    first = listed(DOCUMENTS, asked, JOBS)
    assert first["TrainingJobSummaries"] == [{"Name": "alpha"}]
    second = listed(DOCUMENTS, {**asked, "NextToken": first["NextToken"]}, JOBS)
    assert second == {"TrainingJobSummaries": [{"Name": "delta"}]}
    assert JOBS.member == TRAINING_JOBS.member


def test_a_status_filter_of_other_kinds_works_before_the_page_is_cut() -> None:
    asked = {"MaxResults": 2, "StatusEquals": "Completed"}
    assert listed(DOCUMENTS, asked, LISTING) == {
        "Items": [{"Name": name, "Status": "Completed"} for name in ("alpha", "delta")]
    }
    assert every_page(MaxResults=1, StatusEquals="Failed") == ["gamma", "beta"]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"NameContains": "ALPH"}, ["alpha"]),
        ({"CreationTimeAfter": 2.0, "CreationTimeBefore": 2.5}, ["gamma"]),
        ({"CreationTimeAfter": 3.5}, []),
        ({"LastModifiedTimeBefore": 2.0}, ["alpha"]),
    ],
)
def test_filters_are_applied_before_the_page_is_cut(params: dict[str, Any], expected: list[str]) -> None:
    assert names(listed(DOCUMENTS, {"MaxResults": 1, **params}, LISTING)) == expected


def test_a_page_goes_on_where_it_was_although_the_last_item_is_gone() -> None:
    token = listed(DOCUMENTS, {"MaxResults": 2}, LISTING)["NextToken"]
    left = [item for item in DOCUMENTS if item["Name"] != "gamma"]
    assert names(listed(left, {"NextToken": token}, LISTING)) == ["beta", "delta"]


@pytest.mark.parametrize(
    "token",
    [
        "no base64!",
        base64.b64encode(b"{}").decode(),
        base64.b64encode(b'["CreationTime", false, "text", "alpha"]').decode(),
        base64.b64encode(json.dumps(["Name", False, 1.0, "alpha"]).encode()).decode(),
        base64.b64encode(json.dumps(["CreationTime", True, 1.0, "alpha"]).encode()).decode(),
    ],
)
def test_a_token_of_another_listing_or_of_nobody_is_refused(token: str) -> None:
    with pytest.raises(ServiceError, match="Invalid NextToken"):
        listed(DOCUMENTS, {"NextToken": token}, LISTING)
