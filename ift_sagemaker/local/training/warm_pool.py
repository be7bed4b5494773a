"""The warm pool that a job's KeepAlivePeriodInSeconds asks for, told by the clock alone. Pure.

Nothing is kept warm on this machine: what is shown is what AWS would show, and bill, until the period is
over or UpdateTrainingJob ends it. No later job takes a pool over, so none is ever Reused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ift_sagemaker.local.state.resources import Document, invalid, not_offered_yet

AVAILABLE = "Available"


def with_status(job: Document, now: float) -> Document:
    """The job with its WarmPoolStatus, where it has one."""
    found = status(job, now)
    return {**job, "WarmPoolStatus": found} if found else job


def status(job: Document, now: float) -> Document | None:
    """WarmPoolStatus of a job: InUse while it runs, then Available, then Terminated.

    A job that did not complete leaves no pool (general knowledge).
    """
    period = job["ResourceConfig"].get("KeepAlivePeriodInSeconds")
    if not period and "_pool_ended" not in job:
        return None
    if job["TrainingJobStatus"] != "Completed":
        over = "TrainingEndTime" in job or job["TrainingJobStatus"] in ("Failed", "Stopped")
        return {"Status": "Terminated"} if over else {"Status": "InUse"}
    ended = job["TrainingEndTime"]
    last = job.get("_pool_ended", ended + (period or 0))
    return {
        "Status": AVAILABLE if now < last else "Terminated",
        "ResourceRetainedBillableTimeInSeconds": int(max(0, min(now, last) - ended)),
    }


def updated(job: Document, request: Mapping[str, Any], now: float) -> Document:
    """The job after UpdateTrainingJob gave its pool another period, counted from the job's end.

    Raises:
        ServiceError: the request wants something else, or the pool is not Available.
    """
    for field in set(request) - {"TrainingJobName", "ResourceConfig"}:
        raise not_offered_yet(f"UpdateTrainingJob with {field}")
    period = request.get("ResourceConfig", {}).get("KeepAlivePeriodInSeconds")
    if period is None:
        raise not_offered_yet("UpdateTrainingJob without ResourceConfig.KeepAlivePeriodInSeconds")
    found = status(job, now)
    if found is None or found["Status"] != AVAILABLE:
        raise invalid(f"Training job {job['TrainingJobName']} has no warm pool in the status {AVAILABLE}")
    resources = {**job["ResourceConfig"], "KeepAlivePeriodInSeconds": period}
    changed = {**job, "ResourceConfig": resources, "LastModifiedTime": now}
    return {**changed, "_pool_ended": now} if job["TrainingEndTime"] + period <= now else changed
