"""`ift local serve` as a process: how it begins, how it ends, and what outlives it."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ift_sagemaker import local
from ift_sagemaker.local.door.server import Served
from tests.unit.local.conftest import end_everything
from tests.unit.local.door.sockets import client, dial, until
from tests.unit.local.machine import PREAMBLE, LocalAWS, Settle

IFT = "import sys; sys.argv[0] = 'ift'; from ift_sagemaker.cli import main; main()"


class Serving:
    """A running `ift local serve --json`."""

    def __init__(self, root: Path, *words: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", IFT, "local", "serve", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_environment(root),
            text=True,
        )

    def served(self) -> Served:
        assert self.process.stdout is not None
        told = json.loads(self.process.stdout.readline())
        assert told["pid"] == self.process.pid
        return Served(told["url"], Path(told["root"]), told["environment"])

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        self.process.communicate(timeout=20)
        return self.process.returncode


def _environment(root: Path) -> dict[str, str]:
    return {**os.environ, "IFT_LOCAL_ROOT": str(root), "IFT_LOCAL_RUNNER": "process"}


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "aws"
    end_everything(tmp_path / "aws")


@pytest.fixture
def start(root: Path) -> Iterator[Callable[..., Serving]]:
    made: list[Serving] = []

    def begin(*words: str) -> Serving:
        made.append(Serving(root, *(words or ("--port", "0", "--json"))))
        return made[-1]

    yield begin
    for serving in made:
        if serving.process.poll() is None:
            serving.process.kill()
        serving.process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_either_signal_ends_it_cleanly_and_its_entry_goes(
    start: Callable[..., Serving], root: Path, number: int
) -> None:
    serving = start()
    served = serving.served()
    assert local.status(root)["servers"] == {served.url: serving.process.pid}
    assert client(served, "s3").list_buckets()["Buckets"] == []
    assert serving.end(number) == 0
    assert local.status(root)["servers"] == {}


def test_the_lines_it_prints_point_a_shell_to_it(start: Callable[..., Serving]) -> None:
    stdout: Any = start("--port", "0").process.stdout
    lines = [shlex.split(stdout.readline()) for _ in range(6)]
    assert {line[0] for line in lines} == {"export"}
    told = dict(word.split("=", 1) for _, word in lines)
    assert told["AWS_ENDPOINT_URL"].startswith("http://127.0.0.1:")
    assert (told["AWS_REGION"], told["AWS_DEFAULT_REGION"]) == ("us-east-1", "us-east-1")
    assert told["AWS_EC2_METADATA_DISABLED"] == "true"
    assert client(Served(told["AWS_ENDPOINT_URL"], Path(), told), "s3").list_buckets()["Buckets"] == []


def test_what_was_accepted_outlives_a_killed_server_and_a_new_one_goes_on_with_it(
    start: Callable[..., Serving], root: Path
) -> None:
    serving = start()
    served = serving.served()
    s3, sagemaker = client(served, "s3"), client(served, "sagemaker")
    aws = LocalAWS(root, {"runner": "process"})
    script = PREAMBLE + "import time\nprint('begun', flush=True)\n"
    script += "while not pathlib.Path(sys.argv[1]).exists(): time.sleep(0.02)\n"
    s3.put_object(Bucket="bucket", Key="programs/job/main.py", Body=script.encode())
    sagemaker.create_training_job(**aws.request("job", str(root.parent / "go-on")))
    with dial(served) as half:
        half.sendall(b"PUT /bucket/half HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: 100-continue\r\n")
        half.sendall(b"Authorization: Credential=K/20260101/us-east-1/s3/aws4_request\r\n")
        half.sendall(b"Content-Length: 10\r\n\r\n")
        until(half, b"\r\n\r\n")
        half.sendall(b"half")
        assert serving.end(signal.SIGKILL) == -signal.SIGKILL
    assert local.status(root)["servers"] == {}
    (root.parent / "go-on").touch()
    again = start().served()
    sagemaker = client(again, "sagemaker")
    ended = Settle(20).until(
        lambda: sagemaker.describe_training_job(TrainingJobName="job")["TrainingJobStatus"] == "Completed"
    )
    assert ended, sagemaker.describe_training_job(TrainingJobName="job")
    keys = [found["Key"] for found in client(again, "s3").list_objects_v2(Bucket="bucket")["Contents"]]
    assert keys == ["out/job/output/model.tar.gz", "programs/job/main.py"]


def test_a_job_goes_on_when_its_server_is_asked_to_end(start: Callable[..., Serving], root: Path) -> None:
    serving = start()
    served = serving.served()
    aws = LocalAWS(root, {"runner": "process"})
    script = PREAMBLE + "print('begun', flush=True)\ntime.sleep(30)\n"
    client(served, "s3").put_object(Bucket="bucket", Key="programs/job/main.py", Body=script.encode())
    client(served, "sagemaker").create_training_job(**aws.request("job"))
    aws.says("job", "begun")
    assert serving.end(signal.SIGINT) == 0
    assert aws.job("job")["TrainingJobStatus"] == "InProgress"
    assert local.supervisor_pid("job", "job", root) is not None


def test_a_reset_ends_the_server_and_removes_all(start: Callable[..., Serving], root: Path) -> None:
    serving = start()
    client(serving.served(), "s3").create_bucket(Bucket="bkt")
    local.reset(root)
    assert not root.exists()
    assert serving.process.wait(10) == 0


def test_a_taken_port_is_a_matter_of_configuration(start: Callable[..., Serving]) -> None:
    port = start().served().url.rpartition(":")[2]
    second = start("--port", port)
    out, error = second.process.communicate(timeout=20)
    assert (second.process.returncode, out) == (3, "")
    assert f"port {port} is in use: name another with --port, or 0 for any free one" in error
