"""An upload that is killed anywhere is carried on by the next run, and two runs at once make one object."""

from __future__ import annotations

import hashlib
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ift_sagemaker import local
from ift_sagemaker.aws.client import AWSClient
from ift_sagemaker.aws.upload import Sending
from ift_sagemaker.data.sending.manifest import MIN_PART_BYTES
from ift_sagemaker.session import Session

KILLS = 20
SIZE = 2 * MIN_PART_BYTES + 12345
STEPS = 24
"""Requests of one upload, each about to be sent and just answered."""
BUCKET = "sagemaker-us-east-1-123456789012"

# Imports once; then every line on stdin starts a process that uploads: to which prefix, after how many
# seconds it is killed, and at which of its steps it kills itself.
UPLOADER = """
import itertools, os, signal, sys, time
from pathlib import Path
from ift_sagemaker import local
from ift_sagemaker.aws.client import AWSClient
from ift_sagemaker.aws.upload import Sending
from ift_sagemaker.session import Session
while line := sys.stdin.readline().split():
    prefix, seconds, last_step = line[0], float(line[1]), int(line[2])
    child = os.fork()
    if child == 0:
        boto = local.boto3_session()
        steps = itertools.count(1)
        def step(**_):
            if next(steps) == last_step:
                os.kill(os.getpid(), signal.SIGKILL)
        boto.events.register_first("before-call.s3", step)
        boto.events.register_first("after-call.s3", step)
        sending = Sending(part_bytes=int(sys.argv[2]), threads=2)
        Session(AWSClient(boto), sending=sending).upload(Path(sys.argv[1]), prefix=prefix)
        os._exit(0)
    if seconds >= 0:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""


class Uploader:
    """Uploads one file in processes that can be killed."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def start(self, prefix: str, kill_after: float = -1, kill_at: int = 0) -> None:
        """`kill_after` in seconds, `kill_at` a step from 1; without either the upload runs to its end."""
        assert self._process.stdin
        self._process.stdin.write(f"{prefix} {kill_after} {kill_at}\n")
        self._process.stdin.flush()

    def exit_code(self) -> int:
        """Of the upload that was started; -9 where it was killed."""
        assert self._process.stdout
        return int(self._process.stdout.readline())


@contextmanager
def _uploader(source: Path) -> Iterator[Uploader]:
    with subprocess.Popen(
        [sys.executable, "-c", UPLOADER, str(source), str(MIN_PART_BYTES)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as process:
        yield Uploader(process)
        assert process.stdin
        process.stdin.close()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "rows.bin"
    path.write_bytes(random.Random(1).randbytes(SIZE))
    return path


def _session() -> Session:
    return Session(AWSClient(local.boto3_session()), sending=Sending(part_bytes=MIN_PART_BYTES))


def _uploads(s3: Any) -> list[str]:
    return [found["Key"] for found in s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])]


def test_an_upload_killed_anywhere_is_carried_on_and_leaves_the_right_object_alone(
    root: Path, source: Path
) -> None:
    s3 = local.boto3_session().client("s3")
    sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
    chance = random.Random(7)
    begun = resumed = killed = 0
    with _uploader(source) as uploader:
        for prefix in ("cold", "warm"):
            started = time.monotonic()
            uploader.start(prefix)
            assert uploader.exit_code() == 0
            whole = time.monotonic() - started
        steps = chance.sample(range(1, STEPS + 1), KILLS // 2)
        for number in range(KILLS):
            by_step = number < len(steps)
            if by_step:
                uploader.start(f"killed-{number}", kill_at=steps[number])
            else:
                uploader.start(f"killed-{number}", kill_after=chance.uniform(0, whole))
            was_killed = uploader.exit_code() == -signal.SIGKILL
            assert was_killed or not by_step
            killed += was_killed
            begun += bool(_uploads(s3))
            done = _session().upload(source, prefix=f"killed-{number}")
            resumed += done.resumed > 0
            body = s3.get_object(Bucket=BUCKET, Key=done.uri.partition(f"{BUCKET}/")[2] + source.name)["Body"]
            assert hashlib.file_digest(body, "sha256").hexdigest() == sha256
            assert _uploads(s3) == []
            assert s3.list_objects_v2(Bucket=BUCKET, Prefix=f"killed-{number}/")["KeyCount"] == 2
    assert killed >= KILLS / 2
    assert begun > 0, "no kill left an unfinished upload"
    assert resumed > 0, "no run was carried on"


def test_uploads_at_once_in_two_processes_both_succeed_and_make_one_object(root: Path, source: Path) -> None:
    with _uploader(source) as one, _uploader(source) as two:
        for uploader in (one, two):
            uploader.start("same")
        assert [uploader.exit_code() for uploader in (one, two)] == [0, 0]
    s3 = local.boto3_session().client("s3")
    assert s3.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 2, "the data and its manifest"
    assert _uploads(s3) == []
    assert _session().upload(source, prefix="same").sent == 0
