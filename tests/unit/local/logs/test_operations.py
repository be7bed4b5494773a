"""CloudWatch Logs of the local AWS, through boto3, in process and over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.unit.local.machine import WORKING, LocalAWS, refusal

GROUP = "/aws/sagemaker/TrainingJobs"


@pytest.fixture
def logs(either_transport: Callable[[str], Any]) -> Any:
    client = either_transport("logs")
    client.create_log_group(logGroupName=GROUP)
    client.create_log_stream(logGroupName=GROUP, logStreamName="job/algo-1")
    return client


def put(logs: Any, messages: list[str], start: int = 0, stream: str = "job/algo-1") -> None:
    events = [{"timestamp": start + number, "message": message} for number, message in enumerate(messages)]
    logs.put_log_events(logGroupName=GROUP, logStreamName=stream, logEvents=events)


def get(logs: Any, **params: Any) -> Any:
    return logs.get_log_events(logGroupName=GROUP, logStreamName="job/algo-1", **params)


def messages(answer: Any) -> list[str]:
    return [event["message"] for event in answer["events"]]


def test_following_the_forward_token_gives_every_event_once(logs: Any) -> None:
    put(logs, ["a", "b", "c"])
    first = get(logs, startFromHead=True, limit=2)
    second = get(logs, nextToken=first["nextForwardToken"])
    put(logs, ["d"], start=10)
    third = get(logs, nextToken=second["nextForwardToken"])
    last = get(logs, nextToken=third["nextForwardToken"])
    assert [messages(page) for page in (first, second, third, last)] == [["a", "b"], ["c"], ["d"], []]
    assert last["nextForwardToken"] == third["nextForwardToken"]


def test_a_stream_without_events_gives_a_token_that_sees_what_comes(logs: Any) -> None:
    empty = get(logs, startFromHead=True)
    put(logs, ["a"])
    assert messages(get(logs, nextToken=empty["nextForwardToken"])) == ["a"]


def test_without_a_token_the_newest_events_come_and_the_backward_token_goes_on(logs: Any) -> None:
    put(logs, ["a", "b", "c"])
    newest = get(logs, limit=2)
    before = get(logs, limit=2, nextToken=newest["nextBackwardToken"])
    assert [messages(newest), messages(before)] == [["b", "c"], ["a"]]


def test_times_cut_from_the_start_to_before_the_end(logs: Any) -> None:
    put(logs, ["a", "b", "c", "d"], start=100)
    assert messages(get(logs, startTime=101, endTime=103, startFromHead=True)) == ["b", "c"]


def test_an_answer_stays_near_one_megabyte_and_loses_nothing(logs: Any) -> None:
    for batch in range(4):
        put(logs, [f"{batch}.{number}" + "x" * 200_000 for number in range(4)], start=batch * 10)
    found: list[str] = []
    token: dict[str, str] = {}
    while page := get(logs, startFromHead=True, **token):
        if not page["events"]:
            break
        assert len(page["events"]) <= 5
        found += messages(page)
        token = {"nextToken": page["nextForwardToken"]}
    assert [message.rstrip("x") for message in found] == [f"{b}.{n}" for b in range(4) for n in range(4)]


def test_the_filter_paginator_interleaves_streams_and_keeps_the_limit(logs: Any) -> None:
    logs.create_log_stream(logGroupName=GROUP, logStreamName="job/algo-2")
    put(logs, ["loss=1", "note", "loss=2"])
    put(logs, ["loss=3"], start=5, stream="job/algo-2")
    pages = logs.get_paginator("filter_log_events").paginate(
        logGroupName=GROUP, filterPattern='"loss="', PaginationConfig={"PageSize": 2}
    )
    found = [event for page in pages for event in page["events"]]
    assert [(event["logStreamName"], event["message"]) for event in found] == [
        ("job/algo-1", "loss=1"),
        ("job/algo-1", "loss=2"),
        ("job/algo-2", "loss=3"),
    ]


def test_filter_takes_named_streams_or_a_prefix(logs: Any) -> None:
    logs.create_log_stream(logGroupName=GROUP, logStreamName="other")
    put(logs, ["mine"])
    put(logs, ["theirs"], stream="other")
    assert messages(logs.filter_log_events(logGroupName=GROUP, logStreamNames=["other"])) == ["theirs"]
    assert messages(logs.filter_log_events(logGroupName=GROUP, logStreamNamePrefix="job/")) == ["mine"]


@pytest.mark.parametrize("pattern", ["{ $.loss > 1 }", "[a, b]", "%re%", "?either beside", "?a -b"])
def test_a_filter_pattern_beyond_words_is_refused(logs: Any, pattern: str) -> None:
    with pytest.raises(ClientError, match="not offered by the local AWS") as raised:
        logs.filter_log_events(logGroupName=GROUP, filterPattern=pattern)
    assert raised.value.response["Error"]["Code"] == "InvalidParameterException"


def test_groups_and_streams_are_described_with_prefix_order_and_paging(logs: Any) -> None:
    logs.create_log_group(logGroupName="other")
    put(logs, ["x"], start=7)
    for name in ("a", "b"):
        logs.create_log_stream(logGroupName=GROUP, logStreamName=name)
    groups = logs.describe_log_groups(logGroupNamePrefix="/aws/")["logGroups"]
    assert [group["logGroupName"] for group in groups] == [GROUP]
    newest = logs.describe_log_streams(logGroupName=GROUP, orderBy="LastEventTime", descending=True, limit=1)
    assert newest["logStreams"][0]["logStreamName"] == "job/algo-1"
    assert newest["logStreams"][0]["lastEventTimestamp"] == 7
    pages = logs.get_paginator("describe_log_streams").paginate(
        logGroupName=GROUP, PaginationConfig={"PageSize": 2}
    )
    names = [stream["logStreamName"] for page in pages for stream in page["logStreams"]]
    assert names == ["a", "b", "job/algo-1"]


@pytest.mark.parametrize(
    ("call", "params", "code"),
    [
        ("create_log_group", {"logGroupName": GROUP}, "ResourceAlreadyExistsException"),
        (
            "create_log_stream",
            {"logGroupName": GROUP, "logStreamName": "job/algo-1"},
            "ResourceAlreadyExistsException",
        ),
        ("create_log_stream", {"logGroupName": "no", "logStreamName": "s"}, "ResourceNotFoundException"),
        ("get_log_events", {"logGroupName": "no", "logStreamName": "s"}, "ResourceNotFoundException"),
        ("get_log_events", {"logGroupName": GROUP, "logStreamName": "s"}, "ResourceNotFoundException"),
        ("describe_log_streams", {"logGroupName": "no"}, "ResourceNotFoundException"),
        ("filter_log_events", {"logGroupName": GROUP, "nextToken": "forged"}, "InvalidParameterException"),
        ("create_log_group", {"logGroupName": "new", "kmsKeyId": "k"}, "InvalidParameterException"),
        ("create_log_group", {"logGroupName": "new", "tags": {"a": "b"}}, "InvalidParameterException"),
        ("describe_log_groups", {"nextToken": "forged"}, "InvalidParameterException"),
        ("describe_log_streams", {"logGroupName": GROUP, "nextToken": "forged"}, "InvalidParameterException"),
        ("delete_log_group", {"logGroupName": "no"}, "ResourceNotFoundException"),
        ("delete_log_stream", {"logGroupName": GROUP, "logStreamName": "s"}, "ResourceNotFoundException"),
    ],
)
def test_each_refusal_has_its_code(logs: Any, call: str, params: dict[str, Any], code: str) -> None:
    with pytest.raises(ClientError) as raised:
        getattr(logs, call)(**params)
    assert raised.value.response["Error"]["Code"] == code
    assert raised.value.response["ResponseMetadata"]["RetryAttempts"] == 0


def test_events_out_of_order_are_refused_whole(logs: Any) -> None:
    events = [{"timestamp": 2, "message": "b"}, {"timestamp": 1, "message": "a"}]
    with pytest.raises(ClientError, match="chronological"):
        logs.put_log_events(logGroupName=GROUP, logStreamName="job/algo-1", logEvents=events)
    assert get(logs)["events"] == []


def test_an_operation_that_is_not_offered_is_refused_by_name(logs: Any) -> None:
    with pytest.raises(ClientError, match="StartQuery is not offered by the local AWS"):
        logs.start_query(logGroupName=GROUP, startTime=0, endTime=1, queryString="fields @message")


def test_modelled_exceptions_can_be_caught(logs: Any) -> None:
    with pytest.raises(logs.exceptions.ResourceNotFoundException):
        logs.describe_log_streams(logGroupName="absent")


def test_a_deleted_group_takes_its_streams_and_events_along_and_no_others(logs: Any) -> None:
    logs.create_log_group(logGroupName="other")
    logs.create_log_stream(logGroupName="other", logStreamName="s")
    put(logs, ["gone"])
    logs.put_log_events(
        logGroupName="other", logStreamName="s", logEvents=[{"timestamp": 1, "message": "stays"}]
    )
    logs.delete_log_group(logGroupName=GROUP)
    assert [group["logGroupName"] for group in logs.describe_log_groups()["logGroups"]] == ["other"]
    logs.create_log_group(logGroupName=GROUP)
    assert logs.describe_log_streams(logGroupName=GROUP)["logStreams"] == []
    assert messages(logs.filter_log_events(logGroupName=GROUP)) == []
    assert messages(logs.filter_log_events(logGroupName="other")) == ["stays"]


def test_a_deleted_stream_takes_its_events_along_and_no_others(logs: Any) -> None:
    logs.create_log_stream(logGroupName=GROUP, logStreamName="other")
    put(logs, ["gone"])
    put(logs, ["stays"], stream="other")
    logs.delete_log_stream(logGroupName=GROUP, logStreamName="job/algo-1")
    assert messages(logs.filter_log_events(logGroupName=GROUP)) == ["stays"]
    assert [
        found["logStreamName"] for found in logs.describe_log_streams(logGroupName=GROUP)["logStreams"]
    ] == ["other"]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ({}, ["a", "b", "c", "d", "job/algo-1"]),
        ({"descending": True}, ["job/algo-1", "d", "c", "b", "a"]),
        ({"orderBy": "LastEventTime"}, ["b", "job/algo-1", "c", "d", "a"]),
        ({"orderBy": "LastEventTime", "descending": True}, ["a", "d", "c", "job/algo-1", "b"]),
    ],
)
def test_pages_of_streams_hold_each_once_in_either_order(
    logs: Any, order: dict[str, Any], expected: list[str]
) -> None:
    for name, time in (("a", 9), ("b", None), ("c", 5), ("d", 5)):
        logs.create_log_stream(logGroupName=GROUP, logStreamName=name)
        if time is not None:
            put(logs, ["x"], start=time, stream=name)
    found: list[str] = []
    token: dict[str, str] = {}
    while True:
        page = logs.describe_log_streams(logGroupName=GROUP, limit=2, **order, **token)
        found += [stream["logStreamName"] for stream in page["logStreams"]]
        if "nextToken" not in page:
            break
        token = {"nextToken": page["nextToken"]}
    assert found == expected


def test_pages_of_streams_and_groups_go_on_behind_a_name_that_is_gone_and_see_what_came(logs: Any) -> None:
    for name in ("a", "b", "d"):
        logs.create_log_stream(logGroupName=GROUP, logStreamName=name)
        logs.create_log_group(logGroupName=name)
    streams = logs.describe_log_streams(logGroupName=GROUP, limit=2)["nextToken"]
    groups = logs.describe_log_groups(limit=3)["nextToken"]
    logs.delete_log_stream(logGroupName=GROUP, logStreamName="b")
    logs.delete_log_group(logGroupName="b")
    logs.create_log_stream(logGroupName=GROUP, logStreamName="c")
    logs.create_log_group(logGroupName="c")
    rest = logs.describe_log_streams(logGroupName=GROUP, nextToken=streams)["logStreams"]
    assert [stream["logStreamName"] for stream in rest] == ["c", "d", "job/algo-1"]
    rest = logs.describe_log_groups(nextToken=groups)["logGroups"]
    assert [group["logGroupName"] for group in rest] == ["c", "d"]


def test_a_token_of_streams_in_another_order_is_refused(logs: Any) -> None:
    logs.create_log_stream(logGroupName=GROUP, logStreamName="a")
    token = logs.describe_log_streams(logGroupName=GROUP, limit=1)["nextToken"]
    with pytest.raises(ClientError, match="nextToken is invalid"):
        logs.describe_log_streams(logGroupName=GROUP, nextToken=token, descending=True)


@pytest.mark.parametrize("operation", ["TagResource", "TagLogGroup", "PutRetentionPolicy"])
def test_tags_and_retention_are_refused_by_name(logs: Any, operation: str) -> None:
    calls = {
        "TagResource": lambda: logs.tag_resource(resourceArn="arn:aws:logs:us-east-1:1:log-group:g", tags={}),
        "TagLogGroup": lambda: logs.tag_log_group(logGroupName=GROUP, tags={"a": "b"}),
        "PutRetentionPolicy": lambda: logs.put_retention_policy(logGroupName=GROUP, retentionInDays=1),
    }
    with pytest.raises(ClientError, match=f"{operation} is not offered by the local AWS"):
        calls[operation]()


def test_the_log_of_a_job_stays_when_the_job_is_deleted(aws: LocalAWS) -> None:
    aws.train("job", WORKING)
    aws.ended("job")
    aws.sagemaker.delete_training_job(TrainingJobName="job")
    found = aws.logs.filter_log_events(logGroupName=GROUP, logStreamNamePrefix="job/")
    assert "begun" in messages(found)
    aws.logs.delete_log_group(logGroupName=GROUP)
    assert refusal(aws.logs.filter_log_events, logGroupName=GROUP)[0] == "ResourceNotFoundException"
