"""Listings are read to their last token, through empty pages and throttles."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from ift_sagemaker.aws.client import AWSClient
from ift_sagemaker.errors import AccessDeniedError
from tests.unit.handles.fakes import Clock

THROTTLED = ClientError({"Error": {"Code": "ThrottlingException", "Message": "Rate exceeded"}}, "ListModels")
DENIED = ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "ListModels")


class Listing:
    """A boto3 session, and its client, whose listings give these answers in turn."""

    region_name = "us-east-1"

    def __init__(self, *answers: dict[str, Any] | ClientError) -> None:
        self._answers = list(answers)
        self.asked: list[dict[str, Any]] = []

    def get_credentials(self) -> str:
        return "some"

    def client(self, service: str, **_: Any) -> Listing:
        return self

    def _next(self, **request: Any) -> dict[str, Any]:
        self.asked.append(request)
        answer = self._answers.pop(0)
        if isinstance(answer, ClientError):
            raise answer
        return answer

    list_models = list_tags = _next


def test_an_empty_page_and_a_throttled_one_lose_nothing() -> None:
    models = [{"ModelName": name} for name in "abc"]
    session = Listing(
        {"Models": [], "NextToken": "1"},
        {"Models": models[:2], "NextToken": "2"},
        THROTTLED,
        THROTTLED,
        {"Models": models[2:]},
    )
    clock = Clock()
    found = list(AWSClient(session, patience=clock.patience()).list_models("ift-"))
    assert found == models
    assert [asked.get("NextToken") for asked in session.asked] == [None, "1", "2", "2", "2"]
    assert len(clock.slept) == 2


def test_a_refused_page_ends_the_listing_with_our_error() -> None:
    session = Listing({"Models": [], "NextToken": "1"}, DENIED)
    with pytest.raises(AccessDeniedError):
        list(AWSClient(session, patience=Clock().patience()).list_models("ift-"))


def test_tags_are_read_from_every_page() -> None:
    session = Listing(
        {"Tags": [{"Key": "a", "Value": "1"}], "NextToken": "1"}, {"Tags": [{"Key": "b", "Value": "2"}]}
    )
    assert AWSClient(session, patience=Clock().patience()).tags("arn") == {"a": "1", "b": "2"}
