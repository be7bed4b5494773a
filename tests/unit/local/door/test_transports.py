"""What no transport may change: S3, SageMaker and STS, in process and over HTTP."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ift_sagemaker.local.state.settings import ROLE_ARN
from tests.unit.local.machine import IMAGE, channel, refusal

Connect = Callable[[str], Any]


@pytest.fixture
def s3(either_transport: Connect) -> Any:
    client = either_transport("s3")
    client.create_bucket(Bucket="bkt")
    return client


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA256", None])
@pytest.mark.parametrize("size", [0, 1, 70_000, 2_000_003])
def test_a_body_of_any_size_and_checksum_arrives_unchanged(s3: Any, size: int, algorithm: str | None) -> None:
    content = os.urandom(size)
    chosen = {"ChecksumAlgorithm": algorithm} if algorithm else {}
    s3.put_object(Bucket="bkt", Key="k", Body=io.BytesIO(content), **chosen)
    found = s3.get_object(Bucket="bkt", Key="k", ChecksumMode="ENABLED")
    assert found["Body"].read() == content


def test_keys_metadata_and_ranges_are_the_same(s3: Any) -> None:
    key = "a b/ü+%25//c?d#e"
    s3.put_object(Bucket="bkt", Key=key, Body=b"0123456789", Metadata={"a-b": "c d"}, ContentType="text/x")
    found = s3.get_object(Bucket="bkt", Key=key, Range="bytes=-3")
    assert (found["Body"].read(), found["ContentRange"]) == (b"789", "bytes 7-9/10")
    assert (found["Metadata"], found["ContentType"]) == ({"a-b": "c d"}, "text/x")
    assert [item["Key"] for item in s3.list_objects_v2(Bucket="bkt")["Contents"]] == [key]


def test_refusals_are_the_same_modelled_errors(s3: Any) -> None:
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.get_object(Bucket="bkt", Key="nothing")
    assert refusal(s3.head_object, Bucket="bkt", Key="nothing")[0] == "404"
    with pytest.raises(ClientError, match="BadDigest"):
        s3.put_object(Bucket="bkt", Key="k", Body=b"x", ChecksumCRC32="AAAAAA==")
    assert refusal(s3.get_object, Bucket="bkt", Key="k")[0] == "NoSuchKey"
    assert refusal(s3.get_bucket_policy, Bucket="bkt")[0] == "NotImplemented"


def test_nothing_modified_is_told_without_a_body(s3: Any) -> None:
    tag = s3.put_object(Bucket="bkt", Key="k", Body=b"x")["ETag"]
    assert refusal(s3.get_object, Bucket="bkt", Key="k", IfNoneMatch=tag)[0] == "304"


def test_a_job_is_created_described_listed_waited_for_and_logged(either_transport: Connect, s3: Any) -> None:
    sagemaker, logs = either_transport("sagemaker"), either_transport("logs")
    s3.put_object(Bucket="bkt", Key="program/main.py", Body=b"print('ran', flush=True)")
    sagemaker.create_training_job(
        TrainingJobName="job",
        RoleArn=ROLE_ARN,
        AlgorithmSpecification={
            "TrainingImage": IMAGE,
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["python3", "/opt/ml/input/data/program/main.py"],
        },
        InputDataConfig=[channel("program", "s3://bkt/program/")],
        OutputDataConfig={"S3OutputPath": "s3://bkt/out"},
        ResourceConfig={"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 10},
        StoppingCondition={"MaxRuntimeInSeconds": 60},
    )
    waiter = sagemaker.get_waiter("training_job_completed_or_stopped")
    waiter.wait(TrainingJobName="job", WaiterConfig={"Delay": 0.1, "MaxAttempts": 300})
    assert sagemaker.describe_training_job(TrainingJobName="job")["TrainingJobStatus"] == "Completed"
    (summary,) = sagemaker.list_training_jobs(NameContains="JO")["TrainingJobSummaries"]
    assert summary["TrainingJobName"] == "job"
    pages = logs.get_paginator("filter_log_events").paginate(
        logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix="job/"
    )
    assert "ran" in [event["message"] for page in pages for event in page["events"]]


def test_the_caller_is_told_who_he_is(either_transport: Connect) -> None:
    assert either_transport("sts").get_caller_identity()["Arn"] == "arn:aws:iam::123456789012:root"
