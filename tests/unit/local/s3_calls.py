"""Short forms for tests that speak to S3."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ift_sagemaker.local import boto3_session


def new_s3(tmp_path: Path) -> Any:
    """A client on a fresh local AWS with the bucket `bkt`."""
    client = boto3_session(tmp_path / "root").client("s3")
    client.create_bucket(Bucket="bkt")
    return client


def code_of(call: Callable[[], object]) -> tuple[str, int]:
    with pytest.raises(ClientError) as raised:
        call()
    response = raised.value.response
    assert response["ResponseMetadata"]["RetryAttempts"] == 0
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def keys(answer: Any) -> list[str]:
    return [item["Key"] for item in answer.get("Contents", [])]


def body_of(s3: Any, key: str, **params: Any) -> bytes:
    found: bytes = s3.get_object(Bucket="bkt", Key=key, **params)["Body"].read()
    return found


def blob_files(root: Path) -> list[Path]:
    return [path for path in (root / "root" / "s3" / "objects").rglob("*") if path.is_file()]


def md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data).digest()).decode()  # noqa: S324 - what Content-MD5 is
