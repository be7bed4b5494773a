"""Each thing that the weather does, on a clock that the test moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from botocore.exceptions import ClientError

from ift_sagemaker.local.state.settings import LocalSettings
from ift_sagemaker.local.weather.profile import Weather, capacity_delay, deletion_delay, weather_of
from tests.unit.local.machine import refusal
from tests.unit.local.weather.conftest import NOTHING, Outdoors

Under = Callable[..., Outdoors]


def test_a_new_model_and_configuration_are_not_found_for_a_while(under: Under) -> None:
    aws = under(replace(NOTHING, stale_read=5))
    aws.create_model("m")
    describe = aws.sagemaker.describe_model
    assert refusal(describe, ModelName="m")[1].startswith("Could not find model")
    aws.time.now += 4.9
    assert refusal(aws.create_config, name="c", model="m")[0] == "ValidationException"
    aws.time.now += 0.2
    assert describe(ModelName="m")["ModelName"] == "m"
    aws.create_config("c", "m")
    code, message = refusal(aws.sagemaker.create_endpoint, EndpointName="e", EndpointConfigName="c")
    assert (code, message[:37]) == ("ValidationException", "Could not find endpoint configuration")


def test_a_name_that_was_just_taken_is_refused_although_it_is_not_found(under: Under) -> None:
    aws = under(replace(NOTHING, stale_read=5))
    aws.create_model("m")
    assert "already existing" in refusal(aws.create_model, name="m")[1]


def test_what_is_new_is_listed_late_and_what_was_deleted_is_listed_for_a_while(under: Under) -> None:
    aws = under(replace(NOTHING, stale_list=3))
    aws.create_model("m")
    assert aws.models() == []
    aws.time.now += 3
    assert aws.models() == ["m"]
    aws.sagemaker.delete_model(ModelName="m")
    assert refusal(aws.sagemaker.describe_model, ModelName="m")[0] == "ValidationException"
    assert aws.models() == ["m"]
    aws.time.now += 3
    assert aws.models() == []


def test_a_deleted_model_that_is_made_anew_is_listed_once(under: Under) -> None:
    aws = under(replace(NOTHING, stale_list=3))
    for _ in range(2):
        aws.create_model("m")
        aws.time.now += 3
        aws.sagemaker.delete_model(ModelName="m")
    aws.create_model("m")
    aws.time.now += 2.9
    assert aws.models() == []
    aws.time.now += 0.1
    assert aws.models() == ["m"]


def test_what_is_no_longer_listed_leaves_the_state_with_the_next_deletion(under: Under) -> None:
    aws = under(replace(NOTHING, stale_list=3))
    for number in range(10):
        aws.create_model(f"m{number}")
        aws.sagemaker.delete_model(ModelName=f"m{number}")
        aws.time.now += 3
    (kept,) = aws.context.store.rows("SELECT name FROM documents WHERE kind LIKE 'gone:%'")
    assert kept == ("m9",)


def test_lists_beyond_the_rate_are_throttled_until_time_has_passed(under: Under) -> None:
    aws = under(replace(NOTHING, list_calls_per_second=2))
    sagemaker = aws.sagemaker
    for _ in range(2):
        sagemaker.list_models()
    with pytest.raises(ClientError) as caught:
        sagemaker.list_models()
    assert caught.value.response["Error"] == {"Code": "ThrottlingException", "Message": "Rate exceeded"}
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    sagemaker.list_endpoints()  # every operation has a rate of its own
    aws.time.now += 0.5
    sagemaker.list_models()


@pytest.mark.parametrize(
    ("service", "call", "code", "status"),
    [
        ("sagemaker", "list_models", "ExpiredTokenException", 400),
        ("logs", "describe_log_groups", "ExpiredTokenException", 400),
        ("s3", "list_buckets", "ExpiredToken", 400),
        ("sts", "get_caller_identity", "ExpiredToken", 403),
    ],
)
def test_the_credentials_of_a_session_expire_once(
    under: Under, service: str, call: str, code: str, status: int
) -> None:
    aws = under(replace(NOTHING, token_life=900))
    ask = getattr(aws.client(service), call)
    ask()
    aws.time.now += 900
    with pytest.raises(ClientError) as caught:
        ask()
    assert caught.value.response["Error"]["Code"] == code
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    aws.time.now += 10_000
    ask()


def test_a_listing_begins_with_an_empty_page_and_loses_nothing(under: Under) -> None:
    aws = under(replace(NOTHING, empty_pages=1))
    for name in "abc":
        aws.create_model(name)
    first = aws.sagemaker.list_models(MaxResults=2)
    assert first["Models"] == []
    assert first["NextToken"]
    pages = list(aws.sagemaker.get_paginator("list_models").paginate(MaxResults=2))
    assert [len(page["Models"]) for page in pages] == [0, 2, 0, 1]
    assert sorted(model["ModelName"] for page in pages for model in page["Models"]) == ["a", "b", "c"]


def test_a_wrong_request_is_refused_at_its_first_page(under: Under) -> None:
    aws = under(replace(NOTHING, empty_pages=1))
    assert refusal(aws.sagemaker.list_models, NextToken="nonsense")[1].startswith("Invalid NextToken")


def test_log_events_appear_late_and_in_full(under: Under) -> None:
    aws = under(replace(NOTHING, late_log=2, empty_pages=1))
    logs = aws.client("logs")
    logs.create_log_group(logGroupName="g")
    logs.create_log_stream(logGroupName="g", logStreamName="s")

    def put(text: str) -> None:
        events = [{"timestamp": int(aws.time.now * 1000), "message": text}]
        logs.put_log_events(logGroupName="g", logStreamName="s", logEvents=events)

    where = {"logGroupName": "g", "logStreamName": "s", "startFromHead": True}
    put("first")
    early = logs.get_log_events(**where)
    assert early["events"] == []
    aws.time.now += 1
    put("second")
    aws.time.now += 1
    shown = logs.get_log_events(**where, nextToken=early["nextForwardToken"])
    assert [event["message"] for event in shown["events"]] == ["first"]
    aws.time.now += 1
    rest = logs.get_log_events(**where, nextToken=shown["nextForwardToken"])
    assert [event["message"] for event in rest["events"]] == ["second"]
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName="g")
    assert [len(page["events"]) for page in pages] == [0, 2]


def test_calm_weather_answers_at_once(under: Under) -> None:
    aws = under(None)
    for number in range(12):
        aws.create_model(f"m{number}")
        assert f"m{number}" in aws.models()
        aws.sagemaker.describe_model(ModelName=f"m{number}")


def test_the_wait_for_capacity_is_the_same_for_a_name_and_within_its_bounds() -> None:
    weather = Weather(capacity=(1, 3))
    waits = [weather.waits_for_capacity("training-job", f"job-{number}") for number in range(50)]
    assert waits == [weather.waits_for_capacity("training-job", f"job-{number}") for number in range(50)]
    assert 1 <= min(waits) < 1.5
    assert 2.5 < max(waits) < 3
    other = replace(weather, seed=1)
    assert waits != [other.waits_for_capacity("training-job", f"job-{number}") for number in range(50)]


def test_the_weather_is_calm_where_nobody_asks_for_another(under: Under) -> None:
    calm = under(None).context.settings
    assert weather_of(calm) is None
    assert (capacity_delay(calm, "training-job", "j"), deletion_delay(calm)) == (0, 0)
    asked = LocalSettings.from_environment({"IFT_LOCAL_WEATHER": "aws"}, root=calm.root)
    assert weather_of(asked) == Weather()
    assert capacity_delay(asked, "training-job", "j") > 0
    assert deletion_delay(asked) > 0
