"""A bucket's rules end unfinished uploads at their age, and nothing else is taken for a rule."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ift_sagemaker.local.context import create_context
from ift_sagemaker.local.door.app import create_app
from ift_sagemaker.local.door.transport import session_on
from ift_sagemaker.local.state.settings import LocalSettings
from tests.unit.local.s3_calls import code_of

DAY = 86_400


@dataclass
class Clock:
    ahead: float = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def s3(tmp_path: Path, clock: Clock) -> Any:
    application = create_app(create_context(LocalSettings(root=tmp_path / "root"), clock))
    client = session_on(application, "us-east-1").client("s3")
    client.create_bucket(Bucket="bkt")
    return client


def rule(**changes: Any) -> dict[str, Any]:
    return {
        "ID": "end",
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
    } | changes


def put(s3: Any, *rules: dict[str, Any]) -> Any:
    return s3.put_bucket_lifecycle_configuration(Bucket="bkt", LifecycleConfiguration={"Rules": list(rules)})


def uploads(s3: Any) -> list[str]:
    found = s3.list_multipart_uploads(Bucket="bkt")
    return [upload["Key"] for upload in found.get("Uploads", [])]


def test_an_upload_is_ended_when_it_is_as_old_as_the_rule_says(s3: Any, clock: Clock) -> None:
    put(s3, rule())
    upload = s3.create_multipart_upload(Bucket="bkt", Key="k")["UploadId"]
    where = {"Bucket": "bkt", "Key": "k", "UploadId": upload}
    s3.upload_part(**where, PartNumber=1, Body=b"x")
    clock.ahead = DAY - 60
    assert uploads(s3) == ["k"]
    clock.ahead = DAY + 60
    assert code_of(lambda: s3.upload_part(**where, PartNumber=2, Body=b"y")) == ("NoSuchUpload", 404)
    assert uploads(s3) == []


def test_only_what_an_enabled_rule_names_is_ended(s3: Any, clock: Clock) -> None:
    put(
        s3,
        rule(Filter={"Prefix": "a/"}),
        rule(ID="off", Status="Disabled"),
        rule(ID="later", AbortIncompleteMultipartUpload={"DaysAfterInitiation": 3}),
    )
    for key in ("a/k", "b/k"):
        s3.create_multipart_upload(Bucket="bkt", Key=key)
    clock.ahead = 2 * DAY
    assert uploads(s3) == ["b/k"]
    clock.ahead = 3 * DAY + 60
    assert uploads(s3) == []


def test_without_a_rule_an_upload_stays(s3: Any, clock: Clock) -> None:
    s3.create_multipart_upload(Bucket="bkt", Key="k")
    clock.ahead = 100 * DAY
    assert uploads(s3) == ["k"]


def test_rules_are_given_back_as_they_were_put_and_go_with_the_bucket(s3: Any) -> None:
    ask = {"Bucket": "bkt"}
    absent = ("NoSuchLifecycleConfiguration", 404)
    assert code_of(lambda: s3.get_bucket_lifecycle_configuration(**ask)) == absent
    put(s3, rule())
    assert s3.get_bucket_lifecycle_configuration(**ask)["Rules"] == [rule()]
    s3.delete_bucket_lifecycle(**ask)
    assert code_of(lambda: s3.get_bucket_lifecycle_configuration(**ask)) == absent
    put(s3, rule())
    s3.delete_bucket(**ask)
    s3.create_bucket(**ask)
    assert code_of(lambda: s3.get_bucket_lifecycle_configuration(**ask)) == absent


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        ([rule(Expiration={"Days": 1})], "NotImplemented"),
        ([rule(Filter={"Tag": {"Key": "a", "Value": "b"}})], "NotImplemented"),
        ([rule(AbortIncompleteMultipartUpload={"DaysAfterInitiation": 0})], "InvalidArgument"),
        ([rule(Status="Perhaps")], "MalformedXML"),
        ([rule(), rule()], "InvalidArgument"),
    ],
)
def test_another_rule_is_refused_and_keeps_the_old_ones(
    s3: Any, rules: list[dict[str, Any]], code: str
) -> None:
    put(s3, rule(ID="old"))
    assert code_of(lambda: put(s3, *rules))[0] == code
    assert s3.get_bucket_lifecycle_configuration(Bucket="bkt")["Rules"] == [rule(ID="old")]


def test_every_answer_about_a_write_says_how_it_is_encrypted(s3: Any) -> None:
    asked = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "arn:aws:kms:us-east-1:123456789012:key/1"}
    where = {"Bucket": "bkt", "Key": "k"}
    upload = s3.create_multipart_upload(**where, **asked)
    part = s3.upload_part(**where, UploadId=upload["UploadId"], PartNumber=1, Body=b"x")
    listed = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    done = s3.complete_multipart_upload(**where, UploadId=upload["UploadId"], MultipartUpload=listed)
    put_alone = s3.put_object(**where, Body=b"x", **asked)
    for answer in (upload, part, done, put_alone, s3.head_object(**where)):
        assert {name: answer.get(name) for name in asked} == asked
    plain = s3.put_object(Bucket="bkt", Key="plain", Body=b"x")
    assert "SSEKMSKeyId" not in plain
