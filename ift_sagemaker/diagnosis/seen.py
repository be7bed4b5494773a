"""What is seen of a job or endpoint: its description, and the end of its log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ift_sagemaker.aws.client import AWSClient
from ift_sagemaker.aws.errors import absent
from ift_sagemaker.aws.logs import LogTail
from ift_sagemaker.aws.retry import Patience
from ift_sagemaker.diagnosis.diagnosing import Diagnosis, Evidence, diagnose
from ift_sagemaker.diagnosis.known import ENDPOINT, JOB
from ift_sagemaker.errors import AWSError, CredentialsError, ResourceNotFoundError
from ift_sagemaker.wire.paths import MODEL_ID_VARIABLE

LOG_LINES_READ = 200


def why(client: AWSClient, patience: Patience, name: str) -> Diagnosis:
    """The diagnosis of a training job or endpoint. Reads only.

    An endpoint has its job's name by default: it is the one that is meant where the job is Completed. Raises
    ResourceNotFoundError where there is neither.
    """
    try:
        job = patience.call(lambda: client.describe_training_job(name))
    except ResourceNotFoundError as missing:
        endpoint = _endpoint(client, patience, name)
        if endpoint is None:
            raise absent("training job or endpoint", name, "ift jobs list", missing) from missing
        return diagnose(endpoint)
    if job["TrainingJobStatus"] == "Completed" and (served := _endpoint(client, patience, name)):
        return diagnose(served)
    return diagnose(_of_job(client, patience, name, job))


def _of_job(client: AWSClient, patience: Patience, name: str, job: Mapping[str, Any]) -> Evidence:
    log, lost = _log(patience, client.training_log(name))
    messages = [str(entry.get("StatusMessage", "")) for entry in job.get("SecondaryStatusTransitions", ())]
    return Evidence(
        kind=JOB,
        name=name,
        status=str(job["TrainingJobStatus"]),
        secondary_status=str(job.get("SecondaryStatus", "")),
        reason=str(job.get("FailureReason", "")),
        messages=tuple(reversed(messages)),
        log=log,
        log_lost=lost,
        instance_type=str(job.get("ResourceConfig", {}).get("InstanceType", "")),
        model=str(job.get("Environment", {}).get(MODEL_ID_VARIABLE, "")),
        region=client.identity().region,
    )


def _endpoint(client: AWSClient, patience: Patience, name: str) -> Evidence | None:
    try:
        found = patience.call(lambda: client.describe_endpoint(name))
    except ResourceNotFoundError:
        return None
    log, lost = _log(patience, client.endpoint_log(name))
    status, reason = str(found["EndpointStatus"]), str(found.get("FailureReason", ""))
    return Evidence(
        kind=ENDPOINT,
        name=name,
        status=status,
        reason=reason,
        log=log,
        log_lost=lost,
        instance_type=_instance_type(client, patience, found),
        region=client.identity().region,
        remark=_remark(status, reason, name),
    )


def _remark(status: str, reason: str, name: str) -> str:
    if status == "InService" and reason:
        return "it serves: the reason is of its last update, which was rolled back"
    if status == "Failed":
        return f"until `ift endpoints delete {name}` its model and configuration stay"
    return ""


def _instance_type(client: AWSClient, patience: Patience, endpoint: Mapping[str, Any]) -> str:
    try:
        config = patience.call(lambda: client.describe_endpoint_config(endpoint["EndpointConfigName"]))
        return str(config["ProductionVariants"][0].get("InstanceType", ""))
    except CredentialsError:
        raise
    except (AWSError, KeyError, IndexError):
        return ""


def _log(patience: Patience, tail: LogTail) -> tuple[tuple[str, ...], str]:
    """The log's last lines, or why it cannot be read."""
    try:
        lines = patience.call(tail.poll)
    except CredentialsError:
        raise
    except AWSError as error:
        return (), str(error)
    return tuple(line.message for line in lines[-LOG_LINES_READ:]), ""
