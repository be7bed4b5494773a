"""One processing job, run to its end by its supervisor."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from io import FileIO

from ift_sagemaker.local.logs.shipping import Events, LogPump, ship_traceback
from ift_sagemaker.local.processing import document as job_document
from ift_sagemaker.local.processing.document import StopAsked
from ift_sagemaker.local.processing.results import Continuous, MessageError, collected, exit_message
from ift_sagemaker.local.processing.staging import guarded, stage
from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.running.artifacts import put_all
from ift_sagemaker.local.running.checkpoints import MirrorThread
from ift_sagemaker.local.running.runner import (
    COVERAGE,
    Launch,
    Program,
    Runner,
    StartError,
    default_environment,
    introduction,
)
from ift_sagemaker.local.running.staging import DownloadError, may_share
from ift_sagemaker.local.state.resources import PROCESSING_JOB, Document
from ift_sagemaker.local.state.settings import Context
from ift_sagemaker.local.supervision.breakage import broken
from ift_sagemaker.local.supervision.folders import Workplace
from ift_sagemaker.local.supervision.slots import Slots
from ift_sagemaker.local.supervision.waiting import Time
from ift_sagemaker.local.supervision.watch import (
    EXIT,
    MAX_RUNTIME,
    STOP,
    Ended,
    Limits,
    Outputs,
    Programs,
    Watch,
)

_TRIES = 5


@dataclass(frozen=True)
class _Host:
    """One instance of the job: its name, what it prints, and the open end for its program to print to."""

    name: str
    pump: LogPump
    output: FileIO


class ProcessingRun:
    """Takes the job from its first status to its last; whatever goes wrong becomes its FailureReason.

    Each instance is a program with a folder of its own, all under this one supervisor. A stop is SIGTERM, the
    grace and SIGKILL, as for training jobs; AWS's page on processing containers names SIGINT and SIGKILL.
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
        self._name: str = job["ProcessingJobName"]
        self._runner = runner
        self._waits = waits or Time()
        self._end_leftovers = end_leftovers
        self._place = Workplace.of(context.store.root, PROCESSING_JOB, self._name)
        self._roots = {host: self._place.ml(host) for host in job_document.hosts(job)}
        self._continuous = Continuous(job, self._roots, context.objects, self._place.outgoing)
        self._message = ""

    def run(self) -> None:
        """Returns when the job has ended."""
        try:
            self._run()
        except StopAsked:
            self._end("Stopped")
        except DownloadError as error:
            # as told in aws-samples/sagemaker-run-notebook 32
            self._end("Failed", f"ClientError: Failed to download data. {error}")
        except StartError as error:
            self._end("Failed", f"ClientError: The container could not be started: {error}")
        except Exception as error:  # noqa: BLE001 - whatever broke ends this job, and is told in full
            ship_traceback(partial(self._ship, next(iter(self._roots))), self._context.clock())
            self._end("Failed", broken(error))

    def _run(self) -> None:
        settings = self._context.settings
        slots = Slots(self._context.store.root, PROCESSING_JOB, settings.job_slots)
        try:
            slot = slots.wait(self._name, self._refuse_stopped, self._waits.sleep)
        finally:
            slots.leave(self._name)
        try:
            self._update(job_document.started)
            self._stage()
            self._conclude(self._process())
        finally:
            slot.release()

    def _refuse_stopped(self) -> None:
        if self._stop_was_asked():
            raise StopAsked

    def _stop_was_asked(self) -> bool:
        job = self._context.store.get(PROCESSING_JOB, self._name)
        return job is None or job["ProcessingJobStatus"] != "InProgress"

    def _stage(self) -> None:
        share = may_share(self._runner.name)
        for _ in stage(self._job, self._roots, self._context.objects, share=share):
            self._refuse_stopped()

    def _process(self) -> Ended:
        self._refuse_stopped()
        with ExitStack() as open_hosts:
            hosts = [open_hosts.enter_context(self._opened(name)) for name in self._roots]
            started: dict[str, Program] = {}
            try:
                for host in hosts:
                    started[host.name] = self._start(host)
                    self._record(started.values())
                return self._follow(started, hosts)
            finally:
                for program in started.values():
                    program.kill()
                self._end_leftovers()

    def _record(self, programs: Iterable[Program]) -> None:
        """Notes what runs, so that nothing is left of it where this supervisor dies."""
        records = [program.record() for program in programs]
        self._update(lambda job, _: {**job, "_programs": records})

    @contextmanager
    def _opened(self, name: str) -> Iterator[_Host]:
        """A host with its log open; at the end all that was printed is shipped."""
        readable, writable = os.pipe()
        ship = partial(self._ship, name)
        pump = LogPump(readable, ship, clock=self._context.clock, monotonic=self._waits.monotonic)
        try:
            for line in self._introduction():
                pump.note(line)
            # a file, which closes its descriptor once only: its number is soon another file's
            with FileIO(writable, "w") as output:
                yield _Host(name, pump, output)
        finally:
            pump.drain(0)
            os.close(readable)

    def _start(self, host: _Host) -> Program:
        image, replaces_entrypoint = self._job.get("_image", ("", False))
        try:
            return self._runner.start(
                Launch(
                    command=tuple(self._job["_command"]),
                    environment=environment(self._job, self._context, self._runner.name),
                    ml_root=self._place.ml(host.name),
                    scratch=self._place.scratch(host.name),
                    output=host.output.fileno(),
                    read_only=guarded(self._job),
                    hidden=(self._context.store.root,),
                    image=image,
                    replaces_entrypoint=replaces_entrypoint,
                    host=host.name,
                    hosts=job_document.addresses(self._job) if job_document.has_names(self._runner) else {},
                )
            )
        finally:
            host.output.close()

    def _follow(self, started: Mapping[str, Program], hosts: list[_Host]) -> Ended:
        grace = self._context.settings.stop_grace_in_seconds
        programs = Programs(started, grace, self._waits.monotonic)
        thread = MirrorThread(self._continuous, self._report, what="outputs")
        thread.start()
        pumps = Outputs([host.pump for host in hosts])
        limits = Limits(self._job["StoppingCondition"]["MaxRuntimeInSeconds"], grace)
        try:
            watch = Watch(programs, pumps, limits, self._tick, self._on_stop, self._waits.monotonic)
            ended = watch.run()
            for host in hosts:
                if code := programs.codes()[host.name]:
                    host.pump.note(f"ift-local: the program of {host.name} ended with exit code {code}")
            return ended
        finally:
            programs.kill()
            self._end_leftovers()
            thread.finish()

    def _tick(self) -> str:
        """STOP where somebody asked for it."""
        with suppress(sqlite3.Error):
            return STOP if self._stop_was_asked() else ""
        return ""

    def _on_stop(self, cause: str) -> None:
        if cause == MAX_RUNTIME:
            self._update(job_document.stopping)

    def _conclude(self, ended: Ended) -> None:
        """Ends the job by how its programs ended.

        EndOfJob outputs are uploaded "after the job completes" (botocore's model, S3UploadMode); we read:
        not where it failed or was stopped. Continuous ones were on their way all the time and are brought up
        to date. A job over its time is Stopped, as a training job is (general knowledge).
        """
        try:
            self._message = exit_message(self._roots)
        except MessageError as error:
            self._end("Failed", f"ClientError: {error}")
            return
        failed = ended.cause == EXIT and ended.code != 0
        try:
            self._upload(whole=ended.cause == EXIT and not failed)
        except ServiceError as error:
            if error.status == 507:
                raise
            self._end("Failed", f"ClientError: Failed to upload output. {error.code}: {error.message}")
            return
        if failed:
            self._end("Failed", job_document.ALGORITHM_ERROR)
        else:
            self._end("Completed" if ended.cause == EXIT else "Stopped")

    def _upload(self, *, whole: bool) -> None:
        self._continuous.sync()
        if whole:
            found = collected(self._job, self._roots, self._place.outgoing)
            for bucket, uploads in found.items():
                put_all(self._context.objects, bucket, uploads)

    def _end(self, status: str, reason: str = "") -> None:
        """Ends the job. Its folder goes first: that gives back the space a full disk needs to say so."""
        self._place.remove()
        for attempt in range(_TRIES):
            try:
                self._update(lambda job, now: self._ended(job, status, now, reason))
                return
            except sqlite3.OperationalError:
                if attempt == _TRIES - 1:
                    raise
                self._waits.sleep(0.5)

    def _ended(self, job: Document, status: str, now: float, reason: str) -> Document:
        if status == "Completed" and job["ProcessingJobStatus"] == "Stopping":
            status = "Stopped"  # asked while the results were on their way
        return job_document.ended({**job, "_programs": []}, status, now, reason, self._message)

    def _update(self, change: Callable[[Document, float], Document]) -> Document:
        now = self._context.clock()
        return self._context.store.update(PROCESSING_JOB, self._name, lambda job: change(job, now))

    def _introduction(self) -> list[str]:
        images = self._job["_images"]
        executed = f"{images['executed']}, {' '.join(self._job['_command'])}"
        lines = introduction(self._runner, images["asked"], executed, network=False)
        nameless = len(self._roots) > 1 and not job_document.has_names(self._runner)
        return [*lines, f"ift-local: not enforced either: {job_document.NO_NAMES}"] if nameless else lines

    def _report(self, text: str) -> None:
        with suppress(sqlite3.Error):
            self._ship(next(iter(self._roots)), [(int(self._context.clock() * 1000), f"ift-local: {text}")])

    def _ship(self, host: str, events: Events) -> None:
        stream = self._job["_log_streams"][host]
        self._context.store.append_log_events(job_document.LOG_GROUP, stream, events)


def environment(job: Document, context: Context, runner: str) -> dict[str, str]:
    """A program's environment: what the request gives it, which may replace what it gets from us."""
    region = context.settings.region
    passed = {name: os.environ[name] for name in COVERAGE if runner == "process" and name in os.environ}
    busy = context.settings.job_slots * len(job_document.hosts(job))
    return {
        **default_environment(),
        **passed,
        # threads that wait for cores they do not get are a severe slowdown
        "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // busy)),
        **job.get("Environment", {}),
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
    }
