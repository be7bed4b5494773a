"""A training job as DescribeTrainingJob shows it, and every way in which it changes. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.running.checkpoints import DEFAULT_PATH
from ift_sagemaker.local.state.resources import MAX_REASON, Document, invalid, not_offered_yet, split_s3
from ift_sagemaker.local.state.settings import LocalSettings
from ift_sagemaker.wire.paths import ML_ROOT

LOG_GROUP = "/aws/sagemaker/TrainingJobs"
DEFAULT_MAX_RUNTIME = 86_400
TERMINAL = ("Completed", "Failed", "Stopped")

_MESSAGES = {
    "Starting": "Preparing the instances for training",
    "Pending": "Training job waiting for capacity",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Stopping": "Stopping the training job",
    "Uploading": "Uploading generated training model",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
}
_ECHOED = (
    "TrainingJobName",
    "HyperParameters",
    "AlgorithmSpecification",
    "RoleArn",
    "InputDataConfig",
    "OutputDataConfig",
    "ResourceConfig",
    "VpcConfig",
    "StoppingCondition",
    "EnableNetworkIsolation",
    "EnableInterContainerTrafficEncryption",
    "EnableManagedSpotTraining",
    "CheckpointConfig",
    "ExperimentConfig",
    "ProfilerConfig",
    "Environment",
    "RetryStrategy",
    "InfraCheckConfig",
)
_REFUSED = (
    "ServerlessJobConfig",
    "MlflowConfig",
    "ModelPackageConfig",
    "SessionChainingConfig",
    "DebugHookConfig",
    "DebugRuleConfigurations",
    "ProfilerRuleConfigurations",
    "TensorBoardOutputConfig",
    "RemoteDebugConfig",
)


_OWN_FOLDERS = ("input", "model", "output", "code")


class StopAsked(Exception):  # noqa: N818 - an event, not an error
    """StopTrainingJob came before the step that was about to begin."""


def refuse_unsupported(request: Mapping[str, Any]) -> None:
    """Raises a ServiceError for what AWS would do and this local AWS does not."""
    for field in _REFUSED:
        if request.get(field):
            raise not_offered_yet(f"CreateTrainingJob with {field}")
    algorithm = request.get("AlgorithmSpecification", {})
    if not algorithm.get("TrainingImage"):
        raise not_offered_yet("CreateTrainingJob without AlgorithmSpecification.TrainingImage")
    _refuse_resources(request.get("ResourceConfig", {}))
    channels = request.get("InputDataConfig", [])
    for channel in channels:
        _refuse_channel(channel, algorithm.get("TrainingInputMode", "File"))
    if len({channel["ChannelName"] for channel in channels}) < len(channels):
        raise not_offered_yet("InputDataConfig with two channels of one name")
    split_s3(request["OutputDataConfig"]["S3OutputPath"])
    if request.get("CheckpointConfig"):
        _refuse_checkpoints(request["CheckpointConfig"])
    _check_metrics(algorithm)


def _refuse_checkpoints(config: Mapping[str, Any]) -> None:
    split_s3(config["S3Uri"])
    path = config.get("LocalPath") or DEFAULT_PATH
    parts = [part for part in path.removeprefix(ML_ROOT).split("/") if part not in ("", ".")]
    if not path.startswith(f"{ML_ROOT}/") or ".." in parts or not parts:
        raise not_offered_yet(f"CheckpointConfig.LocalPath {path}, which is not below {ML_ROOT}")
    if parts[0] in _OWN_FOLDERS:
        raise not_offered_yet(f"CheckpointConfig.LocalPath {path}, which is one of SageMaker's own folders")


def _refuse_resources(resources: Mapping[str, Any]) -> None:
    for field in ("InstanceGroups", "InstancePreferences", "TrainingPlanArn"):
        if resources.get(field):
            raise not_offered_yet(f"ResourceConfig.{field}")
    count = resources.get("InstanceCount")
    if count != 1:
        raise not_offered_yet(f"ResourceConfig.InstanceCount {count}: training on other than one instance")
    if not resources.get("InstanceType"):
        raise not_offered_yet("CreateTrainingJob without ResourceConfig.InstanceType")


def _refuse_channel(channel: Mapping[str, Any], mode: str) -> None:
    name = channel["ChannelName"]
    source = channel["DataSource"].get("S3DataSource")
    if source is None or len(channel["DataSource"]) > 1:
        raise not_offered_yet(f"channel {name} from elsewhere than S3")
    if source["S3DataType"] != "S3Prefix":
        raise not_offered_yet(f"channel {name} with S3DataType {source['S3DataType']}")
    mode = channel.get("InputMode", mode)
    if mode not in ("File", "FastFile"):
        raise not_offered_yet(f"channel {name} with the input mode {mode}")
    for field in ("CompressionType", "RecordWrapperType"):
        if channel.get(field, "None") != "None":
            raise not_offered_yet(f"channel {name} with {field} {channel[field]}")
    if channel.get("ShuffleConfig"):
        raise not_offered_yet(f"channel {name} with ShuffleConfig")


def _check_metrics(algorithm: Mapping[str, Any]) -> None:
    for definition in algorithm.get("MetricDefinitions", []):
        try:
            re.compile(definition["Regex"])
        except re.error as error:
            # the engine of AWS is another one and may take it
            raise not_offered_yet(
                f"metric {definition['Name']} with a regular expression that Python cannot read ({error})"
            ) from None


def new_job(request: Mapping[str, Any], arn: str, settings: LocalSettings, now: float) -> Document:
    """The document of a job that was just created: everything asked for, and the first status."""
    output = request["OutputDataConfig"]["S3OutputPath"].rstrip("/")
    name = request["TrainingJobName"]
    packed = request["OutputDataConfig"].get("CompressionType", "GZIP") != "NONE"
    artifact = f"{output}/{name}/output/model" + (".tar.gz" if packed else "/")
    job: Document = {
        "TrainingJobArn": arn,
        "ModelArtifacts": {"S3ModelArtifacts": artifact},
        "TrainingJobStatus": "InProgress",
        "CreationTime": now,
        "SecondaryStatusTransitions": [],
        **{field: request[field] for field in _ECHOED if field in request},
        "_tags": [dict(tag) for tag in request.get("Tags", [])],
        "_settings": settings.recorded(),
        "_log_stream": f"{name}/algo-1-{int(now)}",
    }
    job["StoppingCondition"] = {
        "MaxRuntimeInSeconds": DEFAULT_MAX_RUNTIME,
        **job.get("StoppingCondition", {}),
    }
    for flag in (
        "EnableNetworkIsolation",
        "EnableInterContainerTrafficEncryption",
        "EnableManagedSpotTraining",
    ):
        job.setdefault(flag, False)
    return enter(job, "Starting", now)


def enter(job: Document, secondary: str, now: float, message: str = "", status: str = "") -> Document:
    """The job in its next secondary status, the one before closed; `status` changes the primary one too."""
    transitions = [dict(item) for item in job["SecondaryStatusTransitions"]]
    if transitions and "EndTime" not in transitions[-1]:
        transitions[-1]["EndTime"] = now
    text = message or _MESSAGES[secondary]
    transitions.append({"Status": secondary, "StartTime": now, "StatusMessage": text})
    return {
        **job,
        "SecondaryStatus": secondary,
        "SecondaryStatusTransitions": transitions,
        "TrainingJobStatus": status or job["TrainingJobStatus"],
        "LastModifiedTime": now,
    }


def advance(job: Document, secondary: str, now: float, message: str = "") -> Document:
    """The next step of a job nobody has stopped; raises StopAsked where somebody has."""
    if job["TrainingJobStatus"] != "InProgress":
        raise StopAsked
    moved = enter(job, secondary, now, message)
    if secondary == "Downloading":
        moved["TrainingStartTime"] = now
    return moved


def stop(job: Document, now: float) -> Document:
    """The job as StopTrainingJob leaves it.

    Raises:
        ServiceError: it has ended already.
    """
    if job["TrainingJobStatus"] in TERMINAL:
        raise cannot_stop(job)
    if job["TrainingJobStatus"] == "Stopping":
        return job
    return enter(job, "Stopping", now, status="Stopping")


def cannot_stop(job: Document) -> ServiceError:
    return invalid(
        f"The request was rejected because the training job is in status {job['TrainingJobStatus']}."
    )


def ended(job: Document, secondary: str, now: float, reason: str = "") -> Document:
    """The job at its end: `secondary` is Completed, Failed, Stopped or MaxRuntimeExceeded."""
    if job["TrainingJobStatus"] in TERMINAL:
        return job
    status = secondary if secondary in TERMINAL else "Stopped"
    done = enter(job, secondary, now, reason if secondary == "Failed" else "", status)
    done["SecondaryStatusTransitions"][-1]["EndTime"] = now
    if reason:
        done["FailureReason"] = reason[:MAX_REASON]
    if "TrainingStartTime" in done:
        seconds = max(1, round(now - done["TrainingStartTime"]))  # the model's minimum is 1
        done |= {"TrainingEndTime": now, "TrainingTimeInSeconds": seconds, "BillableTimeInSeconds": seconds}
    return done


def algorithm_error(code: int, failure: str | None) -> str:
    """FailureReason of a program that ended with `code`; `failure` is what it wrote to its failure file."""
    tail = f", exit code: {code}"
    if code == 137:
        tail += " (killed, probably out of memory)"
    return f"AlgorithmError: {(failure or '')[: MAX_REASON - len(tail) - 16]}{tail}"
