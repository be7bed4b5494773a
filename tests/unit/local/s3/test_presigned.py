"""Presigned addresses of the local S3 hold as long as they say, on the local AWS's own clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.config import Config

from ift_sagemaker.local.context import create_context
from ift_sagemaker.local.door.app import create_app
from ift_sagemaker.local.door.transport import session_on
from ift_sagemaker.local.state.settings import LocalSettings

Send = Callable[[str], tuple[int, bytes]]


class Clock:
    """The time of day, shifted by `ahead` seconds."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def application(tmp_path: Path, clock: Clock) -> Any:
    return create_app(create_context(LocalSettings(root=tmp_path / "root"), clock))


@pytest.fixture
def send(application: Any) -> Send:
    def send(url: str) -> tuple[int, bytes]:
        parts = urlsplit(url)
        status: list[int] = []
        environ = {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": parts.path,
            "QUERY_STRING": parts.query,
            "HTTP_HOST": parts.netloc,
            "wsgi.input": None,
        }
        body = application(environ, lambda line, _: status.append(int(line[:3])))
        try:
            return status[0], b"".join(body)
        finally:
            getattr(body, "close", lambda: None)()

    return send


def address(application: Any, version: str, seconds: int) -> str:
    client = session_on(application, "us-east-1").client("s3", config=Config(signature_version=version))
    client.create_bucket(Bucket="bkt")
    client.put_object(Bucket="bkt", Key="a key", Body=b"hello")
    where = {"Bucket": "bkt", "Key": "a key"}
    url: str = client.generate_presigned_url("get_object", Params=where, ExpiresIn=seconds)
    return url.replace("%20", " ")


@pytest.mark.parametrize("version", ["s3v4", "s3"])
def test_a_presigned_address_holds_until_its_time_and_no_longer(
    application: Any, send: Send, clock: Clock, version: str
) -> None:
    url = address(application, version, 60)
    clock.ahead = 50
    assert send(url) == (200, b"hello")
    clock.ahead = 62
    status, answer = send(url)
    assert status == 403
    assert b"<Code>AccessDenied</Code><Message>Request has expired</Message>" in answer


def test_an_address_for_more_than_a_week_is_refused(application: Any, send: Send) -> None:
    url = address(application, "s3v4", 60).replace("X-Amz-Expires=60", "X-Amz-Expires=604801")
    status, answer = send(url)
    assert (status, b"<Code>AuthorizationQueryParametersError</Code>" in answer) == (400, True)


@pytest.mark.parametrize(
    ("found", "instead"),
    [("X-Amz-Expires=60", "X-Amz-Expires=x"), ("&X-Amz-Expires=60", ""), ("X-Amz-Date=2", "X-Amz-Date=x")],
)
def test_an_address_without_a_time_is_refused(application: Any, send: Send, found: str, instead: str) -> None:
    status, answer = send(address(application, "s3v4", 60).replace(found, instead))
    assert (status, b"<Code>AuthorizationQueryParametersError</Code>" in answer) == (400, True)


def test_an_older_address_must_say_seconds(application: Any, send: Send) -> None:
    url = address(application, "s3", 60).replace("Expires=", "Expires=never")
    status, answer = send(url)
    assert (status, b"<Code>AccessDenied</Code>" in answer) == (403, True)


def test_an_address_from_the_future_is_not_valid_yet(application: Any, send: Send, clock: Clock) -> None:
    url = address(application, "s3v4", 60)
    clock.ahead = -3600
    status, answer = send(url)
    assert (status, b"Request is not valid yet" in answer) == (403, True)
