"""One training job, run to its end by its supervisor."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace

from ift_sagemaker.contract.storage import is_accelerated
from ift_sagemaker.local.logs.shipping import ship_traceback
from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.running.hosts import hosts_of
from ift_sagemaker.local.running.runner import Runner, StartError
from ift_sagemaker.local.running.staging import DownloadError
from ift_sagemaker.local.state.resources import TRAINING_JOB, Document
from ift_sagemaker.local.state.settings import Context
from ift_sagemaker.local.supervision.breakage import broken
from ift_sagemaker.local.supervision.folders import Workplace
from ift_sagemaker.local.supervision.leases import Lease
from ift_sagemaker.local.supervision.slots import Slots
from ift_sagemaker.local.supervision.waiting import Time
from ift_sagemaker.local.supervision.watch import (
    EXIT,
    INTERRUPTION,
    MAX_RUNTIME,
    MAX_WAIT,
    STOP,
    Ended,
    Limits,
)
from ift_sagemaker.local.training import document as job_document
from ift_sagemaker.local.training.attempt import Attempt, Machine
from ift_sagemaker.local.training.document import StopAsked
from ift_sagemaker.local.training.record import JobMetrics, JobRecord
from ift_sagemaker.local.training.results import Results

_END = {
    EXIT: "Completed",
    STOP: "Stopped",
    MAX_RUNTIME: "MaxRuntimeExceeded",
    MAX_WAIT: "MaxWaitTimeExceeded",
}
_TRIES = 5
_RETRY_PAUSE = 1.0


class WaitedTooLong(Exception):  # noqa: N818 - an outcome
    """The job waited for a slot for as long as it may."""

    def __init__(self, secondary: str, message: str = "") -> None:
        super().__init__(secondary)
        self.secondary = secondary
        self.message = message


class TrainingRun:
    """Takes the job from its first status to its last; whatever goes wrong becomes its FailureReason.

    A job is tried once, again after its spot instances were taken from it, and again after an error of the
    local AWS itself where its RetryStrategy says so.
    """

    def __init__(
        self,
        context: Context,
        job: Document,
        runner: Runner,
        waits: Time | None = None,
        end_leftovers: Callable[[], object] = lambda: None,
    ) -> None:
        self._context = context
        self._job = job
        self._name: str = job["TrainingJobName"]
        self._waits = waits or Time()
        self._place = Workplace.of(context.store.root, TRAINING_JOB, self._name)
        self._slots = Slots(context.store.root, TRAINING_JOB, context.settings.job_slots)
        hosts = hosts_of(job["ResourceConfig"])
        self._machine = Machine(runner, self._place, hosts, self._waits, end_leftovers)
        self._record = JobRecord(context, job)
        self._metrics = JobMetrics(self._record)
        self._results = Results(self._record, self._place, hosts)
        self._retries: int = job.get("RetryStrategy", {}).get("MaximumRetryAttempts", 0)
        self._begun = self._waits.monotonic()
        self._waiting_since: float | None = None
        self._running_since: float | None = None
        self._ran = 0.0

    def run(self) -> None:
        """Returns when the job has ended."""
        try:
            while not self._is_done():
                self._slots.enqueue(self._name, self._job["CreationTime"])
        except StopAsked:
            self._end("Stopped")
        except WaitedTooLong as error:
            self._end(error.secondary, message=error.message)
        except DownloadError as error:
            self._end("Failed", f"ClientError: Data download failed:{error}")
        except StartError as error:
            self._end("Failed", f"ClientError: The container could not be started: {error}")
        except Exception as error:  # noqa: BLE001 - whatever broke ends this job, and is told in full
            ship_traceback(self._record.ship_of(), self._context.clock())
            self._end("Failed", broken(error))

    def _is_done(self) -> bool:
        """Whether a try brought the job to its end; where not it is to be tried again."""
        try:
            return self._try()
        except (StopAsked, WaitedTooLong, DownloadError, StartError):
            raise
        except Exception as error:
            if not self._retries or self._record.is_stopped():
                raise
            self._retries -= 1
            ship_traceback(self._record.ship_of(), self._context.clock())
            self._start_over("Restarting", f"Restarting after {broken(error)}")
            self._waits.sleep(_RETRY_PAUSE)
            return False

    def _try(self) -> bool:
        slot = self._wait_for_slot()
        try:
            self._record.update(lambda job, now: job_document.advance(job, "Downloading", now))
            ended = self._attempt()
            if ended.cause == INTERRUPTION and self._record.is_stopped():
                ended = replace(ended, cause=STOP)
            if ended.cause == INTERRUPTION:
                self._start_over("Starting")
                return False
            self._conclude(ended)
            return True
        finally:
            slot.release()

    def _wait_for_slot(self) -> Lease:
        self._waiting_since = None
        try:
            return self._slots.wait(self._name, self._look_before_waiting, self._waits.sleep)
        finally:
            self._slots.leave(self._name)

    def _look_before_waiting(self) -> None:
        """Ends the waiting where the job was stopped or its time is over.

        Says Pending once it is clear that it waits.
        """
        job = self._record.now()
        if job is None or job["TrainingJobStatus"] != "InProgress":
            raise StopAsked
        now = self._waits.monotonic()
        if now >= self._wait_deadline():
            self._record.update(
                lambda there, at: job_document.enter(there, "Stopping", at, status="Stopping")
            )
            raise WaitedTooLong("MaxWaitTimeExceeded")
        if self._waiting_since is None:
            self._waiting_since = now
            return
        limit = pending_limit(self._job)
        if limit is not None and now >= self._waiting_since + limit:
            raise WaitedTooLong(
                "Stopped", "Training job pending time exceeded MaxPendingTimeInSeconds provided"
            )
        if job["SecondaryStatus"] != "Pending":
            self._record.update(lambda there, at: job_document.advance(there, "Pending", at))

    def _wait_deadline(self) -> float:
        """When a spot job must be over, waiting and running together."""
        seconds = self._job["StoppingCondition"].get("MaxWaitTimeInSeconds", float("inf"))
        return self._begun + float(seconds)

    def _attempt(self) -> Ended:
        self._running_since = None
        try:
            return Attempt(self._record, self._metrics, self._machine, self._limits).run()
        finally:
            if self._running_since is not None:
                self._ran += self._waits.monotonic() - self._running_since

    def _limits(self) -> Limits:
        """What is left of the time of all tries, counted from now on."""
        now = self._running_since = self._waits.monotonic()
        grace = self._context.settings.stop_grace_in_seconds
        run = self._job["StoppingCondition"]["MaxRuntimeInSeconds"] - self._ran
        wait = self._wait_deadline() - now
        return Limits(run, grace) if run <= wait else Limits(wait, grace, MAX_WAIT)

    def _start_over(self, secondary: str, message: str = "") -> None:
        """Leaves nothing of a try behind but what is in S3; raises StopAsked where the job was stopped."""
        self._record.update(
            lambda job, now: job_document.advance(job_document.released(job, now), secondary, now, message)
        )
        self._place.clear()

    def _conclude(self, ended: Ended) -> None:
        if ended.cause == EXIT and ended.code != 0:
            failure = self._results.failure(ended.host)
            self._end("Failed", job_document.algorithm_error(ended.code, failure))
            return
        try:
            self._results.upload(whole=ended.cause == EXIT)
        except ServiceError as error:
            if error.status == 507:
                raise
            self._end("Failed", f"ClientError: Artifact upload failed:{error.code}: {error.message}")
            return
        self._end(_END[ended.cause])

    def _end(self, secondary: str, reason: str = "", message: str = "") -> None:
        """Ends the job. Its folder goes first: that gives back the space a full disk needs to say so."""
        self._place.remove()
        for attempt in range(_TRIES):
            try:
                self._record.update(lambda job, now: self._ended(job, secondary, now, reason, message))
                return
            except sqlite3.OperationalError:
                if attempt == _TRIES - 1:
                    raise
                self._waits.sleep(0.5)

    def _ended(self, job: Document, secondary: str, now: float, reason: str, message: str) -> Document:
        if secondary == "Completed" and job["TrainingJobStatus"] == "Stopping":
            secondary = "Stopped"  # asked while the results were on their way
        return job_document.ended(self._metrics.put(job), secondary, now, reason, message)


def pending_limit(job: Document) -> int | None:
    """Seconds the job may wait for its instances: only accelerated ones are limited (service model)."""
    limit: int | None = job["StoppingCondition"].get("MaxPendingTimeInSeconds")
    hosts = hosts_of(job["ResourceConfig"])
    return limit if any(is_accelerated(host.instance_type) for host in hosts) else None
