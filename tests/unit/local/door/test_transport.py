"""The in-process transport: no socket, nothing of the user's, and botocore's own machinery unchanged."""

from __future__ import annotations

import gc
import io
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from ift_sagemaker.local import boto3_session, local_root
from ift_sagemaker.local.door.transport import AnswerBody, session_on

MIB = 1 << 20
CONFIG_WITH_TRAPS = """
[default]
region = mars-north-1
endpoint_url = http://127.0.0.1:1
s3 =
    addressing_style = virtual
    endpoint_url = http://127.0.0.1:1
role_arn = arn:aws:iam::999999999999:role/nobody
source_profile = nobody
"""


@pytest.mark.usefixtures("socket_disabled")
def test_no_socket_is_opened_for_any_service(tmp_path: Path) -> None:
    session = boto3_session(tmp_path)
    s3 = session.client("s3")
    s3.create_bucket(Bucket="bkt")
    s3.put_object(Bucket="bkt", Key="k", Body=b"x")
    assert s3.get_object(Bucket="bkt", Key="k")["Body"].read() == b"x"
    session.client("sts").get_caller_identity()
    session.client("logs").create_log_group(logGroupName="g")
    session.client("iam").list_roles()
    with pytest.raises(ClientError, match="not offered"):
        session.client("sqs").list_queues()


def test_the_users_environment_and_files_do_not_leak_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unspoiled = boto3_session(tmp_path / "root").client("s3").meta.endpoint_url
    home = tmp_path / "home"
    (home / ".aws" / "models" / "s3" / "2006-03-01").mkdir(parents=True)
    (home / ".aws" / "models" / "s3" / "2006-03-01" / "service-2.json").write_text("not JSON")
    (home / ".aws" / "config").write_text(CONFIG_WITH_TRAPS)
    (home / ".aws" / "credentials").write_text("[default]\naws_access_key_id = THEIRS\n")
    for name, value in {
        "HOME": str(home),
        "AWS_PROFILE": "no-such-profile",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
        "AWS_REGION": "mars-north-1",
        "AWS_DEFAULT_REGION": "mars-north-1",
        "AWS_ACCESS_KEY_ID": "THEIRS",
        "AWS_SECRET_ACCESS_KEY": "THEIRS",
        "AWS_SESSION_TOKEN": "THEIRS",
        "AWS_USE_FIPS_ENDPOINT": "true",
        "AWS_REQUEST_CHECKSUM_CALCULATION": "nonsense",
        "AWS_S3_US_EAST_1_REGIONAL_ENDPOINT": "legacy",
        "AWS_MAX_ATTEMPTS": "nonsense",
        "AWS_CONFIG_FILE": str(home / ".aws" / "config"),
    }.items():
        monkeypatch.setenv(name, value)
    session = boto3_session(tmp_path / "root")
    s3 = session.client("s3")
    s3.create_bucket(Bucket="bkt")
    assert s3.meta.region_name == session.region_name == "us-east-1"
    assert s3.meta.endpoint_url == unspoiled
    credentials = session.get_credentials()
    assert "THEIRS" not in (credentials.access_key, credentials.secret_key, credentials.token)


@pytest.mark.parametrize("style", ["path", "virtual", "auto"])
@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1", "ap-southeast-3"])
def test_every_address_of_a_bucket_reaches_it(tmp_path: Path, style: str, region: str) -> None:
    config = Config(s3={"addressing_style": style})
    s3 = boto3_session(tmp_path, region=region).client("s3", config=config)
    where = {"LocationConstraint": region}
    extra = {} if region == "us-east-1" else {"CreateBucketConfiguration": where}
    s3.create_bucket(Bucket="my.dotted-bucket", **extra)
    s3.put_object(Bucket="my.dotted-bucket", Key="a/b", Body=b"x")
    assert s3.get_object(Bucket="my.dotted-bucket", Key="a/b")["Body"].read() == b"x"


@pytest.mark.parametrize(
    "body",
    [
        lambda: b"0123456789" * 1000,
        lambda: bytearray(b"0123456789" * 1000),
        lambda: io.BytesIO(b"0123456789" * 1000),
        lambda: "0123456789" * 1000,
    ],
)
@pytest.mark.parametrize("endpoint", [None, "http://elsewhere.example:9000"])
def test_a_body_may_be_bytes_text_or_a_stream_with_or_without_trailers(
    tmp_path: Path, body: Callable[[], Any], endpoint: str | None
) -> None:
    s3 = boto3_session(tmp_path).client("s3", endpoint_url=endpoint)
    s3.create_bucket(Bucket="bkt")
    s3.put_object(Bucket="bkt", Key="k", Body=body())
    assert s3.get_object(Bucket="bkt", Key="k")["Body"].read() == b"0123456789" * 1000


def test_an_open_file_is_sent_whole_and_left_open(tmp_path: Path) -> None:
    s3 = boto3_session(tmp_path / "root").client("s3")
    s3.create_bucket(Bucket="bkt")
    content = os.urandom(3 * MIB + 11)
    (tmp_path / "file").write_bytes(content)
    with (tmp_path / "file").open("rb") as file:
        s3.put_object(Bucket="bkt", Key="k", Body=file)
        gc.collect()
        assert not file.closed
    assert s3.get_object(Bucket="bkt", Key="k")["Body"].read() == content


@pytest.fixture
def stored(tmp_path: Path) -> tuple[Any, bytes]:
    s3 = boto3_session(tmp_path).client("s3")
    s3.create_bucket(Bucket="bkt")
    content = b"".join(b"line %d\n" % number for number in range(400_000))
    s3.put_object(Bucket="bkt", Key="k", Body=content)
    return s3, content


def body_of(stored: tuple[Any, bytes]) -> Any:
    return stored[0].get_object(Bucket="bkt", Key="k")["Body"]


def test_a_streaming_body_reads_in_every_way_it_can(stored: tuple[Any, bytes]) -> None:
    content = stored[1]
    assert body_of(stored).read() == content
    assert b"".join(body_of(stored).iter_chunks(70_001)) == content
    assert list(body_of(stored).iter_lines()) == content.splitlines()
    partly = body_of(stored)
    assert (partly.read(5), partly.read(3), partly.read()) == (content[:5], content[5:8], content[8:])
    buffer = bytearray(10)
    assert body_of(stored).readinto(buffer) == 10
    assert bytes(buffer) == content[:10]
    with body_of(stored) as raw:
        assert raw.read(4) == content[:4]


def open_objects(root: Path) -> int:
    links = (os.path.realpath(link) for link in Path("/proc/self/fd").iterdir())
    return sum(link.startswith(f"{root}/s3/objects/") for link in links)


def test_bodies_left_unread_or_read_to_the_end_leave_no_file_open(
    stored: tuple[Any, bytes], tmp_path: Path
) -> None:
    read_to_the_end = body_of(stored)
    for _ in read_to_the_end.iter_chunks(MIB):
        pass
    assert open_objects(tmp_path) == 0
    unread = body_of(stored)
    unread.read(1)
    assert open_objects(tmp_path) == 1
    del unread
    gc.collect()
    assert open_objects(tmp_path) == 0


def test_many_threads_share_one_client(stored: tuple[Any, bytes]) -> None:
    s3, content = stored

    def read(number: int) -> bool:
        first = number * 1000
        asked = f"bytes={first}-{first + 999}"
        s3.put_object(Bucket="bkt", Key=f"n{number}", Body=str(number).encode())
        found: bytes = s3.get_object(Bucket="bkt", Key="k", Range=asked)["Body"].read()
        return found == content[first : first + 1000]

    with ThreadPoolExecutor(12) as pool:
        assert all(pool.map(read, range(60)))
    assert s3.list_objects_v2(Bucket="bkt", Prefix="n")["KeyCount"] == 60


def test_two_sessions_on_one_root_see_one_aws_and_others_do_not(tmp_path: Path) -> None:
    boto3_session(tmp_path / "one").client("s3").create_bucket(Bucket="bkt")
    again = boto3_session(tmp_path / "one").client("s3").list_buckets()["Buckets"]
    other = boto3_session(tmp_path / "other").client("s3").list_buckets()["Buckets"]
    assert ([bucket["Name"] for bucket in again], other) == (["bkt"], [])


def test_a_refused_upload_is_sent_again_from_its_start_by_botocores_own_retries(tmp_path: Path) -> None:
    seen: list[bytes] = []

    def busy_at_first(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        seen.append(environ["wsgi.input"].read())
        start("200 OK" if len(seen) > 1 else "503 Slow Down", [("ETag", '"e"')])
        return [b""]

    s3 = session_on(busy_at_first, "us-east-1").client("s3", config=Config(retries={"mode": "standard"}))
    answer = s3.put_object(Bucket="bkt", Key="k", Body=io.BytesIO(b"payload"))
    assert answer["ResponseMetadata"]["RetryAttempts"] == 1
    assert seen[0] == seen[1]
    assert b"payload" in seen[1]


def test_an_application_that_answers_with_its_first_block_is_understood() -> None:
    def generator(_: dict[str, Any], start: Callable[..., Any]) -> Iterator[bytes]:
        start("200 OK", [("Content-Length", "6")])
        yield b"abc"
        yield b"def"

    s3 = session_on(generator, "us-east-1").client("s3")
    assert s3.get_object(Bucket="bkt", Key="k")["Body"].read() == b"abcdef"


def test_an_answer_body_is_closed_once_at_its_end() -> None:
    class Blocks:
        closed = 0

        def __iter__(self) -> Iterator[bytes]:
            return iter([b"ab", b"", b"c"])

        def close(self) -> None:
            self.closed += 1

    blocks = Blocks()
    body = AnswerBody(blocks)
    assert (body.read(1), body.read(5), body.read(5), body.read(5), body.read(5)) == (
        b"a",
        b"b",
        b"c",
        b"",
        b"",
    )
    body.close()
    assert blocks.closed == 1


def test_the_root_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IFT_LOCAL_ROOT", str(tmp_path / "named"))
    assert local_root() == tmp_path / "named"
    boto3_session().client("s3").create_bucket(Bucket="bkt")
    assert (tmp_path / "named" / "state.sqlite").exists()
