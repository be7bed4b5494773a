"""A training job as DescribeTrainingJob shows it, and every way in which it changes. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.state.resources import MAX_REASON, Document, invalid
from ift_sagemaker.local.state.settings import LocalSettings

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
    "MaxWaitTimeExceeded": "Training job wait time exceeded MaxWaitTimeInSeconds provided",
    "Interrupted": "Training job interrupted: the managed spot training instances were reclaimed",
    "Restarting": "Restarting the training job after an internal server error",
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


class StopAsked(Exception):  # noqa: N818 - an event, not an error
    """StopTrainingJob came before the step that was about to begin."""


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


def log_stream(job: Document, host: str) -> str:
    """The name of a host's log stream."""
    return f"{job['TrainingJobName']}/{host}-{int(job['CreationTime'])}"


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
        moved.setdefault("TrainingStartTime", now)
        moved["_billed_since"] = now
    return moved


def interrupt(job: Document) -> Document:
    """The job as a reclaim of its spot instances leaves it for its supervisor to see.

    Raises:
        ServiceError: no instance of it could be reclaimed now.
    """
    if not job.get("EnableManagedSpotTraining"):
        raise invalid(f"Training job {job['TrainingJobName']} does not use managed spot training")
    if job["TrainingJobStatus"] != "InProgress" or job["SecondaryStatus"] != "Training":
        raise invalid(
            f"Training job {job['TrainingJobName']} has no spot instances to reclaim in the status"
            f" {job['SecondaryStatus']}"
        )
    return {**job, "_interrupted": True}


def released(job: Document, now: float) -> Document:
    """The job once its instances are gone: what they ran is billed, and they can no longer be interrupted."""
    billed = job.get("_billed", 0.0) + (now - job["_billed_since"] if "_billed_since" in job else 0.0)
    kept = {name: value for name, value in job.items() if name not in ("_billed_since", "_interrupted")}
    return {**kept, "_billed": billed, "_programs": []}


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


def ended(job: Document, secondary: str, now: float, reason: str = "", message: str = "") -> Document:
    """The job at its end.

    `secondary` is Completed, Failed, Stopped, MaxRuntimeExceeded or MaxWaitTimeExceeded; `reason` becomes the
    FailureReason, `message` the last StatusMessage. Billed are the seconds in which the job had instances:
    fewer than it trained where spot instances were taken from it.
    """
    if job["TrainingJobStatus"] in TERMINAL:
        return job
    status = secondary if secondary in TERMINAL else "Stopped"
    text = message or (reason if secondary == "Failed" else "")
    done = released(enter(job, secondary, now, text, status), now)
    done["SecondaryStatusTransitions"][-1]["EndTime"] = now
    if reason:
        done["FailureReason"] = reason[:MAX_REASON]
    if "TrainingStartTime" in done:
        done |= {
            "TrainingEndTime": now,
            "TrainingTimeInSeconds": _whole(now - done["TrainingStartTime"]),
            "BillableTimeInSeconds": _whole(done["_billed"]),
        }
    return done


def _whole(seconds: float) -> int:
    return max(1, round(seconds))  # the model's minimum is 1


def algorithm_error(code: int, failure: str | None) -> str:
    """FailureReason of a program that ended with `code`; `failure` is what it wrote to its failure file."""
    tail = f", exit code: {code}"
    if code == 137:
        tail += " (killed, probably out of memory)"
    return f"AlgorithmError: {(failure or '')[: MAX_REASON - len(tail) - 16]}{tail}"
