"""A processing job: start or attach, watch, and say how it ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self

from ift_sagemaker.aws.client import AWSClient
from ift_sagemaker.aws.errors import goes_on
from ift_sagemaker.aws.logs import LogLine, Rest
from ift_sagemaker.aws.retry import Patience
from ift_sagemaker.contract import names
from ift_sagemaker.data.sending.outgoing import Outgoing
from ift_sagemaker.errors import (
    AttachError,
    AWSError,
    CredentialsError,
    JobError,
    ProcessingJobFailed,
    ProcessingJobStopped,
    ResourceInUseError,
    ResourceNotFoundError,
    WaitTimeout,
)
from ift_sagemaker.plan.processing import ProcessingPlan
from ift_sagemaker.session import Session
from ift_sagemaker.training import ENDED, FAILED, IN_PROGRESS, LOG_TAIL_LINES, STOPPED, Progress

OnProgress = Callable[[Progress], None]


@dataclass
class ProcessingJob:
    """Handle of one processing job: a name plus a client."""

    name: str
    client: AWSClient = field(repr=False)
    patience: Patience = field(default_factory=Patience, repr=False)
    attached: bool = field(default=False, repr=False)
    """True where the job was there already, so that nothing was started."""
    description: dict[str, Any] = field(default_factory=dict, repr=False)

    def refresh(self) -> Self:
        """The same handle with a fresh description; raises ResourceNotFoundError for an unknown name."""
        self.description = self.patience.find(partial(self.client.describe_processing_job, self.name))
        return self

    @property
    def status(self) -> str:
        """InProgress, Completed, Failed, Stopping or Stopped, as SageMaker spells them."""
        if not self.description:
            self.refresh()
        return str(self.description["ProcessingJobStatus"])

    def watch(self) -> Iterator[Progress]:
        """One Progress a look, until the job has ended; the last one holds the rest of the log.

        A log that cannot be read is told as a line of its own and ends nothing.
        """
        tail, rest, lost = self.client.processing_log(self.name), Rest(self.patience), False
        while True:
            lines: tuple[LogLine, ...] = ()
            try:
                status = self.refresh().status
                lines = () if lost else tuple(self.patience.call(tail.poll))
            except CredentialsError as error:
                raise goes_on(f"Processing job {self.name}", "give the same command", error) from error
            except AWSError as error:
                if not self.description:
                    raise
                status, lost = self.status, True
                lines = (LogLine("", 0, f"(the job's log cannot be read: {error})"),)
            over = status in ENDED and rest.is_over(lines)
            yield Progress(status if over or status not in ENDED else IN_PROGRESS, "", lines)
            if over:
                return
            self.patience.pause()

    def wait(self, timeout: float | None = None, on_progress: OnProgress = lambda _: None) -> Self:
        """Returns when the job is Completed; `on_progress` is told of each look.

        Raises ProcessingJobFailed with FailureReason, what the program said last and the log's end,
        ProcessingJobStopped, or WaitTimeout after `timeout` seconds, while the job goes on.
        """
        started = self.patience.clock()
        recent: list[str] = []
        for progress in self.watch():
            recent = [*recent, *(line.message for line in progress.lines)][-LOG_TAIL_LINES:]
            on_progress(progress)
            waited = self.patience.clock() - started
            if progress.status not in ENDED and timeout is not None and waited >= timeout:
                raise WaitTimeout(
                    f"processing job {self.name} is {progress.status} after {waited:.0f} s; it goes on, and "
                    "the same command returns to it",
                    name=self.name,
                    status=progress.status,
                    seconds=waited,
                )
        if self.status in {FAILED, STOPPED}:
            raise _ended(self.description, recent)
        return self


def run_job(
    session: Session, plan_of: Callable[[int], ProcessingPlan], *, retry: bool
) -> tuple[ProcessingPlan, ProcessingJob]:
    """The job of the plan and its plan: started and billed, or attached to where the same work was asked for.

    Raises ProcessingJobFailed or ProcessingJobStopped where it ended so and `retry` is False, AttachError
    where it exists under another role, RequestError where AWS would refuse.
    """
    plan, earlier = _next_attempt(session, plan_of)
    if earlier is not None:
        if earlier["ProcessingJobStatus"] not in {FAILED, STOPPED}:
            return plan, _attached(session, plan, earlier)
        if not retry:
            raise _ended(earlier, [], " Start it again with retry=True (--retry).")
    plan.check()
    _send(session, plan)
    try:
        session.patience.call(lambda: session.client.create_processing_job(plan.request))
    except ResourceInUseError:
        there = session.patience.find(partial(session.client.describe_processing_job, plan.name))
        return plan, _attached(session, plan, there)
    return plan, ProcessingJob(plan.name, session.client, session.patience)


def _next_attempt(
    session: Session, plan_of: Callable[[int], ProcessingPlan]
) -> tuple[ProcessingPlan, dict[str, Any] | None]:
    """The plan of the attempt that is alive or free, and the newest job found on the way."""
    found = None
    for attempt in range(1, names.MAX_ATTEMPT + 1):
        plan = plan_of(attempt)
        try:
            found = session.patience.call(partial(session.client.describe_processing_job, plan.name))
        except ResourceNotFoundError:
            return plan, found
        if found["ProcessingJobStatus"] not in {FAILED, STOPPED}:
            return plan, found
    first = plan_of(1).name
    raise AttachError(f"all {names.MAX_ATTEMPT} attempts of {first} are used up", name=first)


def _attached(session: Session, plan: ProcessingPlan, there: dict[str, Any]) -> ProcessingJob:
    if there["RoleArn"] != plan.place.role:
        raise AttachError(
            f"processing job {plan.name} does the same work under the role {there['RoleArn']}, asked for is "
            f"{plan.place.role}",
            name=plan.name,
            differences=[("RoleArn", there["RoleArn"], plan.place.role)],
        )
    return ProcessingJob(plan.name, session.client, session.patience, attached=True)


def _send(session: Session, plan: ProcessingPlan) -> None:
    objects = session.client.objects
    if session.bucket is None:
        objects.ensure_bucket(plan.place.bucket, plan.place.region)
    for upload in plan.uploads:
        item = Outgoing(upload.key.rpartition("/")[2], upload.source, upload.size, upload.sha256)
        objects.send(plan.place.bucket, upload.key, item, sending=session.sending, patience=session.patience)


def _ended(description: dict[str, Any], recent: list[str], hint: str = "") -> JobError:
    name, status = str(description["ProcessingJobName"]), str(description["ProcessingJobStatus"])
    reasons = [str(description.get(field, "")) for field in ("FailureReason", "ExitMessage")]
    reason = "; ".join(part for part in reasons if part)
    kind = ProcessingJobFailed if status == FAILED else ProcessingJobStopped
    return kind(
        "\n".join([f"processing job {name} ended {status}{': ' + reason if reason else ''}.{hint}", *recent]),
        name=name,
        status=status,
        failure_reason=reason,
        log_tail=recent,
    )
