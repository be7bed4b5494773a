"""Looking after a local AWS."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ift_sagemaker import local
from ift_sagemaker.errors import ConfigError, StorageError
from ift_sagemaker.local.administration import _ports, status
from ift_sagemaker.local.state.settings import LocalSettings
from ift_sagemaker.local.supervision import launch
from tests.unit.local.machine import ENDLESS, LocalAWS, processes_of


def test_looking_makes_nothing(tmp_path: Path) -> None:
    found = local.status(tmp_path / "aws")
    assert found["exists"] is False
    assert (found["jobs"], found["processes"], found["ports"], found["bytes"]) == ({}, [], [], 0)
    assert found["processing_jobs"] == {}
    assert not (tmp_path / "aws").exists()


def test_what_there_is_is_named(tmp_path: Path) -> None:
    boto = local.boto3_session(tmp_path)
    boto.client("s3").create_bucket(Bucket="bucket")
    boto.client("s3").put_object(Bucket="bucket", Key="model.tar.gz", Body=b"weights")
    image = "763104351884.dkr.ecr.us-east-1.amazonaws.com/vllm:server-sagemaker-cuda-v2.6"
    boto.client("sagemaker").create_model(
        ModelName="m",
        ExecutionRoleArn="arn:aws:iam::123456789012:role/r",
        PrimaryContainer={"Image": image, "ModelDataUrl": "s3://bucket/model.tar.gz"},
    )
    found = local.status(tmp_path)
    assert found["models"] == ["m"]
    assert found["bytes"] > 0


def test_resetting_removes_the_state_and_is_done_when_there_is_none(tmp_path: Path) -> None:
    root = tmp_path / "aws"
    local.boto3_session(root).client("s3").create_bucket(Bucket="bucket")
    local.reset(root)
    assert not root.exists()
    local.reset(root)


def test_a_folder_of_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years")
    with pytest.raises(ConfigError, match="left alone"):
        local.reset(tmp_path)
    assert (tmp_path / "thesis.txt").exists()


def test_listening_ports_of_a_process_are_found() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert server.getsockname()[1] in list(_ports(os.getpid()))


def test_no_supervisor_has_no_number(tmp_path: Path) -> None:
    assert local.supervisor_pid("job", "nobody", tmp_path) is None


def test_a_local_aws_among_other_things_is_left_whole_and_the_others_are_named(tmp_path: Path) -> None:
    local.boto3_session(tmp_path).client("s3").create_bucket(Bucket="bucket")
    (tmp_path / "thesis.txt").write_text("years")
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(ConfigError, match=r"also holds thesis\.txt"):
        local.reset(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    (tmp_path / "thesis.txt").unlink()
    local.reset(tmp_path)
    assert not tmp_path.exists()


def test_a_root_behind_a_link_is_one_root_and_its_supervisors_are_found_and_ended(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "aws")
    aws = LocalAWS(tmp_path / "link", {"runner": "process"})
    assert aws.settings.root == tmp_path / "aws"
    aws.train("job", ENDLESS)
    aws.says("job", "begun")
    assert local.supervisor_pid("job", "job", tmp_path / "link") is not None
    local.reset(tmp_path / "link")
    assert processes_of(tmp_path / "aws") == []
    assert not (tmp_path / "aws").exists()


def test_a_process_that_only_names_a_supervisor_is_none(tmp_path: Path) -> None:
    words = [sys.executable, "-c", "input()", launch.MODULE, str(tmp_path), "job", "job"]
    with subprocess.Popen(words, stdin=subprocess.PIPE) as reader:
        assert local.supervisor_pid("job", "job", tmp_path) is None
        reader.communicate(b"\n", 10)


def test_a_damaged_state_is_told_and_can_be_reset(tmp_path: Path) -> None:
    root = tmp_path / "aws"
    local.boto3_session(root).client("s3").create_bucket(Bucket="bucket")
    for path in root.glob("state.sqlite*"):
        path.write_bytes(b"not a database, but long enough to be taken for one" * 100)
    with pytest.raises(ConfigError, match="ift local reset"):
        local.boto3_session(root)
    local.reset(root)
    assert not root.exists()


def test_a_root_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="IFT_LOCAL_ROOT"):
        local.boto3_session(tmp_path / "file")


def test_a_state_of_another_version_is_told_and_can_be_reset(tmp_path: Path) -> None:
    root = tmp_path / "aws"
    local.boto3_session(root).client("s3").create_bucket(Bucket="bucket")
    with sqlite3.connect(root / "state.sqlite") as connection:
        connection.execute("PRAGMA user_version=1")
    connection.close()
    with pytest.raises(ConfigError, match=r"another version .*ift local reset"):
        local.boto3_session(root)
    local.reset(root)
    assert not root.exists()


def test_a_supervisor_on_its_way_out_is_given_a_moment_to_leave(tmp_path: Path) -> None:
    root = tmp_path / "aws"
    local.boto3_session(root).client("s3").create_bucket(Bucket="bucket")
    with _supervisor_of(root, "endpoint", "deleted", tmp_path / "stand-in") as leaving:
        assert status(LocalSettings(root=root), sleep=lambda _: _end(leaving))["processes"] == []


def test_a_supervisor_that_does_not_leave_is_told_of(tmp_path: Path) -> None:
    root = tmp_path / "aws"
    local.boto3_session(root).client("s3").create_bucket(Bucket="bucket")
    slept: list[float] = []
    with _supervisor_of(root, "endpoint", "deleted", tmp_path / "stand-in") as staying:
        assert status(LocalSettings(root=root), sleep=slept.append)["processes"] == [staying.pid]
        assert sum(slept) == pytest.approx(5.0, abs=0.1), "it waits for a bounded time"
        _end(staying)


@contextmanager
def _supervisor_of(root: Path, kind: str, name: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that reads like the supervisor of something that is gone, and stays until it is ended."""
    module = folder.joinpath(*launch.MODULE.split(".")).with_suffix(".py")
    module.parent.mkdir(parents=True)
    for package in [*module.parents][: launch.MODULE.count(".")]:
        package.joinpath("__init__.py").touch()
    module.write_text("import time\n\nprint(flush=True)\ntime.sleep(60)\n")
    with subprocess.Popen(
        [sys.executable, "-m", launch.MODULE, str(root), kind, name], cwd=folder, stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield process
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
