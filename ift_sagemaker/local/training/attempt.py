"""One try of a training job: inputs in place, a program started on every host, all followed to their end."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace

from ift_sagemaker.local.logs.shipping import LogPump
from ift_sagemaker.local.running.checkpoints import CheckpointMirror, MirrorThread, checkpoint_folder
from ift_sagemaker.local.running.hosts import Host, addresses
from ift_sagemaker.local.running.inputs import Inputs, sealed
from ift_sagemaker.local.running.runner import (
    COVERAGE,
    Launch,
    Program,
    Runner,
    default_environment,
    introduction,
)
from ift_sagemaker.local.running.staging import Reading, may_share
from ift_sagemaker.local.state.resources import Document
from ift_sagemaker.local.state.settings import Context
from ift_sagemaker.local.supervision.folders import Workplace
from ift_sagemaker.local.supervision.waiting import Time
from ift_sagemaker.local.supervision.watch import (
    INTERRUPTION,
    MAX_RUNTIME,
    MAX_WAIT,
    STOP,
    Ended,
    Limits,
    Outputs,
    Programs,
    Watch,
)
from ift_sagemaker.local.training import document as job_document
from ift_sagemaker.local.training.record import JobMetrics, JobRecord


@dataclass(frozen=True)
class Machine:
    """Where and by what a job runs. `end_leftovers` ends what its programs left behind."""

    runner: Runner
    place: Workplace
    hosts: Sequence[Host]
    waits: Time
    end_leftovers: Callable[[], object]


class Attempt:
    """Runs once. `limits` is asked when the programs have started."""

    def __init__(
        self, record: JobRecord, metrics: JobMetrics, machine: Machine, limits: Callable[[], Limits]
    ) -> None:
        self._record = record
        self._metrics = metrics
        self._machine = machine
        self._limits = limits
        self._inputs = Inputs(
            record.asked, machine.hosts, record.context.objects, share=may_share(machine.runner.name)
        )

    def run(self) -> Ended:
        """How the programs ended; nothing of them runs any more.

        Raises:
            DownloadError: an input could not be brought, before or while they ran.
            StartError: a program could not be started.
            StopAsked: somebody stopped the job before it ran.
        """
        try:
            mirrors = self._stage()
            self._record.refuse_stopped()
            return self._train(mirrors)
        finally:
            self._inputs.finish()

    def _stage(self) -> list[MirrorThread]:
        folders = {host.name: self._machine.place.ml(host.name) for host in self._machine.hosts}
        for _ in self._inputs.stage(folders):
            self._record.refuse_stopped()
        uri = self._record.asked.get("CheckpointConfig", {}).get("S3Uri")
        return [self._mirror(uri, host) for host in self._machine.hosts] if uri else []

    def _mirror(self, uri: str, host: Host) -> MirrorThread:
        """The checkpoints of one host. All hosts share one prefix without suffixes, as on AWS.

        Source: AWS, "Use checkpoints in Amazon SageMaker AI", considerations for checkpointing.
        """
        place = self._machine.place
        folder = checkpoint_folder(self._record.asked, place.ml(host.name))
        # not on the desk of another host: copies on their way have one name
        desk = place.outgoing if host is self._machine.hosts[0] else place.outgoing / host.name
        mirror = CheckpointMirror(self._record.context.objects, uri, folder, desk)
        with Reading(uri):
            mirror.restore()
        return MirrorThread(mirror, self._report)

    def _train(self, mirrors: Sequence[MirrorThread]) -> Ended:
        with ExitStack() as ending:  # what was entered last ends first
            for mirror in mirrors:
                ending.callback(mirror.finish)
            ending.callback(self._machine.end_leftovers)
            started: dict[str, Program] = {}
            pumps: list[LogPump] = []
            for host in self._machine.hosts:
                started[host.name] = self._started(host, pumps, ending)
            self._record.update(lambda job, now: _training(job, now, started))
            self._inputs.start()
            for mirror in mirrors:
                mirror.start()
            return self._followed(started, pumps)

    def _started(self, host: Host, pumps: list[LogPump], ending: ExitStack) -> Program:
        readable, writable = os.pipe()
        ending.callback(os.close, readable)
        waits, clock = self._machine.waits, self._record.context.clock
        pump = LogPump(readable, self._record.ship_of(host.name), self._metrics.see, clock, waits.monotonic)
        pumps.append(pump)
        ending.callback(pump.drain, 0)
        try:
            for line in self._introduction():
                pump.note(line)
            program = self._machine.runner.start(self._launch(host, writable))
        finally:
            os.close(writable)
        ending.callback(program.kill)
        return program

    def _launch(self, host: Host, output: int) -> Launch:
        place, context = self._machine.place, self._record.context
        image, replaces_entrypoint = self._record.asked.get("_image", ("", False))
        return Launch(
            command=tuple(self._record.asked["_command"]),
            environment=environment(
                self._record.asked, context, self._machine.runner.name, len(self._machine.hosts)
            ),
            ml_root=place.ml(host.name),
            scratch=place.scratch(host.name),
            output=output,
            read_only=sealed(self._record.asked, self._machine.hosts, host),
            hidden=(context.store.root,),
            image=image,
            replaces_entrypoint=replaces_entrypoint,
            host=host.name,
            hosts=addresses(self._machine.hosts),
        )

    def _followed(self, started: Mapping[str, Program], pumps: Sequence[LogPump]) -> Ended:
        limits, monotonic = self._limits(), self._machine.waits.monotonic
        programs = Programs(started, limits.grace, monotonic)
        watch = Watch(programs, Outputs(pumps), limits, self._tick, self._on_stop, monotonic)
        return replace(watch.run(), host=programs.failed)

    def _tick(self) -> str:
        """Why the programs must stop, if they must; brings the metrics up to date on the way."""
        self._inputs.refuse_failed()
        with suppress(sqlite3.Error):
            self._metrics.publish()
            job = self._record.now()
            if job is None or job["TrainingJobStatus"] != "InProgress":
                return STOP
            return INTERRUPTION if job.get("_interrupted") else ""
        return ""

    def _on_stop(self, cause: str) -> None:
        if cause in (MAX_RUNTIME, MAX_WAIT):
            self._record.update(lambda job, now: _while_in_progress(job, now, "Stopping"))
        elif cause == INTERRUPTION:
            self._record.update(lambda job, now: _while_in_progress(job, now, "Interrupted"))

    def _introduction(self) -> list[str]:
        images, command = self._record.asked["_images"], self._record.asked["_command"]
        known = f" (known here as {images['known_as']})" if images["known_as"] else ""
        executed = f"{images['executed']}, {' '.join(command)}"
        lines = introduction(self._machine.runner, f"{images['asked']}{known}", executed, network=False)
        sources: Mapping[str, str] = self._record.asked.get("_sources", {})
        lines += [f"ift-local: {asked} comes from {source}" for asked, source in sources.items()]
        stand_in = self._record.asked.get("_stand_in")
        return [*lines, f"ift-local: {stand_in}"] if stand_in else lines

    def _report(self, text: str) -> None:
        with suppress(sqlite3.Error):
            self._record.tell(text)


def environment(job: Document, context: Context, runner: str, hosts: int = 1) -> dict[str, str]:
    """A training program's environment. The request's own variables may replace ours, not the contract's."""
    region = context.settings.region
    passed = {name: os.environ[name] for name in COVERAGE if runner == "process" and name in os.environ}
    programs = context.settings.job_slots * hosts
    return {
        **default_environment(),
        **passed,
        # threads that wait for cores they do not get are by far the worst slowdown of a training step
        "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // programs)),
        **job.get("Environment", {}),
        "TRAINING_JOB_NAME": job["TrainingJobName"],
        "TRAINING_JOB_ARN": job["TrainingJobArn"],
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
    }


def _training(job: Document, now: float, programs: Mapping[str, Program]) -> Document:
    moved = job_document.enter(job, "Training", now) if job["TrainingJobStatus"] == "InProgress" else job
    return {**moved, "_programs": [program.record() for program in programs.values()]}


def _while_in_progress(job: Document, now: float, secondary: str) -> Document:
    """The job in that secondary status, unless somebody stopped it meanwhile."""
    if job["TrainingJobStatus"] != "InProgress":
        return job
    return job_document.enter(job, secondary, now, status="Stopping" if secondary == "Stopping" else "")
