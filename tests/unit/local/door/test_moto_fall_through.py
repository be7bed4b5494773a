"""moto behind the local AWS: for a few services, when asked for, and never a web page."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from ift_sagemaker.local.context import create_context
from ift_sagemaker.local.door import moto_fall_through
from ift_sagemaker.local.door.app import create_app, service_of
from ift_sagemaker.local.door.transport import session_on
from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.protocol.request import Request, from_wsgi
from ift_sagemaker.local.state.settings import LocalSettings
from tests.unit.local.machine import refusal

FORM = "application/x-www-form-urlencoded"


def _session(root: Path, *, moto: bool) -> Any:
    settings = LocalSettings(root=root, moto=moto)
    return session_on(create_app(create_context(settings)), settings.region)


def _request(service: str, body: bytes = b"", **headers: str) -> Request:

    scope = f"AWS4-HMAC-SHA256 Credential=K/20260101/us-east-1/{service}/aws4_request"
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/",
        "HTTP_HOST": f"{service}.us-east-1.amazonaws.com",
        "HTTP_AUTHORIZATION": scope,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        **headers,
    }
    return from_wsgi(environ, "id")


def test_without_the_setting_the_refusal_names_operation_and_extra(tmp_path: Path) -> None:
    session = _session(tmp_path, moto=False)
    for service, call, operation in (
        ("kms", "list_keys", "kms:ListKeys"),
        ("ecr", "get_authorization_token", "ecr:GetAuthorizationToken"),
        ("cloudformation", "list_stacks", "cloudformation:ListStacks"),
    ):
        code, message = refusal(getattr(session.client(service), call))
        assert code == "UnsupportedOperation"
        assert operation in message
        assert moto_fall_through.EXTRA in message
        assert "IFT_LOCAL_MOTO=1" in message


def test_moto_is_off_unless_it_is_asked_for() -> None:
    assert not LocalSettings.from_environment({}).moto
    assert LocalSettings.from_environment({"IFT_LOCAL_MOTO": "1"}).moto


def test_moto_answers_keys_repositories_and_templates(tmp_path: Path) -> None:
    session = _session(tmp_path, moto=True)
    kms, ecr = session.client("kms"), session.client("ecr")
    key = kms.create_key(Description="mine")["KeyMetadata"]["KeyId"]
    assert key in [row["KeyId"] for row in kms.list_keys()["Keys"]]
    ecr.create_repository(repositoryName="own")
    assert ecr.describe_repositories()["repositories"][0]["repositoryName"] == "own"
    template = '{"Resources": {"Key": {"Type": "AWS::KMS::Key", "Properties": {"KeyPolicy": {}}}}}'
    stacks = session.client("cloudformation")
    stacks.create_stack(StackName="own", TemplateBody=template)
    assert stacks.describe_stacks(StackName="own")["Stacks"][0]["StackStatus"] == "CREATE_COMPLETE"


def test_an_operation_that_moto_lacks_is_a_typed_refusal(tmp_path: Path) -> None:
    ecr = _session(tmp_path, moto=True).client("ecr")
    code, message = refusal(ecr.describe_pull_through_cache_rules)
    assert code == "UnsupportedOperation"
    assert "ecr:DescribePullThroughCacheRules is not offered by moto" in message


def test_what_moto_refuses_comes_through_as_it_is(tmp_path: Path) -> None:
    ecr = _session(tmp_path, moto=True).client("ecr")
    assert refusal(ecr.delete_repository, repositoryName="nobody")[0] == "RepositoryNotFoundException"


@pytest.mark.parametrize("service", ["sagemaker", "s3", "logs", "sts", "iam", "bedrock", "dynamodb"])
def test_moto_never_stands_for_what_the_local_aws_answers_or_refuses_itself(service: str) -> None:
    for headers in ({"HTTP_X_AMZ_TARGET": "X.Y"}, {"CONTENT_TYPE": FORM}, {}):
        assert service_of(_request(service, b"", **headers)).answer is not moto_fall_through.answer


def _answers(status: str, body: bytes) -> Callable[..., Iterable[bytes]]:
    def application(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        start(status, [("Content-Type", "text/html"), ("Content-Length", "1")])
        return [body]

    return application


def test_what_fails_inside_moto_is_told_as_its_failure_and_not_as_missing(tmp_path: Path) -> None:
    found = moto_fall_through.call(_answers("500 X", b"<!doctype html>"), _request("kms"), b"")
    with pytest.raises(ServiceError, match="moto, which answers kms:X here, failed: it answered 500") as told:
        moto_fall_through.checked(found, "kms:X")
    assert (told.value.code, told.value.status) == ("InternalFailure", 500)
    body = b"Action=CreateStack&StackName=broken&TemplateBody=]["
    request = _request("cloudformation", body, CONTENT_TYPE=FORM)
    context = create_context(LocalSettings(root=tmp_path, moto=True))
    with pytest.raises(
        ServiceError, match="cloudformation:CreateStack here, failed: JSONDecodeError"
    ) as told:
        moto_fall_through.answer(context, request)
    assert (told.value.code, told.value.status) == ("InternalFailure", 500)


def test_a_web_page_is_never_handed_on() -> None:
    for status, body in (("404 NOT FOUND", b"\n<!doctype html><title>404"), ("501 X", b"trouble")):
        found = moto_fall_through.call(_answers(status, body), _request("kms"), b"")
        with pytest.raises(ServiceError, match="kms:X is not offered by moto"):
            moto_fall_through.checked(found, "kms:X")
    xml = moto_fall_through.call(_answers("200 OK", b"<?xml version='1.0'?><A/>"), _request("kms"), b"")
    assert moto_fall_through.checked(xml, "kms:X").body == b"<?xml version='1.0'?><A/>"
