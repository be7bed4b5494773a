"""The local AWS over real sockets: unmodified boto3, streams both ways, and errors that are never HTML."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from ift_sagemaker import local
from ift_sagemaker.local.door.server import Served


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with local.serve(tmp_path / "root") as found:
        yield found


def client(served: Served, service: str, **options: Any) -> Any:
    told = served.environment
    return boto3.client(
        service,
        endpoint_url=served.url,
        region_name=told["AWS_REGION"],
        aws_access_key_id=told["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=told["AWS_SECRET_ACCESS_KEY"],
        **options,
    )


def test_plain_boto3_stores_and_reads_an_object(served: Served) -> None:
    s3 = client(served, "s3")
    s3.create_bucket(Bucket="bkt")
    s3.put_object(Bucket="bkt", Key="a/b c", Body=b"hello")
    assert s3.get_object(Bucket="bkt", Key="a/b c")["Body"].read() == b"hello"
