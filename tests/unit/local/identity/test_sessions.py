"""STS of the local AWS."""

from __future__ import annotations

from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError

from ift_sagemaker.local import boto3_session
from ift_sagemaker.local.context import create_context
from ift_sagemaker.local.door.app import create_app
from ift_sagemaker.local.door.transport import InProcess, session_on
from ift_sagemaker.local.identity.caller import SESSION
from ift_sagemaker.local.identity.sessions import LONGEST_ROLE_SESSION
from ift_sagemaker.local.state.settings import ROLE_ARN, LocalSettings
from tests.unit.local.machine import FakeTime, refusal


def test_the_caller_is_the_local_account(tmp_path: Path) -> None:
    identity = boto3_session(tmp_path).client("sts").get_caller_identity()
    assert identity["Account"] == "123456789012"
    assert identity["Arn"] == "arn:aws:iam::123456789012:root"


def test_credentials_of_an_assumed_role_make_their_user_that_role(tmp_path: Path) -> None:
    answer = (
        boto3_session(tmp_path)
        .client("sts")
        .assume_role(RoleArn=ROLE_ARN, RoleSessionName="me", DurationSeconds=900)
    )
    given = answer["Credentials"]
    session = boto3.Session(
        given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"], region_name="us-east-1"
    )
    application = create_app(create_context(LocalSettings(root=tmp_path)))
    session.events.register("before-send", InProcess(application))
    identity = session.client("sts").get_caller_identity()
    assert identity["Arn"] == "arn:aws:sts::123456789012:assumed-role/ift-local/me"
    assert identity["Arn"] == answer["AssumedRoleUser"]["Arn"]
    assert session.client("s3").list_buckets()["Buckets"] == []
    assert given["Expiration"].timestamp() > 0


def test_no_secret_of_a_session_is_kept(tmp_path: Path) -> None:
    sts = boto3_session(tmp_path).client("sts")
    given = sts.assume_role(RoleArn=ROLE_ARN, RoleSessionName="me")["Credentials"]
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert given["AccessKeyId"].encode() in kept
    assert given["SecretAccessKey"].encode() not in kept
    assert given["SessionToken"].encode() not in kept


def test_names_of_sessions_that_have_ended_are_not_kept_for_ever(tmp_path: Path) -> None:
    clock = FakeTime()
    context = create_context(LocalSettings(root=tmp_path), clock)
    sts = session_on(create_app(context), "us-east-1").client("sts")
    for _ in range(3):
        sts.assume_role(RoleArn=ROLE_ARN, RoleSessionName="me")
        clock.now += LONGEST_ROLE_SESSION / 2
    assert len(list(context.store.list(SESSION))) == 3
    clock.now += LONGEST_ROLE_SESSION
    sts.assume_role(RoleArn=ROLE_ARN, RoleSessionName="me")
    assert len(list(context.store.list(SESSION))) == 1
    context.store.close()


def test_a_role_that_is_not_here_cannot_be_assumed(tmp_path: Path) -> None:
    sts = boto3_session(tmp_path).client("sts")
    for arn in ("arn:aws:iam::123456789012:role/nobody", "arn:aws:iam::999999999999:role/ift-local"):
        code, message = refusal(sts.assume_role, RoleArn=arn, RoleSessionName="me")
        assert code == "AccessDenied"
        assert arn in message


def test_a_session_token_comes_for_the_account(tmp_path: Path) -> None:
    given = boto3_session(tmp_path).client("sts").get_session_token()["Credentials"]
    assert len(given["AccessKeyId"]) == 20


def test_a_duration_outside_the_model_is_refused(tmp_path: Path) -> None:
    sts = boto3_session(tmp_path).client("sts")
    code, message = refusal(sts.assume_role, RoleArn=ROLE_ARN, RoleSessionName="me", DurationSeconds=999_999)
    assert code == "ValidationError"
    assert "DurationSeconds" in message


def test_another_operation_of_sts_is_refused_by_name(tmp_path: Path) -> None:
    sts = boto3_session(tmp_path).client("sts")
    with pytest.raises(ClientError, match="sts:GetFederationToken is not offered") as raised:
        sts.get_federation_token(Name="me")
    assert raised.value.response["Error"]["Code"] == "UnsupportedOperation"
