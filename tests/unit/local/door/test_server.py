"""The local AWS over real sockets, spoken to by unmodified boto3."""

from __future__ import annotations

import gzip
import io
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

from ift_sagemaker import local
from ift_sagemaker.errors import ConfigError
from ift_sagemaker.local.door.server import Served, serve
from ift_sagemaker.local.state.settings import LocalSettings
from tests.unit.local.door.sockets import client, port_of
from tests.unit.local.machine import FakeTime

MIB = 1 << 20


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with local.serve(tmp_path / "root") as found:
        yield found


@pytest.fixture
def s3(served: Served) -> Any:
    made = client(served, "s3")
    made.create_bucket(Bucket="bkt")
    return made


def test_objects_go_up_and_come_down_whole_and_in_part(s3: Any) -> None:
    content = os.urandom(3 * MIB + 7)
    s3.put_object(Bucket="bkt", Key="a/b c+ü", Body=io.BytesIO(content), Metadata={"who": "me"})
    found = s3.get_object(Bucket="bkt", Key="a/b c+ü")
    assert (found["Body"].read(), found["Metadata"]) == (content, {"who": "me"})
    part = s3.get_object(Bucket="bkt", Key="a/b c+ü", Range="bytes=5-9")
    assert (part["Body"].read(), part["ResponseMetadata"]["HTTPStatusCode"]) == (content[5:10], 206)
    assert s3.head_object(Bucket="bkt", Key="a/b c+ü")["ContentLength"] == len(content)
    s3.put_object(Bucket="bkt", Key="empty", Body=b"")
    assert s3.get_object(Bucket="bkt", Key="empty")["Body"].read() == b""
    s3.delete_object(Bucket="bkt", Key="empty")
    assert [item["Key"] for item in s3.list_objects_v2(Bucket="bkt")["Contents"]] == ["a/b c+ü"]


def test_the_transfer_manager_sends_and_fetches_in_parts_at_once(s3: Any, tmp_path: Path) -> None:
    content = os.urandom(18 * MIB)
    (tmp_path / "up").write_bytes(content)
    config = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB, max_concurrency=4)
    s3.upload_file(str(tmp_path / "up"), "bkt", "big", Config=config)
    s3.download_file("bkt", "big", str(tmp_path / "down"), Config=config)
    assert (tmp_path / "down").read_bytes() == content
    assert s3.head_object(Bucket="bkt", Key="big")["ETag"].endswith('-4"')


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_presigned_addresses_read_and_write_without_any_client_of_aws(served: Served, version: str) -> None:
    client(served, "s3").create_bucket(Bucket="bkt")
    s3 = client(served, "s3", Config(signature_version=version))
    up = s3.generate_presigned_url("put_object", Params={"Bucket": "bkt", "Key": "k"})
    request = urllib.request.Request(up, data=b"content", method="PUT")  # noqa: S310 - our own server
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        assert answer.status == 200
    down = s3.generate_presigned_url("get_object", Params={"Bucket": "bkt", "Key": "k"})
    with urllib.request.urlopen(down, timeout=10) as answer:  # noqa: S310
        assert answer.read() == b"content"


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_a_presigned_address_ends_on_the_local_awss_own_clock(tmp_path: Path, version: str) -> None:
    clock = FakeTime()
    clock.now = time.time()
    with serve(LocalSettings(root=tmp_path / "root"), clock=clock) as served:
        s3 = client(served, "s3")
        s3.create_bucket(Bucket="bkt")
        s3.put_object(Bucket="bkt", Key="k", Body=b"x")
        signer = client(served, "s3", Config(signature_version=version))
        url = signer.generate_presigned_url("get_object", Params={"Bucket": "bkt", "Key": "k"}, ExpiresIn=60)
        clock.now += 50
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310
            assert answer.read() == b"x"
        clock.now += 20
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(url, timeout=10)  # noqa: S310
    with refused.value as error:
        assert error.code == 403
        assert b"<Code>AccessDenied</Code><Message>Request has expired</Message>" in error.read()


def test_sagemaker_logs_and_sts_answer(served: Served) -> None:
    sagemaker, logs = client(served, "sagemaker"), client(served, "logs")
    assert sagemaker.list_training_jobs()["TrainingJobSummaries"] == []
    with pytest.raises(ClientError, match="Requested resource not found"):
        sagemaker.describe_training_job(TrainingJobName="nobody")
    logs.create_log_group(logGroupName="g")
    logs.create_log_stream(logGroupName="g", logStreamName="s")
    logs.put_log_events(logGroupName="g", logStreamName="s", logEvents=[{"timestamp": 1, "message": "ü"}])
    assert logs.get_log_events(logGroupName="g", logStreamName="s")["events"][0]["message"] == "ü"
    assert client(served, "sts").get_caller_identity()["Account"] == "123456789012"
    with pytest.raises(ClientError, match="iam:ListUsers is not offered"):
        client(served, "iam").list_users()


def test_sixteen_clients_at_once_lose_nothing(served: Served, s3: Any) -> None:
    clients = [client(served, "s3") for _ in range(16)]

    def work(number: int) -> bool:
        own = clients[number]
        content = gzip.compress(bytes([number]) * 1000) + os.urandom(200_000)
        for turn in range(5):
            own.put_object(Bucket="bkt", Key=f"{number}/{turn}", Body=content)
        return all(
            own.get_object(Bucket="bkt", Key=f"{number}/{turn}")["Body"].read() == content
            for turn in range(5)
        )

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(work, range(16)))
    assert s3.list_objects_v2(Bucket="bkt")["KeyCount"] == 80


def test_a_server_of_its_own_process_and_this_one_see_one_aws(served: Served, s3: Any) -> None:
    s3.put_object(Bucket="bkt", Key="k", Body=b"over HTTP")
    inside = local.boto3_session(served.root).client("s3")
    assert inside.get_object(Bucket="bkt", Key="k")["Body"].read() == b"over HTTP"


def test_two_servers_answer_for_one_root_and_status_names_both_while_they_live(served: Served) -> None:
    with local.serve(served.root) as other:
        client(other, "s3").create_bucket(Bucket="made-by-the-other")
        buckets = client(served, "s3").list_buckets()["Buckets"]
        assert [bucket["Name"] for bucket in buckets] == ["made-by-the-other"]
        servers = local.status(served.root)["servers"]
        assert servers == {served.url: os.getpid(), other.url: os.getpid()}
    assert local.status(served.root)["servers"] == {served.url: os.getpid()}


def test_a_taken_port_is_told_with_what_to_do(served: Served, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"in use: name another with --port, or 0"):
        with local.serve(tmp_path / "other", port=port_of(served)):
            pass
    assert not list((tmp_path / "other" / "servers").glob("*"))


def test_it_listens_on_the_loopback_address_alone(served: Served) -> None:
    table = Path("/proc/self/net/tcp").read_text("ascii").splitlines()[1:]
    port = f"{port_of(served):04X}"
    addresses = {line.split()[1] for line in table if line.split()[1].endswith(f":{port}")}
    assert {address.partition(":")[0] for address in addresses} == {"0100007F"}


def test_a_root_that_this_process_serves_is_not_reset(served: Served) -> None:
    with pytest.raises(ConfigError, match=rf"process {os.getpid()} serves .* end that first"):
        local.reset(served.root)
    assert client(served, "s3").list_buckets()["Buckets"] == []
