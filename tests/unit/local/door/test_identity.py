"""STS of the local AWS."""

from __future__ import annotations

from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from ift_sagemaker.local import boto3_session


def test_the_caller_is_the_local_account(tmp_path: Path) -> None:
    identity = boto3_session(tmp_path).client("sts").get_caller_identity()
    assert identity["Account"] == "123456789012"
    assert identity["Arn"] == "arn:aws:iam::123456789012:root"


def test_another_operation_of_sts_is_refused_by_name(tmp_path: Path) -> None:
    sts = boto3_session(tmp_path).client("sts")
    with pytest.raises(ClientError, match="sts:GetSessionToken is not offered") as raised:
        sts.get_session_token()
    assert raised.value.response["Error"]["Code"] == "UnsupportedOperation"
