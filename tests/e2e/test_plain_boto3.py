"""Clients that we did not write: boto3's own waiters and paginators run the same chain."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, WaiterError

from ift_sagemaker import local
from ift_sagemaker.data import InstructionDataset
from ift_sagemaker.plan.plans import JobPlan
from ift_sagemaker.session import Session
from tests.e2e.conftest import MODEL, QUICK, soon

SOON = {"Delay": 1, "MaxAttempts": 120}


def _once_seen(create: Callable[..., Any], **request: Any) -> None:
    """Creates what needs something made just before, which AWS may not see yet: it advises to ask again.

    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateEndpoint.html
    """
    deadline = time.monotonic() + 30
    while True:
        try:
            create(**request)
        except ClientError as error:
            if "Could not find" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return


def _log(logs: Any, job: str) -> list[str]:
    """The lines that a job's only stream shows so far."""
    group = {"logGroupName": "/aws/sagemaker/TrainingJobs"}
    (stream,) = logs.describe_log_streams(**group, logStreamNamePrefix=f"{job}/")["logStreams"]
    found = logs.get_log_events(**group, logStreamName=stream["logStreamName"], startFromHead=True)
    return [event["message"] for event in found["events"]]


def _planned(session: Session, rows: InstructionDataset) -> JobPlan:
    plan = session.plan(MODEL, rows, hyperparameters=QUICK)
    assert isinstance(plan, JobPlan)
    return plan


def test_boto3_alone_runs_the_chain(session: Session, rows: InstructionDataset, tmp_path: Path) -> None:
    plan = _planned(session, rows)
    boto = local.boto3_session()
    s3, sagemaker, runtime = boto.client("s3"), boto.client("sagemaker"), boto.client("sagemaker-runtime")

    s3.create_bucket(Bucket=plan.place.bucket)
    for upload in plan.uploads:
        body = upload.source if isinstance(upload.source, bytes) else upload.source.read_bytes()
        s3.put_object(Bucket=plan.place.bucket, Key=upload.key, Body=body)
    sagemaker.create_training_job(**plan.request)
    name = plan.name
    waiter = sagemaker.get_waiter("training_job_completed_or_stopped")
    waiter.wait(TrainingJobName=name, WaiterConfig=SOON)
    job = sagemaker.describe_training_job(TrainingJobName=name)
    artifact = job["ModelArtifacts"]["S3ModelArtifacts"]
    bucket, _, key = artifact.removeprefix("s3://").partition("/")
    s3.download_file(bucket, key, str(tmp_path / "model.tar.gz"))

    pages = sagemaker.get_paginator("list_training_jobs").paginate(NameContains="ift-", MaxResults=1)
    assert [found["TrainingJobName"] for page in pages for found in page["TrainingJobSummaries"]] == [name]
    objects = s3.get_paginator("list_objects_v2").paginate(
        Bucket=plan.place.bucket, Prefix="ift/", PaginationConfig={"PageSize": 2}
    )
    keys = [found["Key"] for page in objects for found in page["Contents"]]
    assert {upload.key for upload in plan.uploads} < set(keys)
    soon(lambda: any("ift_metrics" in line for line in _log(boto.client("logs"), name)))
    assert boto.client("sts").get_caller_identity()["Account"] == plan.place.account

    deployment = session.training_job(name).plan_deployment()
    sagemaker.create_model(**deployment.create_model)
    _once_seen(sagemaker.create_endpoint_config, **deployment.create_endpoint_config)
    _once_seen(sagemaker.create_endpoint, **deployment.create_endpoint)
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=name, WaiterConfig=SOON)
    for question in (
        {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 2, "temperature": 0},
        {"inputs": "hi", "parameters": {"max_new_tokens": 2}},
    ):
        answer = runtime.invoke_endpoint(
            EndpointName=name, Body=json.dumps(question), ContentType="application/json"
        )
        assert answer["InvokedProductionVariant"] == "AllTraffic"
        json.loads(answer["Body"].read())
    with pytest.raises(ClientError) as refused:
        runtime.invoke_endpoint(EndpointName=name, Body=b"not json", ContentType="application/json")
    assert refused.value.response["Error"]["Code"] == "ModelError"
    assert refused.value.response["OriginalStatusCode"] == 400

    sagemaker.delete_endpoint(EndpointName=name)
    sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=name, WaiterConfig=SOON)
    sagemaker.delete_endpoint_config(EndpointConfigName=deployment.create_endpoint["EndpointConfigName"])
    sagemaker.delete_model(ModelName=deployment.create_model["ModelName"])


def test_a_failed_job_ends_boto3s_waiter_with_its_reason(session: Session, rows: InstructionDataset) -> None:
    job = session.fine_tune(MODEL, rows, hyperparameters={**QUICK, "max_input_length": 16})
    waiter = local.boto3_session().client("sagemaker").get_waiter("training_job_completed_or_stopped")
    with pytest.raises(WaiterError):
        waiter.wait(TrainingJobName=job.name, WaiterConfig=SOON)
    assert "max_input_length" in job.refresh().description["FailureReason"]


def test_what_is_not_offered_is_refused_by_name(root: Path) -> None:
    boto = local.boto3_session()
    with pytest.raises(ClientError, match="CreateHub"):
        boto.client("sagemaker").create_hub(HubName="own", HubDescription="mine")
    with pytest.raises(ClientError, match="ListFoundationModels"):
        boto.client("bedrock").list_foundation_models()
