"""One training job, run to its end by its supervisor."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ift_sagemaker.local.logs.lines import Metrics
from ift_sagemaker.local.logs.shipping import Events, LogPump, ship_traceback
from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.running import artifacts
from ift_sagemaker.local.running.checkpoints import CheckpointMirror, MirrorThread, checkpoint_folder
from ift_sagemaker.local.running.left_behind import ProgramFolder
from ift_sagemaker.local.running.runner import (
    COVERAGE,
    Launch,
    Program,
    Runner,
    StartError,
    default_environment,
    introduction,
)
from ift_sagemaker.local.running.staging import DownloadError, Downloads, may_share, stage_job
from ift_sagemaker.local.state.resources import MAX_REASON, TRAINING_JOB, Document, split_s3
from ift_sagemaker.local.state.settings import Context
from ift_sagemaker.local.supervision.breakage import broken
from ift_sagemaker.local.supervision.folders import Workplace
from ift_sagemaker.local.supervision.leases import Lease
from ift_sagemaker.local.supervision.slots import Slots
from ift_sagemaker.local.supervision.waiting import Time
from ift_sagemaker.local.supervision.watch import EXIT, MAX_RUNTIME, STOP, Ended, Limits, Watch
from ift_sagemaker.local.training import document as job_document
from ift_sagemaker.local.training.document import StopAsked
from ift_sagemaker.wire.paths import MLPaths

_END = {EXIT: "Completed", STOP: "Stopped", MAX_RUNTIME: "MaxRuntimeExceeded"}
_TRIES = 5


class TrainingRun:
    """Takes the job from its first status to its last; whatever goes wrong becomes its FailureReason."""

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
        self._runner = runner
        self._waits = waits or Time()
        self._end_leftovers = end_leftovers
        self._place = Workplace.of(context.store.root, TRAINING_JOB, self._name)
        self._paths = MLPaths(self._place.ml())
        self._metrics = Metrics(job["AlgorithmSpecification"].get("MetricDefinitions", []))
        self._metrics_changed = False
        self._waited = False

    def run(self) -> None:
        """Returns when the job has ended."""
        try:
            self._run()
        except StopAsked:
            self._end("Stopped")
        except DownloadError as error:
            self._end("Failed", f"ClientError: Data download failed:{error}")
        except StartError as error:
            self._end("Failed", f"ClientError: The container could not be started: {error}")
        except Exception as error:  # noqa: BLE001 - whatever broke ends this job, and is told in full
            ship_traceback(self._ship, self._context.clock())
            self._end("Failed", broken(error))

    def _run(self) -> None:
        settings = self._context.settings
        slots = Slots(self._context.store.root, TRAINING_JOB, settings.job_slots)
        try:
            slot = slots.wait(self._name, self._look_before_waiting, self._waits.sleep)
        finally:
            slots.leave(self._name)
        self._with_slot(slot)

    def _with_slot(self, slot: Lease) -> None:
        try:
            self._update(lambda job, now: job_document.advance(job, "Downloading", now))
            mirror = self._stage()
            self._conclude(self._train(mirror))
        finally:
            slot.release()

    def _look_before_waiting(self) -> None:
        """Ends the waiting where the job was stopped; says Pending once it is clear that it waits."""
        job = self._context.store.get(TRAINING_JOB, self._name)
        if job is None or job["TrainingJobStatus"] != "InProgress":
            raise StopAsked
        if self._waited and job["SecondaryStatus"] != "Pending":
            self._update(lambda there, now: job_document.advance(there, "Pending", now))
        self._waited = True

    def _stage(self) -> CheckpointMirror | None:
        downloads = Downloads(self._context.objects, share=may_share(self._runner.name))
        for _ in stage_job(self._job, self._place.ml(), downloads):
            self._refuse_stopped()
        uri = self._job.get("CheckpointConfig", {}).get("S3Uri")
        if not uri:
            return None
        folder = checkpoint_folder(self._job, self._place.ml())
        mirror = CheckpointMirror(self._context.objects, uri, folder, self._place.outgoing)
        mirror.restore()
        return mirror

    def _refuse_stopped(self) -> None:
        job = self._context.store.get(TRAINING_JOB, self._name)
        if job is None or job["TrainingJobStatus"] != "InProgress":
            raise StopAsked

    def _train(self, mirror: CheckpointMirror | None) -> Ended:
        self._refuse_stopped()
        readable, writable = os.pipe()
        pump = LogPump(readable, self._ship, self._see, self._context.clock, self._waits.monotonic)
        try:
            for line in self._introduction():
                pump.note(line)
            try:
                program = self._start(writable)
            finally:
                os.close(writable)
            return self._follow(program, pump, mirror)
        finally:
            pump.drain(0)
            os.close(readable)

    def _start(self, output: int) -> Program:
        image, replaces_entrypoint = self._job.get("_image", ("", False))
        program = self._runner.start(
            Launch(
                command=tuple(self._job["_command"]),
                environment=environment(self._job, self._context, self._runner.name),
                ml_root=self._place.ml(),
                scratch=self._place.scratch(),
                output=output,
                read_only=("input",),
                hidden=(self._context.store.root,),
                image=image,
                replaces_entrypoint=replaces_entrypoint,
            )
        )
        self._update(lambda job, now: _training(job, now, program.record()))
        return program

    def _follow(self, program: Program, pump: LogPump, mirror: CheckpointMirror | None) -> Ended:
        thread = MirrorThread(mirror, self._report) if mirror else None
        if thread:
            thread.start()
        limits = Limits(
            self._job["StoppingCondition"]["MaxRuntimeInSeconds"],
            self._context.settings.stop_grace_in_seconds,
        )
        try:
            return Watch(program, pump, limits, self._tick, self._on_stop, self._waits.monotonic).run()
        finally:
            program.kill()
            self._end_leftovers()
            if thread:
                thread.finish()

    def _tick(self) -> bool:
        """Whether somebody asked to stop; brings the metrics up to date on the way."""
        with suppress(sqlite3.Error):
            if self._metrics_changed:
                self._metrics_changed = False
                self._update(lambda job, _: {**job, "FinalMetricDataList": self._metrics.final()})
            job = self._context.store.get(TRAINING_JOB, self._name)
            return job is None or job["TrainingJobStatus"] != "InProgress"
        return False

    def _on_stop(self, cause: str) -> None:
        if cause == MAX_RUNTIME:
            self._update(_stopping)

    def _conclude(self, ended: Ended) -> None:
        if ended.cause == EXIT and ended.code != 0:
            failure = self._folder(self._paths.failure.parent).read_text(self._paths.failure.name, MAX_REASON)
            self._end("Failed", job_document.algorithm_error(ended.code, failure))
            return
        try:
            self._upload(ended)
        except ServiceError as error:
            if error.status == 507:
                raise
            self._end("Failed", f"ClientError: Artifact upload failed:{error.code}: {error.message}")
            return
        self._end(_END[ended.cause])

    def _upload(self, ended: Ended) -> None:
        """Packs everything, then puts it: all of it is in S3 or nothing."""
        left = self._left(whole=ended.cause == EXIT)
        if not left:
            return
        self._update(lambda job, now: job_document.enter(job, "Uploading", now))
        bucket, prefix = split_s3(self._job["OutputDataConfig"]["S3OutputPath"])
        base = f"{prefix.rstrip('/')}/{self._name}/output/".lstrip("/")
        uploads = [upload for title, folder in left for upload in self._packed(folder, f"{base}{title}")]
        artifacts.put_all(self._context.objects, bucket, uploads)

    def _folder(self, path: Path) -> ProgramFolder:
        return ProgramFolder(self._paths.root, path.relative_to(self._paths.root).as_posix())

    def _left(self, *, whole: bool) -> list[tuple[str, ProgramFolder]]:
        """What goes to S3, by title. Only a job that ended by itself has a model even where it is empty."""
        model, output = self._folder(self._paths.model), self._folder(self._paths.output_data)
        found = [("model", model)] if whole or not model.is_empty() else []
        return found + ([] if output.is_empty() else [("output", output)])

    def _packed(self, folder: ProgramFolder, key: str) -> list[artifacts.Upload]:
        title = key.rpartition("/")[2]
        if self._job["OutputDataConfig"].get("CompressionType") == "NONE":
            return artifacts.as_files(folder, f"{key}/", self._place.outgoing / title)
        archive = self._place.outgoing / f"{title}.tar.gz"
        return artifacts.archived(folder, archive, f"{key}.tar.gz")

    def _end(self, secondary: str, reason: str = "") -> None:
        """Ends the job. Its folder goes first: that gives back the space a full disk needs to say so."""
        self._place.remove()
        for attempt in range(_TRIES):
            try:
                self._update(lambda job, now: self._ended(job, secondary, now, reason))
                return
            except sqlite3.OperationalError:
                if attempt == _TRIES - 1:
                    raise
                self._waits.sleep(0.5)

    def _ended(self, job: Document, secondary: str, now: float, reason: str) -> Document:
        if secondary == "Completed" and job["TrainingJobStatus"] == "Stopping":
            secondary = "Stopped"  # asked while the results were on their way
        metrics = self._metrics.final()
        return job_document.ended(
            {**job, **({"FinalMetricDataList": metrics} if metrics else {}), "_programs": []},
            secondary,
            now,
            reason,
        )

    def _update(self, change: Callable[[Document, float], Document]) -> Document:
        now = self._context.clock()
        return self._context.store.update(TRAINING_JOB, self._name, lambda job: change(job, now))

    def _introduction(self) -> list[str]:
        images = self._job["_images"]
        known = f" (known here as {images['known_as']})" if images["known_as"] else ""
        executed = f"{images['executed']}, {' '.join(self._job['_command'])}"
        return introduction(self._runner, f"{images['asked']}{known}", executed, network=False)

    def _see(self, line: str) -> None:
        self._metrics_changed |= self._metrics.read(line, self._context.clock())

    def _report(self, text: str) -> None:
        with suppress(sqlite3.Error):
            self._ship([(int(self._context.clock() * 1000), f"ift-local: {text}")])

    def _ship(self, events: Events) -> None:
        self._context.store.append_log_events(job_document.LOG_GROUP, self._job["_log_stream"], events)


def environment(job: Document, context: Context, runner: str) -> dict[str, str]:
    """A training program's environment. The request's own variables may replace ours, not the contract's."""
    region = context.settings.region
    passed = {name: os.environ[name] for name in COVERAGE if runner == "process" and name in os.environ}
    return {
        **default_environment(),
        **passed,
        # threads that wait for cores they do not get are by far the worst slowdown of a training step
        "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // context.settings.job_slots)),
        **job.get("Environment", {}),
        "TRAINING_JOB_NAME": job["TrainingJobName"],
        "TRAINING_JOB_ARN": job["TrainingJobArn"],
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
    }


def _training(job: Document, now: float, program: Document) -> Document:
    moved = job_document.enter(job, "Training", now) if job["TrainingJobStatus"] == "InProgress" else job
    return {**moved, "_programs": [program]}


def _stopping(job: Document, now: float) -> Document:
    if job["TrainingJobStatus"] != "InProgress":
        return job
    return job_document.enter(job, "Stopping", now, status="Stopping")
