"""Processing jobs through boto3: real supervisors, real programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from botocore.exceptions import WaiterError

from ift_sagemaker.local.processing import operations
from tests.unit.local.machine import BUCKET, ENDLESS, IMAGE, LocalAWS, Settle, refusal
from tests.unit.local.processing.jobs import (
    FOLDER,
    UPPER,
    ended,
    job,
    log,
    output,
    process,
    request,
    says,
    source,
    whole_log,
)

Make = Callable[..., LocalAWS]

CAREFUL = """
def save(*_):
    (OUT / "late.txt").write_text("saved in time")
    (ML / "output/message").write_text("asked to stop")
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
print("begun", flush=True)
time.sleep(60)
"""


def test_a_job_reads_its_inputs_and_its_outputs_are_in_s3(either_aws: LocalAWS) -> None:
    rows = either_aws.put("rows/a.txt", "one")
    either_aws.put("rows/deep/b.txt", "two")
    process(either_aws, "job", UPPER, inputs=[source("rows", rows.removesuffix("a.txt"))])
    done = ended(either_aws)
    assert (done["ProcessingJobStatus"], done.get("FailureReason")) == ("Completed", None), log(either_aws)
    assert either_aws.keys("out/") == ["out/a.txt", "out/b.txt"]
    assert either_aws.read("out/b.txt") == b"TWO"
    assert log(either_aws) == ["read a.txt", "read b.txt"]
    assert done["CreationTime"] <= done["ProcessingStartTime"] <= done["ProcessingEndTime"]
    assert done["LastModifiedTime"] == done["ProcessingEndTime"]


def test_the_log_is_where_processing_jobs_log_on_aws(aws: LocalAWS) -> None:
    process(aws, "job", 'print("hello")', hosts=2)
    created = int(ended(aws)["CreationTime"].timestamp())
    streams = aws.logs.describe_log_streams(logGroupName="/aws/sagemaker/ProcessingJobs")["logStreams"]
    names = sorted(stream["logStreamName"] for stream in streams)
    assert names == [f"job/algo-1-{created}", f"job/algo-2-{created}"]


def test_the_program_sees_the_files_that_aws_writes_and_the_environment_asked_for(
    either_aws: LocalAWS, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    script = """
files = {path.name: json.loads(path.read_text()) for path in (ML / "config").iterdir()}
print(json.dumps({"files": files, "environment": dict(os.environ), "argv": sys.argv[1:], "ml": str(ML)}))
"""
    process(either_aws, "job", script, "--to=/opt/ml/processing/out", Environment={"MINE": "1"})
    done = ended(either_aws)
    assert done["ProcessingJobStatus"] == "Completed", log(either_aws)
    seen = json.loads(log(either_aws)[-1])
    asked = request("job", "--to=/opt/ml/processing/out", Environment={"MINE": "1"})
    (code,) = asked["ProcessingInputs"]
    code["S3Input"] |= {
        "S3DataDistributionType": "FullyReplicated",
        "S3CompressionType": "None",
        "S3DownloadMode": "StartOfJob",
    }
    cluster = asked["ProcessingResources"]["ClusterConfig"]
    assert seen["files"] == {
        "processingjobconfig.json": {
            "ProcessingJobArn": done["ProcessingJobArn"],
            "ProcessingJobName": "job",
            "AppSpecification": asked["AppSpecification"],
            "Environment": {"MINE": "1"},
            "ProcessingInputs": [code],
            "ProcessingOutputConfig": {**asked["ProcessingOutputConfig"], "KmsKeyId": None},
            "ProcessingResources": {"ClusterConfig": {**cluster, "VolumeKmsKeyId": None}},
            "RoleArn": asked["RoleArn"],
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        },
        "resourceconfig.json": {"current_host": "algo-1", "hosts": ["algo-1"]},
    }
    assert seen["argv"] == [f"--to={seen['ml']}/processing/out"]
    assert seen["environment"]["MINE"] == "1"
    assert seen["environment"]["AWS_REGION"] == "us-east-1"
    assert "secret" not in seen["environment"].values()


def test_describe_gives_back_what_was_asked_for_and_nothing_private_or_empty(aws: LocalAWS) -> None:
    network = {
        "EnableNetworkIsolation": True,
        "VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]},
    }
    tags = [{"Key": "owner", "Value": "me"}]
    process(
        aws, "job", "pass", NetworkConfig=network, Tags=tags, StoppingCondition={"MaxRuntimeInSeconds": 9}
    )
    answer = operations.describe_processing_job(aws.context, {"ProcessingJobName": "job"})
    asked = request("job")
    assert answer["NetworkConfig"] == network
    for field in ("ProcessingInputs", "ProcessingOutputConfig", "ProcessingResources", "AppSpecification"):
        assert answer[field] == asked[field]
    assert answer["StoppingCondition"] == {"MaxRuntimeInSeconds": 9}
    assert not [name for name, value in answer.items() if name.startswith("_") or value in ({}, [], "", None)]
    ended(aws)


def test_tags_tell_what_ran_in_place_of_the_image_and_can_be_changed(aws: LocalAWS) -> None:
    process(aws, "job", "pass", Tags=[{"Key": "owner", "Value": "me"}])
    arn = ended(aws)["ProcessingJobArn"]
    assert arn.endswith(":processing-job/job")
    aws.sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "owner", "Value": "you"}])
    tags = {tag["Key"]: tag["Value"] for tag in aws.sagemaker.list_tags(ResourceArn=arn)["Tags"]}
    assert tags["owner"] == "you"
    assert tags["ift:local-runner"] == "process"
    assert tags["ift:executed-image"].startswith("ift-local/python:")
    assert IMAGE in whole_log(aws)[0]


def test_a_program_that_fails_fails_the_job_with_its_own_message(aws: LocalAWS) -> None:
    script = '(OUT / "half.txt").write_text("x")\n(ML / "output/message").write_text("no rows")\nsys.exit(3)'
    process(aws, "job", script)
    done = ended(aws)
    assert done["ProcessingJobStatus"] == "Failed"
    assert done["FailureReason"] == "AlgorithmError: See job logs for more information"
    assert done["ExitMessage"] == "no rows"
    assert log(aws)[-1] == "ift-local: the program of algo-1 ended with exit code 3"
    assert aws.keys("out/") == []


def test_the_exit_message_is_the_first_kilobyte_and_whole_characters(aws: LocalAWS) -> None:
    process(aws, "job", '(ML / "output/message").write_text("x" + "ä" * 2000, "utf-8")')
    done = ended(aws)
    assert (done["ProcessingJobStatus"], done["ExitMessage"]) == ("Completed", "x" + "ä" * 511)


def test_an_exit_message_that_is_not_utf_8_fails_the_job_as_on_aws(aws: LocalAWS) -> None:
    process(aws, "job", '(ML / "output/message").write_bytes(b"caf\\xe9")')
    done = ended(aws)
    assert done["ProcessingJobStatus"] == "Failed"
    assert done["FailureReason"] == "ClientError: /opt/ml/output/message of algo-1 is not UTF-8"
    assert "ExitMessage" not in done


def test_a_continuous_output_is_in_s3_while_the_job_runs_and_stays_where_it_fails(aws: LocalAWS) -> None:
    script = """
(OUT / "early.txt").write_text("early")
print("begun", flush=True)
while not (ROWS / "go.txt").exists(): time.sleep(0.02)
(OUT / "late.txt").write_text("late")
sys.exit(1)
"""
    process(aws, "job", script, outputs=[output(mode="Continuous"), output("rows", "Continuous")])
    says(aws, "begun")
    assert Settle().until(lambda: aws.keys("out/") == ["out/early.txt"])
    assert job(aws)["ProcessingJobStatus"] == "InProgress"
    (aws.root / "processing/job/algo-1/opt/ml/processing/rows/go.txt").touch()
    assert ended(aws)["ProcessingJobStatus"] == "Failed"
    assert aws.read("out/late.txt") == b"late"


def test_a_stopped_program_gets_sigterm_and_only_continuous_outputs_are_kept(either_aws: LocalAWS) -> None:
    also = output("more", "Continuous", LocalPath=f"{FOLDER}/out")
    process(either_aws, "job", CAREFUL, outputs=[output(), also])
    says(either_aws, "begun")
    either_aws.sagemaker.stop_processing_job(ProcessingJobName="job")
    assert job(either_aws)["ProcessingJobStatus"] in ("Stopping", "Stopped")
    done = ended(either_aws)
    assert (done["ProcessingJobStatus"], done["ExitMessage"]) == ("Stopped", "asked to stop")
    assert "FailureReason" not in done
    assert either_aws.keys("out/") == []
    assert either_aws.read("more/late.txt") == b"saved in time"


def test_a_program_that_ignores_sigterm_is_killed_when_its_grace_is_over(make_aws: Make) -> None:
    aws = make_aws(runner="process", stop_grace_in_seconds=0.3)
    process(aws, "job", "signal.signal(signal.SIGTERM, signal.SIG_IGN)" + ENDLESS)
    says(aws, "begun")
    aws.sagemaker.stop_processing_job(ProcessingJobName="job")
    assert ended(aws)["ProcessingJobStatus"] == "Stopped"


def test_a_job_over_its_time_is_stopped(aws: LocalAWS) -> None:
    process(aws, "job", CAREFUL, StoppingCondition={"MaxRuntimeInSeconds": 1})
    assert ended(aws)["ProcessingJobStatus"] == "Stopped"


def test_jobs_wait_for_the_one_slot_in_turn_and_one_stopped_there_never_starts(make_aws: Make) -> None:
    aws = make_aws(runner="process", job_slots=1)
    process(aws, "first", 'print("begun", flush=True)\ntime.sleep(0.3)')
    says(aws, "begun", "first")
    for name in ("stopped", "next"):
        process(aws, name, "pass")
    aws.sagemaker.stop_processing_job(ProcessingJobName="stopped")
    done = {name: ended(aws, name) for name in ("first", "stopped", "next")}
    assert done["stopped"]["ProcessingJobStatus"] == "Stopped"
    assert "ProcessingStartTime" not in done["stopped"]
    for before, after in pairwise((done["first"], done["next"])):
        assert before["ProcessingEndTime"] <= after["ProcessingStartTime"]


def test_names_are_unique_and_unknown_names_are_refused_in_the_words_of_aws(aws: LocalAWS) -> None:
    process(aws, "job", "pass")
    code, message = refusal(aws.sagemaker.create_processing_job, **request("job"))
    assert code == "ResourceInUse"
    assert message.startswith("Job name must be unique within an AWS account and region")
    for operation in ("describe_processing_job", "stop_processing_job", "delete_processing_job"):
        call = getattr(aws.sagemaker, operation)
        expected = ("ValidationException", "Could not find requested job with name: other")
        assert refusal(call, ProcessingJobName="other") == expected
    ended(aws)


def test_a_job_that_has_ended_cannot_be_stopped_and_one_that_runs_cannot_be_deleted(aws: LocalAWS) -> None:
    process(aws, "job", CAREFUL)
    says(aws, "begun")
    assert refusal(aws.sagemaker.delete_processing_job, ProcessingJobName="job")[0] == "ResourceInUse"
    aws.sagemaker.stop_processing_job(ProcessingJobName="job")
    ended(aws)
    code, message = refusal(aws.sagemaker.stop_processing_job, ProcessingJobName="job")
    assert (code, "Stopped" in message) == ("ValidationException", True)
    aws.sagemaker.delete_processing_job(ProcessingJobName="job")
    assert aws.sagemaker.list_processing_jobs()["ProcessingJobSummaries"] == []
    process(aws, "job", "pass")
    assert ended(aws)["ProcessingJobStatus"] == "Completed"


def test_listing_pages_and_filters_through_the_client(aws: LocalAWS) -> None:
    for name, script in (("job-a", "pass"), ("job-b", "sys.exit(1)"), ("job-c", "pass"), ("other", "pass")):
        process(aws, name, script)
        ended(aws, name)
    pages = aws.sagemaker.get_paginator("list_processing_jobs").paginate(
        NameContains="job", StatusEquals="Completed", SortBy="Name", PaginationConfig={"PageSize": 1}
    )
    found = [item for page in pages for item in page["ProcessingJobSummaries"]]
    assert [item["ProcessingJobName"] for item in found] == ["job-a", "job-c"]
    assert aws.sagemaker.list_training_jobs()["TrainingJobSummaries"] == []


def test_boto3s_own_waiter_sees_the_end_and_the_failure(aws: LocalAWS) -> None:
    process(aws, "good", "pass")
    process(aws, "bad", "sys.exit(1)")
    waiter = aws.sagemaker.get_waiter("processing_job_completed_or_stopped")
    patience = {"Delay": 1, "MaxAttempts": 10}
    waiter.wait(ProcessingJobName="good", WaiterConfig=patience)
    with pytest.raises(WaiterError) as caught:
        waiter.wait(ProcessingJobName="bad", WaiterConfig=patience)
    assert caught.value.last_response["FailureReason"].startswith("AlgorithmError")


def test_an_image_with_a_command_of_the_users_own_runs_without_an_entrypoint(aws: LocalAWS) -> None:
    rows = [{"image": "*/mine:*", "command": ["python3", f"{FOLDER}/code/main.py"]}]
    (aws.root / "images.json").write_text(json.dumps(rows))
    program = {"ImageUri": "registry.example/mine:1", "ContainerArguments": ["a"]}
    process(aws, "job", "print(sys.argv[1:])", AppSpecification=program)
    assert ended(aws)["ProcessingJobStatus"] == "Completed", log(aws)
    assert log(aws) == ["['a']"]


def _source(**changes: Any) -> dict[str, Any]:
    return {"inputs": [source("rows", f"s3://{BUCKET}/x", **changes)]}


def _cluster(**changes: Any) -> dict[str, Any]:
    return {"ProcessingResources": {"ClusterConfig": {"VolumeSizeInGB": 1, **changes}}}


_DATASET = {"DatasetDefinition": {"LocalPath": f"{FOLDER}/rows"}}
_STORE = {"FeatureStoreOutput": {"FeatureGroupName": "group"}, "AppManaged": True}
REFUSED: dict[str, dict[str, Any]] = {
    "S3InputMode Pipe": _source(S3InputMode="Pipe"),
    "which leads upwards": _source(LocalPath=f"{FOLDER}/../../etc"),
    "https:// in place of s3://": _source(S3Uri=f"https://s3.amazonaws.com/{BUCKET}/x"),
    "DatasetDefinition": {"inputs": [{"InputName": "rows", **_DATASET}]},
    "FeatureStoreOutput": {"outputs": [{"OutputName": "features", **_STORE}]},
    "two outputs of one name": {"outputs": [output(), output(LocalPath=f"{FOLDER}/other")]},
    "InstancePreferences": _cluster(InstancePreferences=[{"InstanceType": "ml.m5.xlarge"}], InstanceCount=1),
    "without ClusterConfig.InstanceType": _cluster(InstanceCount=1),
    "has no local container": {"AppSpecification": {"ImageUri": "registry.example/mine:1"}},
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_is_not_offered_yet_is_refused_by_name(aws: LocalAWS, words: str) -> None:
    code, message = refusal(aws.sagemaker.create_processing_job, **request("job", **REFUSED[words]))
    assert code == "UnsupportedOperation"
    assert words in message
    assert aws.sagemaker.list_processing_jobs()["ProcessingJobSummaries"] == []


def test_a_request_that_breaks_a_rule_of_aws_is_refused_as_there(aws: LocalAWS) -> None:
    code, message = refusal(
        aws.sagemaker.create_processing_job, **request("job", **_source(LocalPath="/opt/ml/rows"))
    )
    assert (code, "[processing.local-path]" in message) == ("ValidationException", True)
