"""The log tail loses and repeats nothing."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from ift_sagemaker.aws.logs import LogTail
from ift_sagemaker.errors import ServiceUnavailableError


class FakeLogs:
    """CloudWatch Logs with one group; pages of two events."""

    def __init__(self) -> None:
        self.streams: dict[str, list[str]] = {}
        self.pages_left = 100
        self.absent = False

    def get_paginator(self, name: str) -> FakeLogs:
        assert name == "describe_log_streams"
        return self

    def paginate(self, **request: str) -> list[dict[str, Any]]:
        if self.absent:
            raise ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "DescribeLogStreams")
        prefix = request.get("logStreamNamePrefix", "")
        return [{"logStreams": [{"logStreamName": n} for n in self.streams if n.startswith(prefix)]}]

    def get_log_events(self, **request: Any) -> dict[str, Any]:
        self.pages_left -= 1
        if self.pages_left < 0:
            raise EndpointConnectionError(endpoint_url="https://logs.invalid")
        start = int(request.get("nextToken", 0))
        events = self.streams[request["logStreamName"]][start : start + 2]
        return {
            "events": [{"timestamp": start + i, "message": text} for i, text in enumerate(events)],
            "nextForwardToken": str(start + len(events)),
        }


@pytest.fixture
def logs() -> FakeLogs:
    return FakeLogs()


def _tail(logs: FakeLogs) -> LogTail:
    return LogTail(lambda: logs, "/group", "job/")


def test_each_poll_gives_what_is_new(logs: FakeLogs) -> None:
    tail = _tail(logs)
    logs.streams["job/algo-1"] = ["a", "b", "c"]
    logs.streams["other/algo-1"] = ["not ours"]
    assert [line.message for line in tail.poll()] == ["a", "b", "c"]
    assert tail.poll() == []
    logs.streams["job/algo-1"].append("d")
    assert [line.message for line in tail.poll()] == ["d"]


def test_a_group_that_does_not_exist_yet_is_no_error(logs: FakeLogs) -> None:
    logs.absent = True
    assert _tail(logs).poll() == []


def test_a_failed_poll_loses_and_repeats_nothing(logs: FakeLogs) -> None:
    tail = _tail(logs)
    logs.streams["job/algo-1"] = ["a", "b", "c", "d", "e"]
    logs.pages_left = 2
    with pytest.raises(ServiceUnavailableError):
        tail.poll()
    logs.pages_left = 100
    assert [line.message for line in tail.poll()] == ["a", "b", "c", "d", "e"]
