"""CreateProcessingJob and its sisters: they write documents and start supervisors; the work is done there."""

from __future__ import annotations

from typing import Any

from ift_sagemaker.local.processing import document as job_document
from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.running.execution import recorded
from ift_sagemaker.local.running.images import job_container
from ift_sagemaker.local.running.isolation import choose, engine_of
from ift_sagemaker.local.running.runner import Runner
from ift_sagemaker.local.state.paging import Listing
from ift_sagemaker.local.state.resources import (
    PROCESSING_JOB,
    Document,
    arn_of,
    missing,
    public,
    require,
    taken,
)
from ift_sagemaker.local.state.settings import Context
from ift_sagemaker.local.supervision.launch import begin
from ift_sagemaker.local.supervision.reconcile import current, listed_current

LISTING = Listing(
    "ProcessingJobSummaries",
    "ProcessingJobName",
    (
        "ProcessingJobName",
        "ProcessingJobArn",
        "CreationTime",
        "ProcessingEndTime",
        "LastModifiedTime",
        "ProcessingJobStatus",
        "FailureReason",
        "ExitMessage",
    ),
    "ProcessingJobStatus",
    order="Ascending",
)


def create_processing_job(context: Context, params: dict[str, Any]) -> dict[str, Any]:
    name = params["ProcessingJobName"]
    if context.store.get(PROCESSING_JOB, name) is not None:
        raise taken(context, PROCESSING_JOB, name)
    job_document.refuse_unsupported(params)
    arn = arn_of(context, PROCESSING_JOB, name)
    job = job_document.new_job(params, arn, context.settings, context.clock())
    job = with_execution(context, job, choose(context.settings))
    begin(context, PROCESSING_JOB, name, job, context.settings.job_slots)
    return {"ProcessingJobArn": arn}


def with_execution(context: Context, job: Document, runner: Runner) -> Document:
    """The job with what will be executed in place of its image, and how; readable as tags too."""
    program = job["AppSpecification"]
    container = job_container(
        context.store.root,
        program["ImageUri"],
        program.get("ContainerEntrypoint", []),
        program.get("ContainerArguments", []),
        engine_of(runner.name),
    )
    asked = {"asked": program["ImageUri"]}
    return recorded(job, container, runner, job_document.isolation(job, runner), asked)


def describe_processing_job(context: Context, params: dict[str, Any]) -> dict[str, Any]:
    return public(_current(context, params["ProcessingJobName"]))


def list_processing_jobs(context: Context, params: dict[str, Any]) -> dict[str, Any]:
    return listed_current(context, PROCESSING_JOB, params, LISTING)


def stop_processing_job(context: Context, params: dict[str, Any]) -> dict[str, Any]:
    name = params["ProcessingJobName"]
    _current(context, name)
    try:
        context.store.update(PROCESSING_JOB, name, lambda job: job_document.stop(job, context.clock()))
    except KeyError:
        raise missing(context, PROCESSING_JOB, name) from None
    return {}


def delete_processing_job(context: Context, params: dict[str, Any]) -> dict[str, Any]:
    name = params["ProcessingJobName"]
    job = _current(context, name)
    if job["ProcessingJobStatus"] not in job_document.TERMINAL:
        raise ServiceError(
            "ResourceInUse",
            f"Processing job {job['ProcessingJobArn']} is in status {job['ProcessingJobStatus']};"
            " only jobs that have ended can be deleted",
        )
    if not context.store.delete(PROCESSING_JOB, name):
        raise missing(context, PROCESSING_JOB, name)
    return {}


def _current(context: Context, name: str) -> Document:
    job = current(context, PROCESSING_JOB, require(context, PROCESSING_JOB, name))
    if job is None:
        raise missing(context, PROCESSING_JOB, name)
    return job


OPERATIONS = {
    "CreateProcessingJob": create_processing_job,
    "DescribeProcessingJob": describe_processing_job,
    "ListProcessingJobs": list_processing_jobs,
    "StopProcessingJob": stop_processing_job,
    "DeleteProcessingJob": delete_processing_job,
}
