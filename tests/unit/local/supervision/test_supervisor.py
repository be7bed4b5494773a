"""Supervisors and what holds them together: runs with a program of the test's, leases, slots, reconciling."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.running.isolation import choose
from ift_sagemaker.local.running.runner import Isolation, Launch, ProcessRunner, Program
from ift_sagemaker.local.s3.files import new_file
from ift_sagemaker.local.s3.objects import ObjectStore
from ift_sagemaker.local.state.resources import TRAINING_JOB
from ift_sagemaker.local.state.settings import Context
from ift_sagemaker.local.state.store import Store
from ift_sagemaker.local.supervision import reconcile, supervisor
from ift_sagemaker.local.supervision.folders import Workplace
from ift_sagemaker.local.supervision.launch import begin, supervisor_environment
from ift_sagemaker.local.supervision.leases import acquire, lease_path
from ift_sagemaker.local.supervision.waiting import Time
from ift_sagemaker.local.supervision.watch import EXIT, MAX_RUNTIME, STOP, Ended, Limits, Watch
from ift_sagemaker.local.training import document as job_document
from ift_sagemaker.local.training.operations import with_execution
from ift_sagemaker.local.training.run import TrainingRun
from tests.unit.local.machine import BUCKET, FakeTime, LocalAWS

Make = Callable[..., LocalAWS]


@dataclass
class FakeProgram:
    """A program that has ended, or goes on until it is signalled."""

    code: int | None = 0
    on_terminate: int | None = 0
    signals: list[str] = field(default_factory=list)

    def record(self) -> dict[str, Any]:
        return {"pid": 2**22 + 1, "started": 1, "boot": "none"}

    def poll(self) -> int | None:
        return self.code

    def wait(self, timeout: float) -> int | None:
        return self.code

    def terminate(self) -> None:
        self.signals.append("TERM")
        self.code = self.on_terminate

    def kill(self) -> None:
        self.signals.append("KILL")
        self.code = 137 if self.code is None else self.code


@dataclass
class FakeRunner:
    """Does in this process what a program would do under `/opt/ml`."""

    act: Callable[[Launch], int]
    name: str = "process"

    def isolation(self, *, network: bool) -> Isolation:
        return ProcessRunner().isolation(network=network)

    def start(self, launch: Launch) -> Program:
        return FakeProgram(self.act(launch))

    def end_remains(self, records: Sequence[dict[str, Any]], home: Path) -> None:
        pass


def a_job(aws: LocalAWS, **changes: Any) -> dict[str, Any]:
    """A job that was created and whose supervisor has not begun."""
    aws.put("programs/job/main.py", "pass")
    arn = aws.settings.arn("sagemaker", "training-job/job")
    new = job_document.new_job(aws.request("job", **changes), arn, aws.settings, 900.0)
    job = with_execution(aws.context, new, choose(aws.settings))
    aws.store.insert(TRAINING_JOB, "job", job)
    Workplace.of(aws.root, TRAINING_JOB, "job").make()
    return job


def run(aws: LocalAWS, job: dict[str, Any], act: Callable[[Launch], int], **context: Any) -> dict[str, Any]:
    whole = {"settings": aws.settings, "store": aws.store, "objects": aws.objects, "clock": FakeTime()}
    TrainingRun(Context(**{**whole, **context}), job, FakeRunner(act)).run()
    found = aws.store.get(TRAINING_JOB, "job")
    assert found is not None
    assert not Workplace.of(aws.root, TRAINING_JOB, "job").home.exists()
    return found


def learn(launch: Launch) -> int:
    (launch.ml_root / "model" / "weights").write_text("learned")
    os.write(launch.output, b"learning\n")
    return 0


def test_a_run_reads_no_clock_but_the_one_it_was_given(aws: LocalAWS) -> None:
    job = run(aws, a_job(aws), learn)
    assert (job["TrainingJobStatus"], job["TrainingEndTime"]) == ("Completed", 1000.0)
    assert aws.log("job")[-1] == "learning"


def test_a_full_disk_while_packing_fails_the_job_and_leaves_nothing_in_s3(aws: LocalAWS) -> None:
    def act(launch: Launch) -> int:
        outgoing = launch.ml_root.parents[2] / "outgoing"
        outgoing.mkdir()
        (outgoing / "output.tar.gz").symlink_to("/dev/full")
        (launch.ml_root / "output" / "data" / "rows").write_bytes(os.urandom(50_000))
        return learn(launch)

    job = run(aws, a_job(aws), act)
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("InternalServerError: no space left on the disk of the local AWS")
    assert aws.keys("out/") == []


def test_a_full_disk_while_checkpointing_is_told_and_the_job_goes_on(aws: LocalAWS) -> None:
    def act(launch: Launch) -> int:
        (launch.ml_root / "checkpoints" / "state").write_text("1")
        outgoing = launch.ml_root.parents[2] / "outgoing"
        outgoing.mkdir()
        (outgoing / "checkpoint").symlink_to("/dev/full")
        return learn(launch)

    job = run(aws, a_job(aws, CheckpointConfig={"S3Uri": f"s3://{BUCKET}/cp"}), act)
    assert job["TrainingJobStatus"] == "Completed"
    assert aws.keys("cp/") == []
    assert [line for line in aws.log("job") if "checkpoints could not be written" in line]


def test_a_store_that_is_full_for_a_moment_does_not_lose_the_end_of_a_job(aws: LocalAWS) -> None:
    class Flaky(Store):
        left = 2

        def update(self, kind: str, name: str, change: Any) -> dict[str, Any]:
            def count(document: dict[str, Any]) -> dict[str, Any]:
                changed: dict[str, Any] = change(document)
                if changed["TrainingJobStatus"] == "Completed" and Flaky.left:
                    Flaky.left -= 1
                    raise sqlite3.OperationalError("database or disk is full")
                return changed

            return super().update(kind, name, count)

    job, waits = a_job(aws), FakeTime()
    context = Context(aws.settings, Flaky(aws.root), aws.objects, FakeTime())
    TrainingRun(context, job, FakeRunner(learn), Time(waits.sleep, waits)).run()
    found = aws.store.get(TRAINING_JOB, "job")
    assert found is not None
    assert found["TrainingJobStatus"] == "Completed"
    assert waits.slept == [0.5, 0.5]


def test_a_fault_of_the_local_aws_itself_becomes_the_failure_reason(
    aws: LocalAWS, capsys: pytest.CaptureFixture[str]
) -> None:
    def act(launch: Launch) -> int:
        raise RuntimeError("this is not supposed to happen")

    job = run(aws, a_job(aws), act)
    assert job["FailureReason"] == "InternalServerError: RuntimeError: this is not supposed to happen"
    assert "Traceback" in capsys.readouterr().err
    told = [line for line in aws.log("job") if line.startswith("ift-local: ")]
    assert "ift-local: Traceback (most recent call last):" in told
    assert told[-1] == "ift-local: RuntimeError: this is not supposed to happen"


def test_a_stop_that_comes_while_results_are_uploaded_ends_the_job_stopped(aws: LocalAWS) -> None:
    def act(launch: Launch) -> int:
        aws.store.update(TRAINING_JOB, "job", lambda there: job_document.stop(there, 1000.0))
        return learn(launch)

    job = run(aws, a_job(aws), act)
    assert job["TrainingJobStatus"] == "Stopped"
    assert aws.keys("out/") == ["out/job/output/model.tar.gz"]


def test_an_object_store_without_space_fails_the_job(aws: LocalAWS) -> None:
    class Full(ObjectStore):
        def put_file(self, *_: Any, **__: Any) -> Any:
            from ift_sagemaker.local.protocol.errors import disk_full

            raise disk_full(self.store.root)

    job = run(aws, a_job(aws), learn, objects=Full(aws.store, new_file))
    assert job["FailureReason"].startswith("InternalServerError: no space left")


@dataclass
class Silence:
    """The output of a program that prints nothing while time goes by."""

    clock: FakeTime

    def turn(self, timeout: float) -> None:
        self.clock.sleep(timeout)

    def drain(self, patience: float) -> None:
        pass


def watch(
    program: FakeProgram, clock: FakeTime, ticks: Iterator[str], run: float = 100.0
) -> tuple[Ended, list[str]]:
    causes: list[str] = []
    limits = Limits(run, 10.0)
    ended = Watch(program, Silence(clock), limits, lambda: next(ticks), causes.append, clock).run()
    return ended, causes


def stop_after(count: int) -> Iterator[str]:
    yield from [""] * count
    while True:
        yield STOP


def test_a_program_that_ends_by_itself_gets_no_signal() -> None:
    program = FakeProgram(3)
    assert watch(program, FakeTime(), stop_after(0)) == (Ended(3, EXIT), [])
    assert program.signals == []


def test_a_stop_is_sigterm_and_after_the_grace_sigkill() -> None:
    clock, program = FakeTime(), FakeProgram(None, on_terminate=None)
    ended, causes = watch(program, clock, stop_after(4))
    assert (ended, causes) == (Ended(137, STOP), ["stop"])
    assert program.signals == ["TERM", "KILL"]
    assert 11 <= clock.now - 1000 <= 14


def test_a_program_over_its_time_is_stopped_once() -> None:
    clock, program = FakeTime(), FakeProgram(None, on_terminate=0)
    ended, causes = watch(program, clock, iter(lambda: "", None), run=5.0)
    assert (ended, causes) == (Ended(0, MAX_RUNTIME), ["max-runtime"])
    assert program.signals == ["TERM"]


def test_listing_goes_on_where_a_dead_job_cannot_be_written(aws: LocalAWS) -> None:
    class ReadOnly(Store):
        def update(self, kind: str, name: str, change: Any) -> dict[str, Any]:
            raise sqlite3.OperationalError("database or disk is full")

    a_job(aws)
    context = Context(aws.settings, ReadOnly(aws.root), aws.objects, FakeTime())
    (found,) = reconcile.all_current(context, TRAINING_JOB)
    assert found["TrainingJobStatus"] == "Failed"
    kept = aws.store.get(TRAINING_JOB, "job")
    assert kept is not None
    assert kept["TrainingJobStatus"] == "InProgress"


def test_a_burial_that_is_cut_short_is_made_good_by_the_next_look(aws: LocalAWS) -> None:
    class Killed(Store):
        def update(self, kind: str, name: str, change: Any) -> dict[str, Any]:
            raise KeyboardInterrupt

    a_job(aws)
    with pytest.raises(KeyboardInterrupt):
        list(
            reconcile.all_current(
                Context(aws.settings, Killed(aws.root), aws.objects, FakeTime()), TRAINING_JOB
            )
        )
    assert not Workplace.of(aws.root, TRAINING_JOB, "job").home.exists()
    assert aws.job("job")["TrainingJobStatus"] == "Failed"


def test_a_job_whose_supervisor_cannot_start_leaves_neither_folder_nor_ticket(aws: LocalAWS) -> None:
    def start(root: Path, kind: str, name: str, lease: object) -> None:
        raise OSError(errno.EAGAIN, "no process left")

    document = {"CreationTime": 900.0, "TrainingJobName": "job"}
    with pytest.raises(ServiceError, match="could not be started"):
        begin(aws.context, TRAINING_JOB, "job", document, 1, start)
    assert aws.store.get(TRAINING_JOB, "job") is None
    assert not Workplace.of(aws.root, TRAINING_JOB, "job").home.exists()
    assert list((aws.root / "queue" / TRAINING_JOB).iterdir()) == []


def test_the_last_words_of_a_broken_supervisor_are_in_the_failure_reason(aws: LocalAWS) -> None:
    a_job(aws)
    Workplace.of(aws.root, TRAINING_JOB, "job").log.write_text("Traceback …\nMemoryError: too big\n")
    assert aws.job("job")["FailureReason"] == (
        "InternalServerError: the supervisor of this job died: MemoryError: too big"
    )


def test_a_supervisor_that_starts_buries_the_dead_of_others(aws: LocalAWS) -> None:
    a_job(aws)
    dead = acquire(lease_path(aws.root, TRAINING_JOB, "job"))
    assert dead is not None
    dead.release()
    aws.train("other", "pass")
    assert aws.ended("other")["TrainingJobStatus"] == "Completed"
    found = aws.store.get(TRAINING_JOB, "job")
    assert found is not None
    assert found["TrainingJobStatus"] == "Failed"


def test_a_supervisor_without_a_job_or_beside_another_does_nothing(
    aws: LocalAWS, capsys: pytest.CaptureFixture[str]
) -> None:
    assert supervisor.main([str(aws.root), "job", "other"]) == 1
    assert "there is no training-job other" in capsys.readouterr().err
    a_job(aws)
    lease = acquire(lease_path(aws.root, TRAINING_JOB, "job"))
    assert lease is not None
    assert supervisor.main([str(aws.root), "job", "job"]) == 1
    assert "has a supervisor already" in capsys.readouterr().err
    assert aws.job("job")["TrainingJobStatus"] == "InProgress"
    lease.release()


def test_a_supervisor_inherits_no_credentials_and_imports_from_nowhere_else() -> None:
    caller = {
        "PATH": "/bin",
        "HOME": "/root",
        "AWS_ACCESS_KEY_ID": "x",
        "HF_TOKEN": "x",
        "PYTHONPATH": "/evil",
    }
    found = supervisor_environment(caller)
    assert set(found) - {"PYTHONPATH"} == {"PATH", "HOME", "PYTHONSAFEPATH"}
    assert found.get("PYTHONPATH") != "/evil"


def test_a_supervisor_loads_no_heavy_library() -> None:
    code = (
        "import sys, ift_sagemaker.local.supervision.supervisor, ift_sagemaker.local.training.run;"
        "print([name for name in ('boto3', 'botocore', 'pydantic', 'pandas', 'torch', 'asyncio')"
        " if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


def test_creating_one_name_from_many_threads_makes_one_job(aws: LocalAWS) -> None:
    aws.put("programs/job/main.py", "pass")
    results: list[str] = []

    def create() -> None:
        try:
            aws.sagemaker.create_training_job(**aws.request("job"))
            results.append("made")
        except aws.sagemaker.exceptions.ResourceInUse:
            results.append("taken")

    threads = [threading.Thread(target=create) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(results) == ["made"] + ["taken"] * 5
    assert aws.ended("job")["TrainingJobStatus"] == "Completed"


def test_documents_change_only_as_a_job_can() -> None:
    job: dict[str, Any] = {
        "TrainingJobStatus": "InProgress",
        "SecondaryStatusTransitions": [],
        "TrainingStartTime": 10.0,
    }
    stopping = job_document.stop(job, 11.0)
    assert job_document.stop(stopping, 12.0) == stopping
    with pytest.raises(job_document.StopAsked):
        job_document.advance(stopping, "Training", 12.0)
    done = job_document.ended(stopping, "MaxRuntimeExceeded", 15.4)
    assert (done["TrainingJobStatus"], done["TrainingTimeInSeconds"]) == ("Stopped", 5)
    assert job_document.ended(done, "Failed", 16.0, "too late") == done
    with pytest.raises(ServiceError, match="Stopped"):
        job_document.stop(done, 17.0)
    assert job_document.algorithm_error(1, "x" * 5000).endswith("x, exit code: 1")
    assert len(job_document.algorithm_error(137, "x" * 5000)) <= 1024


def test_a_job_that_links_out_of_its_folder_gets_no_file_of_this_machine(aws: LocalAWS) -> None:
    secrets = aws.root.parent / "secrets"
    secrets.mkdir()
    (secrets / "failure").write_text("secret")

    def act(launch: Launch) -> int:
        for name in ("model", "output/data", "checkpoints"):
            (launch.ml_root / name).rmdir()
            (launch.ml_root / name).symlink_to(secrets)
        return 0

    job = run(aws, a_job(aws, CheckpointConfig={"S3Uri": f"s3://{BUCKET}/cp"}), act)
    assert job["TrainingJobStatus"] == "Completed"
    assert aws.keys("out/") == ["out/job/output/model.tar.gz"]
    assert aws.members("out/job/output/model.tar.gz") == {}
    assert aws.keys("cp/") == []


def test_a_failure_text_is_not_read_through_a_link(aws: LocalAWS) -> None:
    secrets = aws.root.parent / "secrets"
    secrets.mkdir()
    (secrets / "failure").write_text("secret")

    def act(launch: Launch) -> int:
        (launch.ml_root / "output" / "data").rmdir()
        (launch.ml_root / "output").rmdir()
        (launch.ml_root / "output").symlink_to(secrets)
        return 1

    job = run(aws, a_job(aws), act)
    assert job["TrainingJobStatus"] == "Failed"
    assert "secret" not in job["FailureReason"]


def test_an_engine_that_is_gone_keeps_nothing_but_its_own_jobs_from_being_mended(aws: LocalAWS) -> None:
    stuck = {**a_job(aws), "_runner": "nerdctl"}  # which is on none of the machines that run this
    aws.store.update(TRAINING_JOB, "job", lambda _: stuck)
    other = {**stuck, "TrainingJobName": "other", "_runner": "process"}
    aws.store.insert(TRAINING_JOB, "other", other)
    for name in ("job", "other"):
        lease = acquire(lease_path(aws.root, TRAINING_JOB, name))
        assert lease is not None
        lease.release()
    reconcile.sweep(aws.context)
    listed = aws.sagemaker.list_training_jobs(SortBy="Name", SortOrder="Ascending")["TrainingJobSummaries"]
    assert [job["TrainingJobStatus"] for job in listed] == ["InProgress", "Failed"]
    assert aws.job("job")["TrainingJobStatus"] == "InProgress"
