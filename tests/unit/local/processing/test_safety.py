"""Processing jobs that are shut in, left alone or struck down."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ift_sagemaker import local
from ift_sagemaker.local.processing import document as job_document
from ift_sagemaker.local.processing.operations import with_execution
from ift_sagemaker.local.processing.run import ProcessingRun
from ift_sagemaker.local.protocol.errors import ServiceError, disk_full
from ift_sagemaker.local.running.isolation import choose
from ift_sagemaker.local.running.runner import Isolation, Launch, ProcessRunner, Program
from ift_sagemaker.local.s3.files import new_file
from ift_sagemaker.local.s3.objects import ObjectStore
from ift_sagemaker.local.state.resources import PROCESSING_JOB
from ift_sagemaker.local.state.settings import Context
from ift_sagemaker.local.state.store import Store
from ift_sagemaker.local.supervision.folders import Workplace
from ift_sagemaker.local.supervision.waiting import Time
from tests.unit.local.conftest import SUPERVISOR
from tests.unit.local.machine import BUCKET, ENDLESS, FakeTime, LocalAWS, Settle, processes_of
from tests.unit.local.processing.jobs import (
    FOLDER,
    FakeProgram,
    ended,
    job,
    log,
    output,
    process,
    request,
    says,
    source,
)

Make = Callable[..., LocalAWS]


def test_programs_that_write_their_inputs_cannot_change_what_is_in_s3(either_aws: LocalAWS) -> None:
    for name in ("rows", "both"):
        either_aws.put(f"{name}/a.txt", "original")
    script = """
for path in (ROWS / "a.txt", ML / "processing/both/a.txt", ML / "config/resourceconfig.json"):
    try:
        path.chmod(0o666)
        path.write_text("overwritten")
        print("wrote", path.parent.name)
    except OSError:
        print("refused", path.parent.name)
"""
    inputs = [source(name, f"s3://{BUCKET}/{name}/") for name in ("rows", "both")]
    outputs = [output("both", S3Uri=f"s3://{BUCKET}/out")]
    process(either_aws, "job", script, inputs=inputs, outputs=outputs)
    assert ended(either_aws)["ProcessingJobStatus"] == "Completed", log(either_aws)
    if either_aws.settings.runner == "bwrap":
        assert log(either_aws) == ["refused rows", "wrote both", "refused config"]
    else:
        assert "wrote both" in log(either_aws)
    assert either_aws.read("both/a.txt") == b"original"
    assert either_aws.read("out/a.txt") == b"overwritten"
    if either_aws.settings.runner == "bwrap" or os.geteuid() == 0:
        assert either_aws.read("rows/a.txt") == b"original"


@pytest.mark.bwrap
def test_a_sealed_program_has_no_network_and_sees_neither_the_local_root_nor_other_hosts(
    make_aws: Make,
) -> None:
    aws = make_aws(runner="bwrap", require_isolation="bwrap")
    script = """
import socket
print("interfaces", [name for _, name in socket.if_nameindex()])
print("root", os.path.exists(sys.argv[1]), sorted(os.listdir("/opt/ml")))
"""
    process(aws, "job", script, str(aws.root), hosts=2)
    assert ended(aws)["ProcessingJobStatus"] == "Completed", log(aws)
    for host in ("algo-1", "algo-2"):
        assert log(aws, host=host) == ["interfaces ['lo']", "root False ['config', 'output', 'processing']"]


def test_what_a_program_links_to_is_not_uploaded_nor_read(either_aws: LocalAWS) -> None:
    secrets = either_aws.root.parent / "secrets"
    secrets.mkdir()
    (secrets / "message").write_text("secret")
    script = """
secrets = pathlib.Path(sys.argv[1])
(OUT / "file").symlink_to(secrets / "message")
(OUT / "folder").symlink_to(secrets)
(OUT / "plain").write_text("mine")
(ML / "processing/more").rmdir()
(ML / "processing/more").symlink_to(secrets)
(ML / "output").rmdir()
(ML / "output").symlink_to(secrets)
"""
    outputs = [output(), output("more"), output("soon", "Continuous", LocalPath=f"{FOLDER}/more")]
    process(either_aws, "job", script, str(secrets), outputs=outputs)
    done = ended(either_aws)
    assert done["ProcessingJobStatus"] == "Completed", log(either_aws)
    assert "ExitMessage" not in done
    assert either_aws.keys() == ["out/plain", "programs/job/main.py"]


def test_a_job_whose_supervisor_is_killed_is_failed_and_nothing_of_it_runs_on(either_aws: LocalAWS) -> None:
    script = """
import subprocess
subprocess.Popen(["sleep", "60"])
print("begun", HOST, flush=True)
time.sleep(60)
"""
    process(either_aws, "job", script, hosts=2)
    for host in ("algo-1", "algo-2"):
        says(either_aws, f"begun {host}")
    kill_supervisors(either_aws.root)
    done = ended(either_aws)
    assert done["ProcessingJobStatus"] == "Failed"
    assert done["FailureReason"].startswith("InternalServerError: the supervisor of this processing-job died")
    assert Settle(3).until(lambda: not processes_of(either_aws.root))
    assert list((either_aws.root / "processing").iterdir()) == []


@pytest.mark.parametrize("moment", [0.0, 0.1, 0.2, 0.3])
def test_a_supervisor_killed_at_any_moment_leaves_an_ended_job_and_no_process(
    either_aws: LocalAWS, moment: float
) -> None:
    script = """
import subprocess
(OUT / HOST).write_bytes(bytes(2_000_000))
subprocess.Popen(["sleep", "60"])
"""
    process(either_aws, "job", script, hosts=2, outputs=[output(), output("soon", "Continuous")])
    time.sleep(moment)
    kill_supervisors(either_aws.root)
    assert ended(either_aws)["ProcessingJobStatus"] in ("Failed", "Completed")
    assert Settle(3).until(lambda: not processes_of(either_aws.root))
    assert list((either_aws.root / "processing").iterdir()) == []
    for key in either_aws.keys("out/"):  # what is in S3 is whole
        assert either_aws.read(key) == bytes(2_000_000)


def test_what_a_program_leaves_running_is_ended_with_the_job(aws: LocalAWS) -> None:
    script = """
import subprocess
quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
subprocess.Popen(["sleep", "61"], start_new_session=True, **quiet)
subprocess.Popen(["sleep", "62"])
"""
    process(aws, "job", script)
    assert ended(aws)["ProcessingJobStatus"] == "Completed"
    assert Settle(2).until(lambda: not processes_of(aws.root))


def test_status_tells_processing_jobs_and_a_reset_ends_them(tmp_path: Path) -> None:
    aws = LocalAWS(tmp_path / "aws", {"runner": "process"})
    process(aws, "job", ENDLESS)
    says(aws, "begun")
    assert local.status(aws.root)["processing_jobs"] == {"job": "InProgress"}
    assert local.supervisor_pid("processing-job", "job", aws.root) is not None
    local.reset(aws.root)
    assert [command for _, command in processes_of(aws.root) if SUPERVISOR in command] == []
    assert not aws.root.exists()


@dataclass
class FakeRunner:
    """Does in this process what the program of a host would do under `/opt/ml`."""

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
    arn = aws.settings.arn("sagemaker", "processing-job/job")
    new = job_document.new_job(request("job", **changes), arn, aws.settings, 900.0)
    made = with_execution(aws.context, new, choose(aws.settings))
    aws.store.insert(PROCESSING_JOB, "job", made)
    Workplace.of(aws.root, PROCESSING_JOB, "job").make()
    return made


def run(aws: LocalAWS, made: dict[str, Any], act: Callable[[Launch], int], **context: Any) -> dict[str, Any]:
    whole = {"settings": aws.settings, "store": aws.store, "objects": aws.objects, "clock": FakeTime()}
    clock = FakeTime()
    ProcessingRun(Context(**{**whole, **context}), made, FakeRunner(act), Time(clock.sleep, clock)).run()
    found = aws.store.get(PROCESSING_JOB, "job")
    assert found is not None
    assert not Workplace.of(aws.root, PROCESSING_JOB, "job").home.exists()
    return found


def write(launch: Launch) -> int:
    (launch.ml_root / "processing/out" / launch.host).write_text("rows")
    return 0


def test_a_run_reads_no_clock_but_the_one_it_was_given_and_tells_each_program_its_place(
    aws: LocalAWS,
) -> None:
    launched: list[Launch] = []

    def act(launch: Launch) -> int:
        launched.append(launch)
        return write(launch)

    found = run(aws, a_job(aws, hosts=2), act)
    assert (found["ProcessingJobStatus"], found["ProcessingEndTime"]) == ("Completed", 1000.0)
    assert aws.keys("out/") == ["out/algo-1", "out/algo-2"]
    assert [launch.host for launch in launched] == ["algo-1", "algo-2"]
    assert {tuple(launch.hosts) for launch in launched} == {()}  # names resolve in bubblewrap alone
    assert not any(launch.network for launch in launched)
    assert {launch.read_only for launch in launched} == {("config", "processing/code")}


@pytest.mark.parametrize("mode", ["EndOfJob", "Continuous"])
def test_an_object_store_without_space_fails_the_job_and_nothing_is_left_of_its_outputs(
    aws: LocalAWS, mode: str
) -> None:
    class Full(ObjectStore):
        def put_file(self, bucket: str, key: str, *rest: Any, **more: Any) -> Any:
            if key.endswith("algo-2"):
                raise disk_full(self.store.root)
            return super().put_file(bucket, key, *rest, **more)

    made = a_job(aws, hosts=2, outputs=[output(mode=mode)])
    found = run(aws, made, write, objects=Full(aws.store, new_file))
    assert found["FailureReason"].startswith("InternalServerError: no space left")
    assert aws.keys("out/") == ([] if mode == "EndOfJob" else ["out/algo-1"])


def test_a_fault_of_the_local_aws_itself_becomes_the_failure_reason(
    aws: LocalAWS, capsys: pytest.CaptureFixture[str]
) -> None:
    def act(launch: Launch) -> int:
        raise RuntimeError("this is not supposed to happen")

    found = run(aws, a_job(aws), act)
    assert found["FailureReason"] == "InternalServerError: RuntimeError: this is not supposed to happen"
    assert "Traceback" in capsys.readouterr().err
    assert log(aws)[-1] == "ift-local: RuntimeError: this is not supposed to happen"


def test_a_stop_that_comes_while_results_are_uploaded_ends_the_job_stopped(aws: LocalAWS) -> None:
    def act(launch: Launch) -> int:
        aws.store.update(PROCESSING_JOB, "job", lambda there: job_document.stop(there, 1000.0))
        return write(launch)

    assert run(aws, a_job(aws), act)["ProcessingJobStatus"] == "Stopped"


def test_a_store_that_is_full_for_a_moment_does_not_lose_the_end_of_a_job(aws: LocalAWS) -> None:
    class Flaky(Store):
        left = 2

        def update(self, kind: str, name: str, change: Any) -> dict[str, Any]:
            def count(document: dict[str, Any]) -> dict[str, Any]:
                changed: dict[str, Any] = change(document)
                if changed["ProcessingJobStatus"] == "Completed" and Flaky.left:
                    Flaky.left -= 1
                    raise sqlite3.OperationalError("database or disk is full")
                return changed

            return super().update(kind, name, count)

    assert run(aws, a_job(aws), write, store=Flaky(aws.root))["ProcessingJobStatus"] == "Completed"
    assert Flaky.left == 0


def test_documents_change_only_as_a_job_can() -> None:
    made: dict[str, Any] = {"ProcessingJobStatus": "InProgress"}
    stopping = job_document.stop(made, 11.0)
    assert job_document.stop(stopping, 12.0) == stopping
    with pytest.raises(job_document.StopAsked):
        job_document.started(stopping, 12.0)
    done = job_document.ended(stopping, "Stopped", 15.0)
    assert job_document.ended(done, "Failed", 16.0, "too late") == done
    with pytest.raises(ServiceError, match="Stopped"):
        job_document.stop(done, 17.0)
    assert len(job_document.ended(made, "Failed", 1.0, "x" * 5000)["FailureReason"]) == 1024


def test_a_job_that_is_gone_is_missing(aws: LocalAWS) -> None:
    made = a_job(aws)
    aws.store.delete(PROCESSING_JOB, "job")
    with pytest.raises(aws.sagemaker.exceptions.ClientError, match="Could not find requested job"):
        job(aws)
    assert made["ProcessingJobStatus"] == "InProgress"


def kill_supervisors(root: Path) -> None:
    for pid, command in processes_of(root):
        if SUPERVISOR in command:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
