"""CreateTrainingJob and its sisters: they write documents and start supervisors; the work is done there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.running import jumpstart
from ift_sagemaker.local.running.execution import recorded
from ift_sagemaker.local.running.images import job_container, training_title
from ift_sagemaker.local.running.isolation import choose, engine_of
from ift_sagemaker.local.running.runner import Runner
from ift_sagemaker.local.state.paging import Listing, listed
from ift_sagemaker.local.state.resources import (
    TRAINING_JOB,
    Document,
    arn_of,
    invalid,
    missing,
    public,
    require,
    split_s3,
    taken,
)
from ift_sagemaker.local.state.settings import Context
from ift_sagemaker.local.supervision.launch import begin
from ift_sagemaker.local.supervision.reconcile import all_current, current, listed_current
from ift_sagemaker.local.training import document as job_document
from ift_sagemaker.local.training import warm_pool
from ift_sagemaker.local.training.requests import refuse_hosts, refuse_unsupported

LISTING = Listing(
    "TrainingJobSummaries",
    "TrainingJobName",
    (
        "TrainingJobName",
        "TrainingJobArn",
        "CreationTime",
        "TrainingEndTime",
        "LastModifiedTime",
        "TrainingJobStatus",
        "SecondaryStatus",
        "WarmPoolStatus",
    ),
    "TrainingJobStatus",
    order="Ascending",
    status_after_cut=True,
)


def create_training_job(context: Context, params: dict[str, Any]) -> dict[str, Any]:
    name = params["TrainingJobName"]
    if context.store.get(TRAINING_JOB, name) is not None:
        raise taken(context, TRAINING_JOB, name)
    refuse_unsupported(params)
    arn = arn_of(context, TRAINING_JOB, name)
    job = job_document.new_job(params, arn, context.settings, context.clock())
    job |= {"_sources": jumpstart.sources(params), "_stand_in": jumpstart.stand_in_of(params)}
    runner = choose(context.settings)
    refuse_hosts(params["ResourceConfig"], runner.name)
    job = with_execution(context, job, runner)
    refuse_missing_inputs(context, params, job["_sources"])
    begin(context, TRAINING_JOB, name, job, context.settings.job_slots)
    return {"TrainingJobArn": arn}


def refuse_missing_inputs(context: Context, params: dict[str, Any], sources: Mapping[str, str]) -> None:
    """AWS looks for every input before it takes a job; a ServiceError names the first that has no object.

    `sources` say where inputs of other names really come from.

    Wording as logged in aws/amazon-sagemaker-examples 2489 and 2267.
    """
    for channel in params.get("InputDataConfig", []):
        uri = channel["DataSource"]["S3DataSource"]["S3Uri"]
        bucket, prefix = split_s3(sources.get(uri, uri))
        found = context.objects.has_bucket(bucket) and any(context.objects.list(bucket, prefix, limit=1))
        if not found:
            raise invalid(
                f'No S3 objects found under S3 URL "{uri}" given in input data source. Please ensure that '
                "the bucket exists in the selected region and that objects exist under that S3 prefix."
                + jumpstart.remedy(uri)
            )


def with_execution(context: Context, job: Document, runner: Runner) -> Document:
    """The job with what will be executed in place of its image, and how; readable as tags too."""
    algorithm = job["AlgorithmSpecification"]
    image = algorithm["TrainingImage"]
    container = job_container(
        context.store.root,
        image,
        algorithm.get("ContainerEntrypoint", []),
        algorithm.get("ContainerArguments", []),
        engine_of(runner.name),
        word="train",
        jumpstart=jumpstart.runs_its_script(job),
    )
    asked = {"asked": image, "known_as": training_title(image)}
    return recorded(job, container, runner, runner.isolation(network=False), asked)


def describe_training_job(context: Context, params: dict[str, Any]) -> dict[str, Any]:
    return public(warm_pool.with_status(_current(context, params["TrainingJobName"]), context.clock()))


def list_training_jobs(context: Context, params: dict[str, Any]) -> dict[str, Any]:
    if params.get("TrainingPlanArnEquals") or params.get("WarmPoolStatusEquals"):
        return listed(_with_pools(context, params), params, LISTING)
    now = context.clock()
    return listed_current(context, TRAINING_JOB, params, LISTING, lambda job: warm_pool.with_status(job, now))


def _with_pools(context: Context, params: dict[str, Any]) -> Iterator[Document]:
    """Every job with its warm pool, without those that a filter on pools or plans leaves out."""
    if params.get("TrainingPlanArnEquals"):
        return  # no job here has a training plan: CreateTrainingJob refuses them
    wanted, now = params.get("WarmPoolStatusEquals"), context.clock()
    for job in all_current(context, TRAINING_JOB):
        found = warm_pool.with_status(job, now)
        if wanted in (None, found.get("WarmPoolStatus", {}).get("Status")):
            yield found


def update_training_job(context: Context, params: dict[str, Any]) -> dict[str, Any]:
    name = params["TrainingJobName"]
    _current(context, name)
    job = _update(context, name, lambda there: warm_pool.updated(there, params, context.clock()))
    return {"TrainingJobArn": job["TrainingJobArn"]}


def stop_training_job(context: Context, params: dict[str, Any]) -> dict[str, Any]:
    name = params["TrainingJobName"]
    _current(context, name)
    _update(context, name, lambda job: job_document.stop(job, context.clock()))
    return {}


def delete_training_job(context: Context, params: dict[str, Any]) -> dict[str, Any]:
    name = params["TrainingJobName"]
    job = _current(context, name)
    if job["TrainingJobStatus"] not in job_document.TERMINAL:
        raise ServiceError(
            "ResourceInUse",
            f"Training job {job['TrainingJobArn']} is in status {job['TrainingJobStatus']};"
            " only jobs that have ended can be deleted",
        )
    pool = warm_pool.status(job, context.clock())
    if pool is not None and pool["Status"] == warm_pool.AVAILABLE:
        # that it is refused: service model, DeleteTrainingJob; the words are ours
        raise ServiceError(
            "ResourceInUse", f"Training job {job['TrainingJobArn']} retains a warm pool that is Available"
        )
    if not context.store.delete(TRAINING_JOB, name):
        raise missing(context, TRAINING_JOB, name)
    return {}


def _current(context: Context, name: str) -> Document:
    job = current(context, TRAINING_JOB, require(context, TRAINING_JOB, name))
    if job is None:
        raise missing(context, TRAINING_JOB, name)
    return job


def _update(context: Context, name: str, change: Any) -> Document:
    try:
        return context.store.update(TRAINING_JOB, name, change)
    except KeyError:
        raise missing(context, TRAINING_JOB, name) from None


OPERATIONS = {
    "CreateTrainingJob": create_training_job,
    "DescribeTrainingJob": describe_training_job,
    "ListTrainingJobs": list_training_jobs,
    "StopTrainingJob": stop_training_job,
    "UpdateTrainingJob": update_training_job,
    "DeleteTrainingJob": delete_training_job,
}
