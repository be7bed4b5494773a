"""The handle of a training job."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ift_sagemaker.errors import (
    AccessDeniedError,
    ConfigError,
    CredentialsError,
    JobError,
    ResourceNotFoundError,
    StorageError,
    TrainingJobFailed,
    TrainingJobStopped,
    UnsupportedError,
    WaitTimeout,
)
from ift_sagemaker.training import Progress, TrainingJob
from tests.unit.handles.fakes import Clock, FakeAWS, archive

NAME = "ift-m-0123456789ab"


@pytest.fixture
def aws() -> FakeAWS:
    fake = FakeAWS()
    fake.jobs[NAME] = {
        "TrainingJobName": NAME,
        "TrainingJobArn": f"arn:{NAME}",
        "TrainingJobStatus": "InProgress",
        "SecondaryStatus": "Training",
        "RoleArn": "arn:aws:iam::123456789012:role/r",
        "OutputDataConfig": {"S3OutputPath": "s3://b/ift/jobs"},
        "ResourceConfig": {"InstanceType": "ml.g5.xlarge", "InstanceCount": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
        "Environment": {"IFT_MODEL_ID": "smollm2-135m-instruct"},
        "EnableNetworkIsolation": True,
        "InputDataConfig": [
            {"ChannelName": "model", "DataSource": {"S3DataSource": {"S3Uri": "s3://b/ift/weights/x/"}}}
        ],
    }
    return fake


def _job(aws: FakeAWS, clock: Clock | None = None) -> TrainingJob:
    return TrainingJob(NAME, aws, (clock or Clock()).patience())  # type: ignore[arg-type]


def _ends(aws: FakeAWS, status: str, looks: int = 2, **fields: Any) -> None:
    seen = [0]

    def on_describe(job: dict[str, Any]) -> None:
        seen[0] += 1
        if seen[0] > looks:
            job.update(TrainingJobStatus=status, SecondaryStatus=status, **fields)

    aws.on_describe = on_describe


def test_waiting_ends_when_the_job_is_completed_and_reports_each_look(aws: FakeAWS) -> None:
    _ends(aws, "Completed")
    aws.logs = [["a"], [], ["b"]]
    clock, looks = Clock(), list[Progress]()
    assert _job(aws, clock).wait(on_progress=looks.append).status == "Completed"
    assert [look.status for look in looks] == ["InProgress", "InProgress", "InProgress", "Completed"]
    assert [line.message for look in looks for line in look.lines] == ["a", "b"]
    assert clock.now == 30, "one more look, since the log lags behind the job"


def test_a_log_that_may_not_be_read_does_not_end_the_wait(aws: FakeAWS) -> None:
    _ends(aws, "Completed")
    aws.log_error = AccessDeniedError("logs:DescribeLogStreams")
    looks = list[Progress]()
    assert _job(aws).wait(on_progress=looks.append).status == "Completed"
    told = [line.message for look in looks for line in look.lines]
    assert len(told) == 1
    assert "DescribeLogStreams" in told[0]


@pytest.mark.parametrize("where", ["description", "log"])
def test_credentials_that_end_say_that_the_job_goes_on_and_how_to_return(aws: FakeAWS, where: str) -> None:
    ended = CredentialsError("DescribeTrainingJob: expired", code="ExpiredTokenException")

    def refuse(_: dict[str, Any]) -> None:
        raise ended

    if where == "log":
        aws.log_error = ended
    else:
        aws.on_describe = refuse
    with pytest.raises(CredentialsError) as caught:
        _job(aws).wait(on_progress=list[Progress]().append)
    assert caught.value.code == "ExpiredTokenException"
    for text in ("expired", f"Training job {NAME} goes on", f"ift jobs wait {NAME}", "session.training_job("):
        assert text in str(caught.value)


def test_lines_that_come_long_after_the_jobs_end_are_waited_for(aws: FakeAWS) -> None:
    _ends(aws, "Completed", looks=0)
    aws.logs = [[], ["a"], [], ["b"]]
    looks, clock = list[Progress](), Clock()
    patience = replace(clock.patience(), interval_in_seconds=1.0, late_log_in_seconds=2.0)
    TrainingJob(NAME, aws, patience).wait(on_progress=looks.append)  # type: ignore[arg-type]
    assert [line.message for look in looks for line in look.lines] == ["a", "b"]
    assert clock.now == 5, "over after two silent seconds"


def test_a_log_that_never_falls_silent_does_not_hold_the_wait(aws: FakeAWS) -> None:
    _ends(aws, "Completed", looks=0)
    aws.logs = [["again"]] * 1000
    clock = Clock()
    assert _job(aws, clock).wait().status == "Completed"
    assert clock.now < 100


def test_lines_that_trickle_in_after_the_jobs_end_are_all_read_however_often_one_looks(aws: FakeAWS) -> None:
    _ends(aws, "Completed", looks=0)
    aws.logs = [[f"line {n}"] for n in range(18)]
    looks, clock = list[Progress](), Clock()
    patience = replace(clock.patience(), interval_in_seconds=0.1, late_log_in_seconds=2.0)
    TrainingJob(NAME, aws, patience).wait(on_progress=looks.append)  # type: ignore[arg-type]
    assert sum(len(look.lines) for look in looks) == 18


@pytest.mark.parametrize(("age", "lines"), [(0.0, ["a", "b"]), (60.0, ["a"])])
def test_the_log_of_a_job_that_has_just_ended_is_waited_for_and_an_old_one_is_not(
    aws: FakeAWS, age: float, lines: list[str]
) -> None:
    ended = datetime(2026, 1, 1, tzinfo=UTC)
    aws.jobs[NAME].update(TrainingJobStatus="Completed", TrainingEndTime=ended)
    aws.logs = [["a"], ["b"]]
    clock = Clock()
    patience = replace(clock.patience(), now=lambda: ended.timestamp() + age + clock.now)
    job = TrainingJob(NAME, aws, patience)  # type: ignore[arg-type]
    assert [line.message for line in job.logs()] == lines
    assert clock.now == (20 if age == 0 else 0)


def test_a_job_that_was_just_made_is_looked_for_until_it_is_seen(aws: FakeAWS) -> None:
    clock, job = Clock(), aws.jobs.pop(NAME)
    clock.on_sleep = lambda: aws.jobs.update({NAME: job}) if clock.now >= 20 else None
    made = TrainingJob(NAME, aws, clock.patience(), made=True)  # type: ignore[arg-type]
    assert made.refresh().status == "InProgress"
    assert clock.now == 20


def test_a_failed_job_raises_its_reason_and_last_lines(aws: FakeAWS) -> None:
    _ends(aws, "Failed", FailureReason="AlgorithmError: boom")
    aws.logs = [[f"line {n}" for n in range(50)]]
    with pytest.raises(TrainingJobFailed, match="boom") as caught:
        _job(aws).wait()
    assert caught.value.failure_reason == "AlgorithmError: boom"
    assert caught.value.log_tail == tuple(f"line {n}" for n in range(30, 50))


def test_a_stopped_job_is_no_success(aws: FakeAWS) -> None:
    _ends(aws, "Stopped")
    with pytest.raises(TrainingJobStopped, match="unfinished"):
        _job(aws).wait()


def test_a_wait_that_times_out_leaves_the_job_alone(aws: FakeAWS) -> None:
    with pytest.raises(WaitTimeout) as caught:
        _job(aws).wait(timeout=25)
    assert caught.value.seconds == 30
    assert aws.calls == []


def test_an_unknown_name_is_not_found(aws: FakeAWS) -> None:
    with pytest.raises(ResourceNotFoundError):
        TrainingJob("nobody", aws, Clock().patience()).refresh()  # type: ignore[arg-type]


def test_stopping_asks_once_and_leaves_an_ended_job_as_it_is(aws: FakeAWS) -> None:
    assert _job(aws).stop().status == "Stopping"
    aws.jobs[NAME]["TrainingJobStatus"] = "Completed"
    assert _job(aws).stop().status == "Completed"
    assert aws.calls == [f"StopTrainingJob {NAME}"]


def test_metrics_are_a_table_of_the_metric_lines(aws: FakeAWS) -> None:
    aws.logs = [["hello", "ift_metrics step=1 train_loss=2.5", "ift_metrics step=2 train_loss=1.5"]]
    frame = _job(aws).metrics()
    assert frame["train_loss"].tolist() == [2.5, 1.5]
    assert str(frame["timestamp"].dtype).endswith("UTC]")


def test_the_log_can_be_followed_to_the_end(aws: FakeAWS) -> None:
    _ends(aws, "Completed")
    aws.logs = [["a"], ["b"], ["c"]]
    assert [line.message for line in _job(aws).logs(follow=True)] == ["a", "b", "c"]


def test_what_really_ran_is_told(aws: FakeAWS) -> None:
    assert _job(aws).executed == {"executed-image": "process"}


def _completed(aws: FakeAWS) -> None:
    uri = f"s3://b/ift/jobs/{NAME}/output/model.tar.gz"
    aws.jobs[NAME].update(TrainingJobStatus="Completed", ModelArtifacts={"S3ModelArtifacts": uri})
    aws.objects.content[uri] = (archive({"config.json": b"{}"}), "")


def test_the_model_is_unpacked_into_a_folder(aws: FakeAWS, tmp_path: Path) -> None:
    _completed(aws)
    folder = _job(aws).download(tmp_path / "model")
    assert [path.name for path in folder.iterdir()] == ["config.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_folder_with_content_is_not_overwritten(aws: FakeAWS, tmp_path: Path) -> None:
    _completed(aws)
    (tmp_path / "mine").write_text("keep")
    with pytest.raises(StorageError, match="not empty"):
        _job(aws).download(tmp_path)
    assert (tmp_path / "mine").read_text() == "keep"


def test_a_job_without_a_model_says_so(aws: FakeAWS, tmp_path: Path) -> None:
    with pytest.raises(JobError, match="left no model"):
        _job(aws).download(tmp_path / "model")


def test_an_unfinished_job_is_not_deployed_unless_told(aws: FakeAWS) -> None:
    with pytest.raises(JobError, match="no finished model"):
        _job(aws).deploy()
    _completed(aws)
    aws.jobs[NAME]["TrainingJobStatus"] = "Stopped"
    with pytest.raises(JobError, match="allow_unfinished"):
        _job(aws).deploy()
    assert aws.calls == []
    _job(aws).deploy(allow_unfinished=True, wait=False)
    assert aws.calls[-1] == f"CreateEndpoint {NAME}"


def test_an_adapter_without_its_base_is_not_deployed(aws: FakeAWS) -> None:
    _completed(aws)
    aws.jobs[NAME]["HyperParameters"] = {"peft_type": "lora", "merge_weights": "False"}
    with pytest.raises(UnsupportedError, match="merge_weights"):
        _job(aws).deploy()


def test_an_evaluation_is_not_deployed(aws: FakeAWS) -> None:
    _completed(aws)
    aws.jobs[NAME]["AlgorithmSpecification"] = {"ContainerArguments": ["evaluate"]}
    with pytest.raises(ConfigError, match="evaluation"):
        _job(aws).deploy()


def test_an_endpoint_has_a_name_by_which_it_is_found_again(aws: FakeAWS) -> None:
    _completed(aws)
    with pytest.raises(ConfigError, match="ift-"):
        _job(aws).plan_deployment(endpoint_name="mine")


def test_a_deployment_stays_in_the_jobs_network(aws: FakeAWS) -> None:
    _completed(aws)
    aws.jobs[NAME]["VpcConfig"] = vpc = {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
    assert _job(aws).plan_deployment().create_model["VpcConfig"] == vpc


def test_a_model_carries_on_where_the_manifest_of_its_rows_lies(aws: FakeAWS) -> None:
    uri = f"s3://bucket/ift/data/{'f' * 64}.{'e' * 64}.manifest.json"
    _completed(aws)
    aws.jobs[NAME]["Environment"]["IFT_DATA_MANIFEST"] = uri
    plan = _job(aws).plan_deployment()
    assert {"Key": "ift:data-manifest", "Value": uri} in plan.create_model["Tags"]
    assert all(tag["Key"] != "ift:data-manifest" for tag in plan.create_endpoint["Tags"])


def test_a_deployment_is_planned_without_a_change(aws: FakeAWS) -> None:
    _completed(aws)
    plan = _job(aws).plan_deployment()
    assert plan.create_model["ModelName"] == NAME
    assert plan.create_endpoint["EndpointConfigName"] == f"{NAME}-config"
    assert aws.calls == []


def test_an_evaluation_takes_base_and_machine_from_the_job(aws: FakeAWS) -> None:
    _completed(aws)
    tuned = _job(aws).as_tuned()
    assert tuned.base_uri == "s3://b/ift/weights/x/"
    assert tuned.model_id == "smollm2-135m-instruct"
    assert tuned.compute.max_runtime_in_seconds == 3600
    assert tuned.compute.network_isolation


def test_a_model_that_was_left_uncompressed_is_deployed_from_its_prefix(aws: FakeAWS) -> None:
    _completed(aws)
    aws.jobs[NAME]["ModelArtifacts"]["S3ModelArtifacts"] = "s3://b/output/model/"
    source = _job(aws).plan_deployment().create_model["PrimaryContainer"]["ModelDataSource"]["S3DataSource"]
    assert source == {
        "S3Uri": "s3://b/output/model/",
        "S3DataType": "S3Prefix",
        "CompressionType": "None",
    }


def test_a_stand_in_is_named_by_its_job_its_evaluation_and_its_endpoint(aws: FakeAWS) -> None:
    _completed(aws)
    assert _job(aws).stand_in == ""
    weights = "s3://jumpstart-private-cache-prod-us-east-1/train.tar.gz"
    for channel in aws.jobs[NAME]["InputDataConfig"]:
        channel["DataSource"]["S3DataSource"]["S3Uri"] = weights
    aws.job_tags = {"ift:stand-in": "tiny", "ift:stand-in-weights": "s3://b/w/"}
    assert _job(aws).stand_in == "stand-in: tiny trained in place of smollm2-135m-instruct"
    assert (_job(aws).as_tuned().base_uri, _job(aws).as_tuned().stand_in) == ("s3://b/w/", "tiny")
    plan = _job(aws).plan_deployment()
    for request in (plan.create_model, plan.create_endpoint_config, plan.create_endpoint):
        assert {"Key": "ift:stand-in", "Value": "tiny"} in request["Tags"]
