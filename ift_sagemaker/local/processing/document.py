"""A processing job as DescribeProcessingJob shows it, and every way in which it changes. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.running.runner import Isolation, Runner
from ift_sagemaker.local.state.resources import MAX_REASON, Document, invalid, not_offered_yet, split_s3
from ift_sagemaker.local.state.settings import LocalSettings
from ift_sagemaker.wire.paths import ML_ROOT

LOG_GROUP = "/aws/sagemaker/ProcessingJobs"
DEFAULT_MAX_RUNTIME = 86_400
TERMINAL = ("Completed", "Failed", "Stopped")
NO_NAMES = "names of the other hosts (they do not resolve)"
ALGORITHM_ERROR = "AlgorithmError: See job logs for more information"
"""FailureReason of every program that ended with another exit code than 0.

Wording as the tests of aws/sagemaker-spark-container expect it of the service; what the program itself has to
say is in ExitMessage.
"""

_ECHOED = (
    "ProcessingInputs",
    "ProcessingOutputConfig",
    "ProcessingJobName",
    "ProcessingResources",
    "StoppingCondition",
    "AppSpecification",
    "Environment",
    "NetworkConfig",
    "RoleArn",
    "ExperimentConfig",
)


class StopAsked(Exception):  # noqa: N818 - an event, not an error
    """StopProcessingJob came before the step that was about to begin."""


def refuse_unsupported(request: Mapping[str, Any]) -> None:
    """Raises a ServiceError for what AWS would do and this local AWS does not."""
    cluster = request["ProcessingResources"]["ClusterConfig"]
    if cluster.get("InstancePreferences"):
        raise not_offered_yet("ClusterConfig.InstancePreferences")
    if not cluster.get("InstanceType"):
        raise not_offered_yet("CreateProcessingJob without ClusterConfig.InstanceType")
    for given in request.get("ProcessingInputs", []):
        _refuse_input(given)
    for given in request.get("ProcessingOutputConfig", {}).get("Outputs", []):
        _refuse_output(given)
    for kind, named in (("inputs", inputs(request)), ("outputs", outputs(request))):
        names = [item["Name"] for item in named]
        if len(set(names)) < len(names):
            raise not_offered_yet(f"two {kind} of one name")


def _refuse_input(given: Mapping[str, Any]) -> None:
    name = given["InputName"]
    if given.get("DatasetDefinition"):
        raise not_offered_yet(f"input {name} with a DatasetDefinition")
    if given.get("AppManaged"):
        return
    source = given["S3Input"]
    if source.get("S3InputMode", "File") != "File":
        raise not_offered_yet(f"input {name} with S3InputMode {source['S3InputMode']}")
    split_s3(source["S3Uri"])
    _refuse_path(source["LocalPath"])


def _refuse_output(given: Mapping[str, Any]) -> None:
    name = given["OutputName"]
    if given.get("FeatureStoreOutput"):
        raise not_offered_yet(f"output {name} with a FeatureStoreOutput")
    if given.get("AppManaged"):
        return
    split_s3(given["S3Output"]["S3Uri"])
    _refuse_path(given["S3Output"]["LocalPath"])


def _refuse_path(path: str) -> None:
    """Refuses a path that leads elsewhere than it says (where it must begin is a rule of AWS)."""
    parts = path.removeprefix(f"{ML_ROOT}/").split("/")
    if ".." in parts or "\0" in path:
        raise not_offered_yet(f"LocalPath {path!r}, which leads upwards")


def inputs(job: Mapping[str, Any]) -> Iterator[Document]:
    """The inputs that SageMaker itself downloads, as `ProcessingS3Input` with a `Name` and AWS's defaults."""
    for given in job.get("ProcessingInputs", []):
        if not given.get("AppManaged"):
            yield {
                "S3InputMode": "File",
                "S3DataDistributionType": "FullyReplicated",
                "S3CompressionType": "None",
                **given["S3Input"],
                "Name": given["InputName"],
            }


def outputs(job: Mapping[str, Any]) -> Iterator[Document]:
    """The outputs that SageMaker itself uploads, as `ProcessingS3Output` with a `Name`."""
    for given in job.get("ProcessingOutputConfig", {}).get("Outputs", []):
        if not given.get("AppManaged"):
            yield {**given["S3Output"], "Name": given["OutputName"]}


def below_ml(path: str) -> str:
    """A LocalPath as a name below `/opt/ml`, without doubled or closing slashes."""
    parts = path.removeprefix(f"{ML_ROOT}/").split("/")
    return "/".join(part for part in parts if part not in ("", "."))


def hosts(job: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the job's instances: algo-1, algo-2 …"""
    count = job["ProcessingResources"]["ClusterConfig"].get("InstanceCount", 1)
    return tuple(f"algo-{number}" for number in range(1, count + 1))


def addresses(job: Mapping[str, Any]) -> dict[str, str]:
    """Name and loopback address of each host where there are several."""
    names = hosts(job)
    return {name: f"127.0.1.{number}" for number, name in enumerate(names, 1)} if len(names) > 1 else {}


def new_job(request: Mapping[str, Any], arn: str, settings: LocalSettings, now: float) -> Document:
    """The document of a job that was just created: everything asked for, and the first status."""
    name = request["ProcessingJobName"]
    job: Document = {
        "ProcessingJobArn": arn,
        "ProcessingJobStatus": "InProgress",
        "CreationTime": now,
        "LastModifiedTime": now,
        **{field: request[field] for field in _ECHOED if field in request},
        "_tags": [dict(tag) for tag in request.get("Tags", [])],
        "_settings": settings.recorded(),
        "_log_streams": {host: f"{name}/{host}-{int(now)}" for host in hosts(request)},
    }
    job.setdefault("StoppingCondition", {"MaxRuntimeInSeconds": DEFAULT_MAX_RUNTIME})
    return job


def started(job: Document, now: float) -> Document:
    """The job once its turn has come; raises StopAsked where it was stopped before."""
    if job["ProcessingJobStatus"] != "InProgress":
        raise StopAsked
    return {**job, "ProcessingStartTime": now, "LastModifiedTime": now}


def stopping(job: Document, now: float) -> Document:
    """The job on its way to Stopped; unchanged where it is no longer running."""
    if job["ProcessingJobStatus"] != "InProgress":
        return job
    return {**job, "ProcessingJobStatus": "Stopping", "LastModifiedTime": now}


def stop(job: Document, now: float) -> Document:
    """The job as StopProcessingJob leaves it.

    Raises:
        ServiceError: it has ended already.
    """
    if job["ProcessingJobStatus"] in TERMINAL:
        raise cannot_stop(job)
    return stopping(job, now)


def cannot_stop(job: Document) -> ServiceError:
    """AWS's wording for training jobs; the one for processing jobs is not known to us."""
    return invalid(
        f"The request was rejected because the processing job is in status {job['ProcessingJobStatus']}."
    )


def ended(job: Document, status: str, now: float, reason: str = "", message: str = "") -> Document:
    """The job at its end: Completed, Failed or Stopped. `message` is its ExitMessage."""
    if job["ProcessingJobStatus"] in TERMINAL:
        return job
    done = {**job, "ProcessingJobStatus": status, "LastModifiedTime": now, "ProcessingEndTime": now}
    if reason:
        done["FailureReason"] = reason[:MAX_REASON]
    if message:
        done["ExitMessage"] = message
    return done


def isolation(job: Document, runner: Runner) -> Isolation:
    """What holds for the job's programs: only in bubblewrap can several reach one another by name."""
    given = runner.isolation(network=False)
    if len(hosts(job)) == 1 or has_names(runner):
        return given
    return Isolation(given.enforced, (*given.unenforced, NO_NAMES))


def has_names(runner: Runner) -> bool:
    """Whether the programs of several hosts have a network of their own, in which their names resolve."""
    return runner.name == "bwrap"
