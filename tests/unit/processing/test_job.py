"""A processing job as its handle sees it: watched through failures, and never taken for what it is not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from ift_sagemaker.aws.client import AWSClient
from ift_sagemaker.errors import (
    AccessDeniedError,
    CredentialsError,
    ProcessingJobFailed,
    ProcessingJobStopped,
    WaitTimeout,
)
from ift_sagemaker.processing.job import ProcessingJob
from ift_sagemaker.training import Progress
from tests.unit.handles.fakes import Clock, FakeLog


@dataclass
class Account:
    """An AWS account with one job, whose every look gives the next status."""

    statuses: list[str]
    log: FakeLog = field(default_factory=lambda: FakeLog([["one"], ["two", "three"]]))
    error: Exception | None = None

    def describe_processing_job(self, name: str) -> dict[str, Any]:
        if self.error:
            raise self.error
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return {
            "ProcessingJobName": name,
            "ProcessingJobStatus": status,
            "FailureReason": "AlgorithmError",
            "ExitMessage": "no disk",
        }

    def processing_log(self, name: str) -> FakeLog:
        return self.log


def _job(account: Account, clock: Clock | None = None) -> ProcessingJob:
    return ProcessingJob("ift-data-check-1", cast("AWSClient", account), (clock or Clock()).patience())


def test_a_job_that_completes_is_told_of_look_by_look_with_its_log() -> None:
    looks: list[Progress] = []
    job = _job(Account(["InProgress", "InProgress", "Completed"])).wait(on_progress=looks.append)
    assert job.status == "Completed"
    assert [line.message for look in looks for line in look.lines] == ["one", "two", "three"]
    assert [look.status for look in looks[:2]] == ["InProgress"] * 2
    assert looks[-1].status == "Completed"


@pytest.mark.parametrize(
    ("status", "kind"), [("Failed", ProcessingJobFailed), ("Stopped", ProcessingJobStopped)]
)
def test_a_job_that_ended_otherwise_raises_with_its_reason_and_the_end_of_its_log(
    status: str, kind: type[Exception]
) -> None:
    with pytest.raises(kind, match=f"ended {status}: AlgorithmError; no disk.\none") as raised:
        _job(Account([status])).wait()
    assert cast("ProcessingJobFailed", raised.value).log_tail == ("one", "two", "three")


def test_a_wait_that_is_over_says_how_to_return_and_the_job_goes_on() -> None:
    with pytest.raises(WaitTimeout, match="is InProgress after 60 s; it goes on, and the same command"):
        _job(Account(["InProgress"])).wait(timeout=60)


def test_a_log_that_cannot_be_read_is_told_once_and_ends_nothing() -> None:
    account = Account(["InProgress", "InProgress", "Completed"], FakeLog([], AccessDeniedError("no right")))
    looks: list[Progress] = []
    _job(account).wait(on_progress=looks.append)
    said = [line.message for look in looks for line in look.lines]
    assert said == ["(the job's log cannot be read: no right)"]


def test_credentials_that_end_say_how_to_return() -> None:
    with pytest.raises(CredentialsError, match="goes on; with fresh credentials return to it"):
        _job(Account(["InProgress"], error=CredentialsError("expired"))).wait()
