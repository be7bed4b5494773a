"""An object is sent once, is what was hashed, and leaves nothing behind, whoever else writes meanwhile."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ift_sagemaker import local
from ift_sagemaker.aws.retry import Patience
from ift_sagemaker.aws.upload import MAX_STARTS, ObjectUpload, Sending, Sent
from ift_sagemaker.data.sending.manifest import MIN_PART_BYTES
from ift_sagemaker.data.sending.outgoing import Outgoing, hashed
from ift_sagemaker.errors import (
    AccessDeniedError,
    AWSError,
    ConfigError,
    RequestRejectedError,
    ResourceInUseError,
    SourceChangedError,
)

ACCOUNT = "123456789012"
KEY_ARN = f"arn:aws:kms:us-east-1:{ACCOUNT}:key/11111111-2222-3333-4444-555555555555"
OTHER_ARN = KEY_ARN.replace("1111", "9999")
SIZE = 2 * MIN_PART_BYTES + 1000
"""Three parts."""


@dataclass
class Bucket:
    """A bucket of a local AWS, with what was asked of it and what is done before it answers."""

    root: Path
    calls: list[str] = field(default_factory=list)
    bodies: list[int] = field(default_factory=list)
    before: dict[str, Callable[[dict[str, Any]], None]] = field(default_factory=dict)
    refuse: dict[str, list[tuple[int, str]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.plain = local.boto3_session(self.root).client("s3")
        self.plain.create_bucket(Bucket="bkt")
        self.s3 = local.boto3_session(self.root).client("s3")
        self.s3.meta.events.register("before-parameter-build.s3", self._see)
        self.s3.meta.events.register("before-call.s3", self._answer)

    def _see(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        self.calls.append(model.name)
        assert params["ExpectedBucketOwner"]
        if "Body" in params:
            self.bodies.append(params["Body"].getbuffer().nbytes)
        if act := self.before.get(model.name):
            act(params)

    def _answer(self, model: Any, **_: Any) -> Any:
        if not self.refuse.get(model.name):
            return None
        status, code = self.refuse[model.name].pop()
        error = {"Error": {"Code": code, "Message": ""}, "ResponseMetadata": {"HTTPStatusCode": status}}
        return SimpleNamespace(status_code=status), error

    @property
    def body_bytes(self) -> int:
        """Bytes of data that requests carried."""
        return sum(self.bodies)

    def send(self, item: Outgoing, key: str = "key", **settings: Any) -> Sent:
        sending = Sending(part_bytes=MIN_PART_BYTES, **settings)
        patience = Patience(sleep=lambda _: None, jitter=lambda: 0.5)
        return ObjectUpload(self.s3, ACCOUNT, "bkt", key, item, sending, patience).send()

    def content(self, key: str = "key") -> bytes:
        found: bytes = self.plain.get_object(Bucket="bkt", Key=key)["Body"].read()
        return found

    def keys(self) -> list[str]:
        return [found["Key"] for found in self.plain.list_objects_v2(Bucket="bkt").get("Contents", [])]

    def strays(self) -> list[str]:
        page = self.plain.list_multipart_uploads(Bucket="bkt")
        return [found["UploadId"] for found in page.get("Uploads", [])]

    def begin(self, parts: Mapping[int, bytes], **settings: Any) -> str:
        """What a run that was killed left."""
        settings = {"ChecksumAlgorithm": "SHA256", **settings}
        metadata = {"ift-sha256": hashlib.sha256(DATA).hexdigest()}
        where = {"Bucket": "bkt", "Key": "key"}
        upload = self.plain.create_multipart_upload(**where, Metadata=metadata, **settings)["UploadId"]
        for number, body in parts.items():
            checked = {"ChecksumAlgorithm": settings["ChecksumAlgorithm"]}
            self.plain.upload_part(**where, UploadId=upload, PartNumber=number, Body=body, **checked)
        return str(upload)


DATA = os.urandom(SIZE)
FIRST, SECOND, THIRD = DATA[:MIN_PART_BYTES], DATA[MIN_PART_BYTES : 2 * MIN_PART_BYTES], DATA[-1000:]


@pytest.fixture
def bucket(tmp_path: Path) -> Bucket:
    return Bucket(tmp_path / "aws")


@pytest.fixture
def large(tmp_path: Path) -> Outgoing:
    (tmp_path / "rows.jsonl").write_bytes(DATA)
    return hashed("rows.jsonl", tmp_path / "rows.jsonl", MIN_PART_BYTES)


@pytest.fixture
def small(tmp_path: Path) -> Outgoing:
    (tmp_path / "small.jsonl").write_bytes(b"{}\n")
    return hashed("small.jsonl", tmp_path / "small.jsonl", MIN_PART_BYTES)


@pytest.mark.parametrize("size", ["small", "large"])
def test_the_same_content_is_sent_once(size: str, bucket: Bucket, request: pytest.FixtureRequest) -> None:
    item = request.getfixturevalue(size)
    assert bucket.send(item) == Sent(present=False, sent=item.size)
    assert bucket.body_bytes == item.size
    assert bucket.send(item) == Sent(present=True)
    assert bucket.body_bytes == item.size, "the second time no byte is sent"
    assert bucket.content() == item.source.read_bytes()
    assert bucket.strays() == []


def test_an_empty_file_is_an_object_too(bucket: Bucket) -> None:
    assert not bucket.send(hashed("empty", b"")).present
    assert bucket.content() == b""


def test_every_part_is_vouched_for_by_the_hash_taken_before(bucket: Bucket, large: Outgoing) -> None:
    bucket.send(large)
    found = bucket.plain.head_object(Bucket="bkt", Key="key", ChecksumMode="ENABLED")
    assert found["ChecksumSHA256"].endswith("-3")
    assert found["Metadata"] == {"ift-sha256": hashlib.sha256(DATA).hexdigest()}


def test_progress_adds_up_to_the_size(bucket: Bucket, large: Outgoing) -> None:
    told: list[int] = []
    bucket.before["CompleteMultipartUpload"] = _once(lambda params: _abort(bucket, params))
    patience = Patience(sleep=lambda _: None)
    sending = Sending(part_bytes=MIN_PART_BYTES)
    ObjectUpload(bucket.s3, ACCOUNT, "bkt", "key", large, sending, patience, told.append).send()
    assert min(told) < 0, "what was lost counts back"
    assert sum(told) == SIZE


def test_what_a_killed_run_sent_is_carried_on_and_its_wrong_parts_are_not_believed(
    bucket: Bucket, large: Outgoing
) -> None:
    bucket.begin({1: FIRST, 2: b"x" * MIN_PART_BYTES})
    sent = bucket.send(large)
    assert (sent.resumed, sent.sent) == (len(FIRST), len(SECOND) + len(THIRD))
    assert bucket.body_bytes == sent.sent
    assert bucket.content() == DATA
    assert bucket.strays() == []


def test_a_run_that_was_killed_before_the_last_step_sends_nothing_again(
    bucket: Bucket, large: Outgoing
) -> None:
    bucket.begin({1: FIRST, 2: SECOND, 3: THIRD})
    bucket.before["ListParts"] = lambda params: params.update(MaxParts=1)
    assert bucket.send(large) == Sent(present=False, resumed=SIZE)
    assert bucket.calls.count("ListParts") == 3, "every page is read"
    assert (bucket.content(), bucket.body_bytes, bucket.strays()) == (DATA, 0, [])


def test_uploads_that_cannot_be_carried_on_are_taken_away_in_the_end(bucket: Bucket, large: Outgoing) -> None:
    bucket.begin({1: FIRST}, ChecksumAlgorithm="CRC32")
    bucket.begin({})
    bucket.before["ListMultipartUploads"] = lambda params: params.update(MaxUploads=1)
    assert bucket.send(large).resumed == 0
    assert (bucket.content(), bucket.strays()) == (DATA, [])


def test_uploads_of_other_keys_are_left_alone(bucket: Bucket, large: Outgoing) -> None:
    other = bucket.plain.create_multipart_upload(Bucket="bkt", Key="key-of-another")["UploadId"]
    bucket.send(large)
    assert bucket.strays() == [other]


@pytest.mark.parametrize("operation", ["UploadPart", "CompleteMultipartUpload"])
def test_a_refused_upload_leaves_nothing(operation: str, bucket: Bucket, large: Outgoing) -> None:
    bucket.refuse[operation] = [(403, "AccessDenied")] * 9
    with pytest.raises(AccessDeniedError):
        bucket.send(large)
    assert (bucket.keys(), bucket.strays()) == ([], [])


def test_an_interrupt_leaves_nothing(bucket: Bucket, large: Outgoing) -> None:
    def interrupt(_: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    bucket.before["CompleteMultipartUpload"] = interrupt
    with pytest.raises(KeyboardInterrupt):
        bucket.send(large)
    assert (bucket.keys(), bucket.strays()) == ([], [])


@pytest.mark.parametrize("at", [0, MIN_PART_BYTES, SIZE - 1])
def test_a_file_that_changes_while_it_is_sent_is_refused_and_leaves_nothing(
    at: int, bucket: Bucket, large: Outgoing
) -> None:
    def write(_: dict[str, Any]) -> None:
        with Path(str(large.source)).open("r+b") as file:
            file.seek(at)
            file.write(bytes([DATA[at] ^ 1]))

    bucket.before["CreateMultipartUpload"] = write
    with pytest.raises(SourceChangedError, match=r"rows\.jsonl changed"):
        bucket.send(large)
    assert (bucket.keys(), bucket.strays()) == ([], [])


@pytest.mark.parametrize("size", ["small", "large"])
def test_a_file_that_grows_while_it_is_sent_is_refused_and_leaves_nothing(
    size: str, bucket: Bucket, request: pytest.FixtureRequest
) -> None:
    item: Outgoing = request.getfixturevalue(size)

    def append(_: dict[str, Any]) -> None:
        with Path(str(item.source)).open("ab") as file:
            file.write(b"{}\n")

    bucket.before["HeadObject" if size == "small" else "CreateMultipartUpload"] = append
    with pytest.raises(SourceChangedError):
        bucket.send(item)
    assert (bucket.keys(), bucket.strays()) == ([], [])


def test_a_file_that_is_not_what_its_plan_says_is_refused(bucket: Bucket, small: Outgoing) -> None:
    planned = Outgoing(small.name, small.source, small.size, "0" * 64)
    with pytest.raises(SourceChangedError):
        bucket.send(planned)
    assert bucket.keys() == []


@pytest.mark.parametrize("size", ["small", "large"])
def test_who_loses_the_race_for_a_key_finds_the_same_object_and_writes_nothing_over_it(
    size: str, bucket: Bucket, request: pytest.FixtureRequest
) -> None:
    item: Outgoing = request.getfixturevalue(size)
    body = Path(str(item.source)).read_bytes()
    metadata = {"ift-sha256": item.sha256, "who": "rival"}

    def overtake(_: dict[str, Any]) -> None:
        bucket.plain.put_object(Bucket="bkt", Key="key", Body=body, Metadata=metadata)

    bucket.before["PutObject" if size == "small" else "CompleteMultipartUpload"] = overtake
    assert not bucket.send(item).present
    assert bucket.plain.head_object(Bucket="bkt", Key="key")["Metadata"]["who"] == "rival"
    assert (bucket.content(), bucket.strays()) == (body, [])


def test_another_content_under_the_key_is_replaced_and_only_where_nobody_wrote_since(
    bucket: Bucket, small: Outgoing
) -> None:
    bucket.plain.put_object(Bucket="bkt", Key="key", Body=b"other")
    writes = iter([b"third"])

    def write_first(params: dict[str, Any]) -> None:
        assert "IfMatch" in params
        if body := next(writes, None):
            bucket.plain.put_object(Bucket="bkt", Key="key", Body=body)

    bucket.before["PutObject"] = write_first
    bucket.send(small)
    assert bucket.calls.count("PutObject") == 2, "the first was refused with 412"
    assert bucket.content() == b"{}\n"


def test_an_object_that_only_says_it_is_the_right_one_is_replaced(bucket: Bucket, small: Outgoing) -> None:
    bucket.plain.put_object(
        Bucket="bkt",
        Key="key",
        Body=b"[]\n",
        Metadata={"ift-sha256": small.sha256},
        ChecksumAlgorithm="SHA256",
    )
    assert not bucket.send(small).present
    assert bucket.content() == b"{}\n"


def test_an_upload_that_another_run_takes_away_is_begun_again(bucket: Bucket, large: Outgoing) -> None:
    bucket.before["CompleteMultipartUpload"] = _once(lambda params: _abort(bucket, params))
    bucket.send(large)
    assert (bucket.content(), bucket.strays()) == (DATA, [])


def test_a_part_that_another_run_sent_again_meanwhile_is_looked_for_again(
    bucket: Bucket, large: Outgoing
) -> None:
    bucket.refuse["CompleteMultipartUpload"] = [(400, "InvalidPart")]
    assert not bucket.send(large).present
    assert (bucket.content(), bucket.strays()) == (DATA, [])


def test_a_conflict_is_tried_again_and_one_without_end_is_told(bucket: Bucket, small: Outgoing) -> None:
    bucket.refuse["PutObject"] = [(409, "ConditionalRequestConflict")]
    bucket.send(small)
    bucket.plain.delete_object(Bucket="bkt", Key="key")
    bucket.calls.clear()
    bucket.refuse["PutObject"] = [(409, "ConditionalRequestConflict")] * 99
    with pytest.raises(ResourceInUseError, match="others keep writing"):
        bucket.send(small)
    assert bucket.calls.count("PutObject") == MAX_STARTS


def test_runs_at_once_end_in_one_object_and_all_succeed(bucket: Bucket, large: Outgoing) -> None:
    runs = [Bucket(bucket.root) for _ in range(4)]
    with ThreadPoolExecutor(len(runs)) as pool:
        sent = [each.result() for each in [pool.submit(run.send, large) for run in runs]]
    assert len(sent) == len(runs)
    assert (bucket.keys(), bucket.content(), bucket.strays()) == (["key"], DATA, [])


@pytest.mark.parametrize("size", ["small", "large"])
def test_a_key_of_ones_own_encrypts(size: str, bucket: Bucket, request: pytest.FixtureRequest) -> None:
    item = request.getfixturevalue(size)
    bucket.send(item)
    assert not bucket.send(item, kms_key=KEY_ARN).present, "without the key it is another object"
    assert bucket.send(item, kms_key=KEY_ARN).present
    found = bucket.plain.head_object(Bucket="bkt", Key="key")
    assert (found["ServerSideEncryption"], found["SSEKMSKeyId"]) == ("aws:kms", KEY_ARN)


@pytest.mark.parametrize("named", [KEY_ARN, KEY_ARN.rpartition("/")[2], "alias/mine"])
def test_a_key_may_be_named_in_each_of_its_ways(named: str, bucket: Bucket, small: Outgoing) -> None:
    bucket.send(small, kms_key=KEY_ARN)
    assert bucket.send(small, kms_key=named).present
    assert not bucket.send(small, kms_key=OTHER_ARN).present


def test_a_file_that_is_removed_while_it_is_sent_is_told_and_leaves_nothing(
    bucket: Bucket, large: Outgoing
) -> None:
    def remove(params: dict[str, Any]) -> None:
        if params["PartNumber"] == len(large.parts):
            Path(str(large.source)).unlink(missing_ok=True)

    bucket.before["UploadPart"] = remove
    with pytest.raises(ConfigError, match="cannot be sent"):
        bucket.send(large, threads=1)
    assert (bucket.keys(), bucket.strays()) == ([], [])


def test_an_upload_under_another_key_is_not_carried_on(bucket: Bucket, large: Outgoing) -> None:
    bucket.begin({1: FIRST, 2: SECOND}, ServerSideEncryption="aws:kms", SSEKMSKeyId=OTHER_ARN)
    assert bucket.send(large, kms_key=KEY_ARN).resumed == 0
    assert bucket.plain.head_object(Bucket="bkt", Key="key")["SSEKMSKeyId"] == KEY_ARN
    assert (bucket.content(), bucket.strays()) == (DATA, [])


def test_an_upload_under_the_same_key_is_carried_on(bucket: Bucket, large: Outgoing) -> None:
    bucket.begin({1: FIRST, 2: SECOND}, ServerSideEncryption="aws:kms", SSEKMSKeyId=KEY_ARN)
    assert bucket.send(large, kms_key=KEY_ARN).resumed > 0
    assert bucket.body_bytes < SIZE
    assert (bucket.content(), bucket.strays()) == (DATA, [])


def test_a_bucket_that_does_not_encrypt_as_asked_is_told(bucket: Bucket, small: Outgoing) -> None:
    bucket.before["PutObject"] = lambda params: params.update(SSEKMSKeyId=OTHER_ARN)
    with pytest.raises(RequestRejectedError, match="not what was sent"):
        bucket.send(small, kms_key=KEY_ARN)


def test_who_may_not_list_uploads_sends_nevertheless_and_is_told(bucket: Bucket, large: Outgoing) -> None:
    bucket.refuse["ListMultipartUploads"] = [(403, "AccessDenied")] * 9
    assert "s3:ListBucketMultipartUploads" in bucket.send(large).remark
    assert bucket.content() == DATA


def test_another_owner_is_refused_by_every_kind_of_call(bucket: Bucket, large: Outgoing) -> None:
    upload = ObjectUpload(bucket.s3, "999999999999", "bkt", "key", large)
    with pytest.raises(AWSError) as caught:
        upload.send()
    assert isinstance(caught.value, AccessDeniedError)


def _once(act: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, Any]], None]:
    left = [act]

    def first_time_alone(params: dict[str, Any]) -> None:
        if left:
            left.pop()(params)

    return first_time_alone


def _abort(bucket: Bucket, params: Mapping[str, Any]) -> None:
    bucket.plain.abort_multipart_upload(Bucket="bkt", Key="key", UploadId=params["UploadId"])
