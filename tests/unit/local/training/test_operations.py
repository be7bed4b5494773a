"""Training jobs through boto3: real supervisors, real programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, WaiterError

from ift_sagemaker.local.training import operations as training_jobs
from tests.unit.local.machine import BUCKET, ENDLESS, IMAGE, WORKING, LocalAWS, Settle, channel, refusal

Make = Callable[..., LocalAWS]

CAREFUL = """
def save(*_):
    (ML / "model" / "weights").write_text("saved in time")
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
print("begun", flush=True)
time.sleep(60)
"""


def test_a_job_runs_its_program_and_leaves_model_and_log(either_aws: LocalAWS) -> None:
    either_aws.train("job", WORKING)
    job = either_aws.ended("job")
    assert (job["TrainingJobStatus"], job.get("FailureReason")) == ("Completed", None)
    assert job["ModelArtifacts"] == {"S3ModelArtifacts": f"s3://{BUCKET}/out/job/output/model.tar.gz"}
    assert either_aws.members("out/job/output/model.tar.gz") == {"weights": b"learned"}
    assert either_aws.log("job")[-1] == "begun"


def test_the_statuses_are_those_that_aws_emits_today_with_times_in_order(aws: LocalAWS) -> None:
    aws.train("job", WORKING)
    job = aws.ended("job")
    transitions = job["SecondaryStatusTransitions"]
    assert [item["Status"] for item in transitions] == [
        "Starting",
        "Downloading",
        "Training",
        "Uploading",
        "Completed",
    ]
    assert all(item["StartTime"] <= item["EndTime"] for item in transitions)
    assert job["CreationTime"] <= job["TrainingStartTime"] <= job["TrainingEndTime"]
    assert job["LastModifiedTime"] == job["TrainingEndTime"]
    assert (job["TrainingTimeInSeconds"], job["BillableTimeInSeconds"]) == (1, 1)


def test_describe_gives_back_what_was_asked_for_and_nothing_private_or_empty(aws: LocalAWS) -> None:
    asked: dict[str, Any] = {
        "HyperParameters": {"epoch": "2", "note": ""},
        "Environment": {"A": "b"},
        "EnableNetworkIsolation": True,
        "Tags": [{"Key": "owner", "Value": "me"}],
    }
    aws.train("job", WORKING, **asked)
    answer = training_jobs.describe_training_job(aws.context, {"TrainingJobName": "job"})
    assert answer["HyperParameters"] == asked["HyperParameters"]
    assert answer["Environment"] == asked["Environment"]
    assert answer["EnableNetworkIsolation"] is True
    assert answer["ResourceConfig"]["InstanceType"] == "ml.m5.xlarge"
    assert answer["AlgorithmSpecification"]["TrainingImage"] == IMAGE
    assert not [name for name, value in answer.items() if name.startswith("_") or value in ({}, [], "", None)]


def test_the_program_sees_sagemakers_files_and_nothing_of_the_callers_environment(
    either_aws: LocalAWS, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "GITHUB_TOKEN", "MY_SETTING"):
        monkeypatch.setenv(name, "secret")
    rows = either_aws.put("rows/a.jsonl", "{}")
    script = """
files = {path.name: json.loads(path.read_text()) for path in (ML / "input/config").iterdir()}
data = sorted(str(path.relative_to(ML)) for path in (ML / "input/data").rglob("*") if path.is_file())
print(json.dumps({"files": files, "data": data, "environment": dict(os.environ), "argv": sys.argv[1:]}))
"""
    fast = channel("rows", rows, InputMode="FastFile", ContentType="application/jsonl")
    either_aws.train(
        "job",
        script,
        "--out=/opt/ml/model",
        HyperParameters={"epoch": "3"},
        Environment={"MINE": "1"},
        channels=[fast],
    )
    assert either_aws.ended("job")["TrainingJobStatus"] == "Completed", either_aws.log("job")
    seen = json.loads(either_aws.log("job")[-1])
    assert seen["files"]["hyperparameters.json"] == {"epoch": "3"}
    assert seen["files"]["inputdataconfig.json"]["rows"] == {
        "TrainingInputMode": "File",
        "S3DistributionType": "FullyReplicated",
        "RecordWrapperType": "None",
        "ContentType": "application/jsonl",
    }
    assert seen["files"]["resourceconfig.json"] == {
        "current_host": "algo-1",
        "current_instance_type": "ml.m5.xlarge",
        "current_group_name": "homogeneousCluster",
        "hosts": ["algo-1"],
        "instance_groups": [
            {
                "instance_group_name": "homogeneousCluster",
                "instance_type": "ml.m5.xlarge",
                "hosts": ["algo-1"],
            }
        ],
        "network_interface_name": "eth0",
    }
    assert seen["data"] == ["input/data/program/main.py", "input/data/rows/a.jsonl"]
    environment = seen["environment"]
    root = environment.get("IFT_ML_ROOT", "/opt/ml")
    assert seen["argv"] == [f"--out={root}/model"]
    assert environment["TRAINING_JOB_NAME"] == "job"
    assert environment["TRAINING_JOB_ARN"].endswith(":training-job/job")
    assert environment["AWS_REGION"] == environment["AWS_DEFAULT_REGION"] == "us-east-1"
    assert environment["MINE"] == environment["HF_HUB_OFFLINE"] == environment["PYTHONUNBUFFERED"] == "1"
    assert "secret" not in environment.values()
    assert environment["PATH"].split(":")[0] == str(Path(sys.executable).parent)


def test_the_files_of_a_failing_program_name_the_reason(aws: LocalAWS) -> None:
    aws.train("told", '(ML / "output" / "failure").write_text("boom " * 400)\nsys.exit(3)')
    aws.train("silent", "sys.exit(4)")
    reason = aws.ended("told")["FailureReason"]
    assert reason.startswith("AlgorithmError: boom boom")
    assert reason.endswith(", exit code: 3")
    assert len(reason) <= 1024
    assert aws.ended("silent")["FailureReason"] == "AlgorithmError: , exit code: 4"
    assert aws.keys("out/") == []


def test_a_killed_program_is_told_as_probably_out_of_memory(either_aws: LocalAWS) -> None:
    either_aws.train("job", "os.kill(os.getpid(), signal.SIGKILL)")
    reason = either_aws.ended("job")["FailureReason"]
    assert reason == "AlgorithmError: , exit code: 137 (killed, probably out of memory)"


@pytest.mark.parametrize("uri", [f"s3://{BUCKET}/nowhere/", "s3://no-such-bucket/rows/"])
def test_a_job_with_an_input_that_is_not_there_is_refused(uri: str, aws: LocalAWS) -> None:
    with pytest.raises(ClientError, match="No S3 objects found under S3 URL") as refused:
        aws.train("job", WORKING, channels=[channel("rows", uri)])
    assert refused.value.response["Error"]["Code"] == "ValidationException"
    assert list(aws.context.store.list("training-job")) == []


def test_an_output_bucket_that_is_not_there_fails_the_job_and_stores_nothing(aws: LocalAWS) -> None:
    aws.train("job", WORKING, OutputDataConfig={"S3OutputPath": "s3://elsewhere/out"})
    job = aws.ended("job")
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: Artifact upload failed:NoSuchBucket")


def test_an_entrypoint_that_does_not_exist_fails_the_job_with_its_name(either_aws: LocalAWS) -> None:
    either_aws.train("job", WORKING, algorithm={"ContainerEntrypoint": ["no-such-program"]})
    job = either_aws.ended("job")
    assert job["TrainingJobStatus"] == "Failed"
    assert "no-such-program" in job["FailureReason"] + "".join(either_aws.log("job")[4:])


def test_a_stopped_program_gets_sigterm_and_its_model_is_kept(either_aws: LocalAWS) -> None:
    either_aws.train("job", CAREFUL)
    either_aws.says("job", "begun")
    either_aws.sagemaker.stop_training_job(TrainingJobName="job")
    assert either_aws.job("job")["TrainingJobStatus"] in ("Stopping", "Stopped")
    job = either_aws.ended("job")
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "Stopped")
    statuses = [item["Status"] for item in job["SecondaryStatusTransitions"]]
    assert statuses[-3:] == ["Stopping", "Uploading", "Stopped"]
    assert either_aws.members("out/job/output/model.tar.gz") == {"weights": b"saved in time"}


def test_a_program_that_ignores_sigterm_is_killed_when_its_grace_is_over(make_aws: Make) -> None:
    aws = make_aws(runner="process", stop_grace_in_seconds=0.3)
    aws.train("job", "signal.signal(signal.SIGTERM, signal.SIG_IGN)" + ENDLESS)
    aws.says("job", "begun")
    aws.sagemaker.stop_training_job(TrainingJobName="job")
    job = aws.ended("job")
    assert job["TrainingJobStatus"] == "Stopped"
    assert aws.keys("out/") == []


def test_a_job_over_its_time_is_stopped_with_what_it_saved(aws: LocalAWS) -> None:
    aws.train("job", CAREFUL, StoppingCondition={"MaxRuntimeInSeconds": 1})
    job = aws.ended("job")
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
    assert aws.members("out/job/output/model.tar.gz") == {"weights": b"saved in time"}


def test_a_job_stopped_while_it_waits_never_runs(make_aws: Make) -> None:
    aws = make_aws(runner="process", job_slots=1)
    aws.train("first", ENDLESS)
    aws.says("first", "begun")
    aws.train("second", WORKING)
    assert Settle().until(lambda: aws.job("second")["SecondaryStatus"] == "Pending")
    aws.sagemaker.stop_training_job(TrainingJobName="second")
    job = aws.ended("second")
    assert job["TrainingJobStatus"] == "Stopped"
    assert "TrainingStartTime" not in job
    assert aws.log("second") == []
    assert aws.job("first")["TrainingJobStatus"] == "InProgress"


def test_jobs_take_the_one_slot_in_the_order_of_their_creation(make_aws: Make) -> None:
    aws = make_aws(runner="process", job_slots=1)
    names = ["c-job", "a-job", "b-job"]
    for name in names:
        aws.train(name, WORKING)
    jobs = [aws.ended(name) for name in names]
    for before, after in pairwise(jobs):
        assert before["TrainingEndTime"] <= after["TrainingStartTime"]


def test_names_are_unique_and_unknown_names_are_refused_in_the_words_of_aws(aws: LocalAWS) -> None:
    aws.train("job", WORKING)
    code, message = refusal(aws.sagemaker.create_training_job, **aws.request("job"))
    assert code == "ResourceInUse"
    assert message.startswith("Training job names must be unique within an AWS account and region")
    for operation in ("describe_training_job", "stop_training_job", "delete_training_job"):
        call = getattr(aws.sagemaker, operation)
        expected = ("ValidationException", "Requested resource not found.")
        assert refusal(call, TrainingJobName="other") == expected


def test_a_job_that_has_ended_cannot_be_stopped_and_one_that_runs_cannot_be_deleted(aws: LocalAWS) -> None:
    aws.train("job", CAREFUL)
    aws.says("job", "begun")
    assert refusal(aws.sagemaker.delete_training_job, TrainingJobName="job")[0] == "ResourceInUse"
    aws.sagemaker.stop_training_job(TrainingJobName="job")
    aws.ended("job")
    code, message = refusal(aws.sagemaker.stop_training_job, TrainingJobName="job")
    assert (code, "Stopped" in message) == ("ValidationException", True)
    aws.sagemaker.delete_training_job(TrainingJobName="job")
    assert aws.sagemaker.list_training_jobs()["TrainingJobSummaries"] == []


def test_the_name_of_a_deleted_job_can_be_used_again(aws: LocalAWS) -> None:
    aws.train("job", WORKING)
    aws.ended("job")
    aws.sagemaker.delete_training_job(TrainingJobName="job")
    aws.train("job", "sys.exit(9)")
    assert aws.ended("job")["FailureReason"] == "AlgorithmError: , exit code: 9"


def test_listing_pages_and_filters_through_the_client(aws: LocalAWS) -> None:
    for name in ("job-a", "job-b", "other"):
        aws.train(name, WORKING)
        aws.ended(name)
    pages = aws.sagemaker.get_paginator("list_training_jobs").paginate(
        NameContains="job", SortBy="Name", SortOrder="Descending", PaginationConfig={"PageSize": 1}
    )
    found = [item for page in pages for item in page["TrainingJobSummaries"]]
    assert [item["TrainingJobName"] for item in found] == ["job-b", "job-a"]
    assert all(item["TrainingJobStatus"] == "Completed" for item in found)


def test_boto3s_own_waiter_ends_with_the_failure_reason(aws: LocalAWS) -> None:
    aws.train("job", "sys.exit(5)")
    waiter = aws.sagemaker.get_waiter("training_job_completed_or_stopped")
    with pytest.raises(WaiterError) as caught:
        waiter.wait(TrainingJobName="job", WaiterConfig={"Delay": 1, "MaxAttempts": 8})
    assert caught.value.last_response["FailureReason"] == "AlgorithmError: , exit code: 5"


def test_uncompressed_output_is_files_under_a_prefix(aws: LocalAWS) -> None:
    script = """
(ML / "model" / "deep").mkdir()
(ML / "model" / "deep" / "weights").write_text("learned")
(ML / "output" / "data" / "rows").write_text("predicted")
"""
    output = {"S3OutputPath": f"s3://{BUCKET}/out/", "CompressionType": "NONE"}
    aws.train("job", script, OutputDataConfig=output)
    job = aws.ended("job")
    assert job["ModelArtifacts"]["S3ModelArtifacts"] == f"s3://{BUCKET}/out/job/output/model/"
    assert aws.keys("out/") == ["out/job/output/model/deep/weights", "out/job/output/output/rows"]
    assert aws.read("out/job/output/model/deep/weights") == b"learned"


def test_other_output_becomes_a_second_archive(aws: LocalAWS) -> None:
    aws.train("job", '(ML / "output/data/predictions.jsonl").write_text("{}")')
    aws.ended("job")
    assert aws.keys("out/") == ["out/job/output/model.tar.gz", "out/job/output/output.tar.gz"]
    assert aws.members("out/job/output/model.tar.gz") == {}
    assert aws.members("out/job/output/output.tar.gz") == {"predictions.jsonl": b"{}"}


def test_checkpoints_are_there_before_the_start_and_in_s3_afterwards(either_aws: LocalAWS) -> None:
    either_aws.put("checkpoints/step-1/state", "one")
    script = """
folder = ML / "checkpoints"
print((folder / "step-1" / "state").read_text())
(folder / "step-1" / "state").write_text("changed")
(folder / "step-2").mkdir()
(folder / "step-2" / "state").write_text("two")
sys.exit(1)
"""
    either_aws.train("job", script, CheckpointConfig={"S3Uri": f"s3://{BUCKET}/checkpoints"})
    assert either_aws.ended("job")["TrainingJobStatus"] == "Failed"
    assert either_aws.log("job")[-1] == "one"
    assert either_aws.read("checkpoints/step-1/state") == b"changed"
    assert either_aws.read("checkpoints/step-2/state") == b"two"


def test_final_metrics_are_the_last_values_in_the_log(aws: LocalAWS) -> None:
    script = 'print("loss=2.5")\nprint("loss=nan")\nprint("loss=0.5")\nprint("other=1")'
    definitions = [{"Name": "loss", "Regex": "loss=(\\S+)"}, {"Name": "absent", "Regex": "absent=(.*)"}]
    aws.train("job", script, algorithm={"MetricDefinitions": definitions})
    (metric,) = aws.ended("job")["FinalMetricDataList"]
    assert (metric["MetricName"], metric["Value"]) == ("loss", 0.5)


def test_metrics_are_visible_while_the_job_runs(aws: LocalAWS) -> None:
    algorithm = {"MetricDefinitions": [{"Name": "loss", "Regex": "loss=(\\S+)"}]}
    aws.train("job", 'print("loss=2.5")' + ENDLESS, algorithm=algorithm)
    found = Settle().until(lambda: aws.job("job").get("FinalMetricDataList"))
    assert found[0]["Value"] == 2.5
    assert aws.job("job")["TrainingJobStatus"] == "InProgress"


REFUSED: dict[str, dict[str, Any]] = {
    "RecordWrapperType RecordIO": {
        "channels": [
            channel("rows", f"s3://{BUCKET}/x", InputMode="Pipe", RecordWrapperType="RecordIO"),
        ]
    },
    "S3DataType AugmentedManifestFile": {
        "channels": [
            {
                "ChannelName": "rows",
                "InputMode": "Pipe",
                "DataSource": {
                    "S3DataSource": {"S3DataType": "AugmentedManifestFile", "S3Uri": f"s3://{BUCKET}/x"}
                },
            }
        ]
    },
    "CompressionType Gzip in FastFile mode": {
        "channels": [channel("rows", f"s3://{BUCKET}/x", InputMode="FastFile", CompressionType="Gzip")]
    },
    "on 2 instances: the runner process": {
        "ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 2, "VolumeSizeInGB": 1}
    },
    "on 17 instances, 16 are the most here": {
        "ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 17, "VolumeSizeInGB": 1}
    },
    "without a name of its own for each group": {
        "ResourceConfig": {
            "InstanceGroups": [
                {"InstanceGroupName": "a", "InstanceType": "ml.m5.xlarge", "InstanceCount": 1},
                {"InstanceGroupName": "a", "InstanceType": "ml.c5.xlarge", "InstanceCount": 1},
            ],
            "VolumeSizeInGB": 1,
        }
    },
    "InstanceCount beside InstanceGroups": {
        "ResourceConfig": {
            "InstanceGroups": [
                {"InstanceGroupName": "a", "InstanceType": "ml.m5.xlarge", "InstanceCount": 1},
            ],
            "InstanceCount": 1,
            "VolumeSizeInGB": 1,
        }
    },
    "LocalPath /checkpoints": {
        "CheckpointConfig": {"S3Uri": f"s3://{BUCKET}/x", "LocalPath": "/checkpoints"}
    },
    "own folders": {
        "CheckpointConfig": {"S3Uri": f"s3://{BUCKET}/x", "LocalPath": "/opt/ml/./model/checkpoints"}
    },
    "two channels of one name": {"channels": [channel("rows", f"s3://{BUCKET}/{key}") for key in "xy"]},
    "elsewhere than S3": {
        "channels": [
            {
                "ChannelName": "rows",
                "DataSource": {
                    "S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/x"},
                    "FileSystemDataSource": {
                        "FileSystemId": "fs-01234567",
                        "FileSystemAccessMode": "ro",
                        "FileSystemType": "EFS",
                        "DirectoryPath": "/x",
                    },
                },
            }
        ]
    },
    "InstanceCount None": {"ResourceConfig": {"InstanceType": "ml.m5.xlarge", "VolumeSizeInGB": 1}},
    "https:// in place of s3://": {
        "OutputDataConfig": {"S3OutputPath": f"https://s3.amazonaws.com/{BUCKET}/x"}
    },
    "TensorBoardOutputConfig": {"TensorBoardOutputConfig": {"S3OutputPath": f"s3://{BUCKET}/x"}},
    "has no local container": {"algorithm": {"ContainerEntrypoint": None}},
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_is_not_offered_yet_is_refused_by_name(aws: LocalAWS, words: str) -> None:
    request = aws.request("job", **REFUSED[words])
    algorithm = {key: value for key, value in request["AlgorithmSpecification"].items() if value is not None}
    request["AlgorithmSpecification"] = algorithm
    code, message = refusal(aws.sagemaker.create_training_job, **request)
    assert code == "UnsupportedOperation"
    assert words in message
    assert aws.sagemaker.list_training_jobs()["TrainingJobSummaries"] == []


def test_a_metric_that_python_cannot_read_is_not_offered_for_another_engine_may(aws: LocalAWS) -> None:
    regex = r"loss=(\p{N}+)"
    request = aws.request("job", algorithm={"MetricDefinitions": [{"Name": "loss", "Regex": regex}]})
    code, message = refusal(aws.sagemaker.create_training_job, **request)
    assert (code, "loss" in message) == ("UnsupportedOperation", True)
