"""The OpenAI-compatible path: who is let in, and that the container's answer comes as it is."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.auth import SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from ift_sagemaker import local
from ift_sagemaker.local.door.app import create_app
from ift_sagemaker.local.hosting.bearer import BadToken, mint, verify
from ift_sagemaker.local.state.settings import ACCESS_KEY, SECRET_KEY
from tests.unit.local.machine import LocalAWS

PATH = "/endpoints/end/openai/v1/chat/completions"
NOW = 1_790_000_000.0


def send(
    aws: LocalAWS, token: str | None, body: bytes = b"{}", path: str = PATH, method: str = "POST"
) -> tuple[int, dict[str, str], Iterator[bytes]]:
    """Status, headers and body of a plain HTTP request, as a server would hand it to the application."""
    told: list[Any] = []
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "HTTP_HOST": "127.0.0.1:4566",
        "CONTENT_LENGTH": str(len(body)),
        "CONTENT_TYPE": "application/json",
        "wsgi.input": io.BytesIO(body),
        **({"HTTP_AUTHORIZATION": f"Bearer {token}"} if token is not None else {}),
    }
    answer = create_app(aws.context)(environ, lambda *args: told.extend(args))
    return int(told[0].split()[0]), dict(told[1]), iter(answer)


def signed_by_botocore(access: str, secret: str, region: str = "us-east-1") -> str:
    """A token as the official SDK builds it: SigV4 query authentication by botocore itself."""
    request = AWSRequest(
        method="POST",
        url="https://sagemaker.amazonaws.com/",
        headers={"host": "sagemaker.amazonaws.com"},
        params={"Action": "CallWithBearerToken"},
    )
    SigV4QueryAuth(Credentials(access, secret), "sagemaker", region, expires=3600).add_auth(request)
    address = request.url.removeprefix("https://") + "&Version=1"
    return "sagemaker-api-key-" + base64.b64encode(address.encode()).decode()


def test_a_chat_goes_to_the_container_and_its_answer_comes_back_as_it_is(aws: LocalAWS) -> None:
    aws.host()
    assert aws.settled()["EndpointStatus"] == "InService"
    for token in (local.bearer_token("us-east-1"), signed_by_botocore(ACCESS_KEY, SECRET_KEY)):
        status, headers, body = send(aws, token, b'{"messages": []}')
        seen = json.loads(b"".join(body))
        assert (status, headers["Content-Type"]) == (200, "application/json")
        assert (seen["path"], seen["body"]) == ("/invocations", '{"messages": []}')
        assert "authorization" not in seen["headers"], "the token is not for the container"
    status, _, body = send(aws, local.bearer_token("us-east-1"), b"status 422")
    assert (status, b"".join(body)) == (422, b"the model says no")


def test_a_stream_passes_piece_by_piece(aws: LocalAWS) -> None:
    aws.host()
    assert aws.settled()["EndpointStatus"] == "InService"
    status, headers, body = send(aws, local.bearer_token("us-east-1"), b"drip 3 0.1")
    assert (status, headers["Content-Type"]) == (200, "text/event-stream")
    assert next(body) == b"piece 0;"
    assert list(body) == [b"piece 1;", b"piece 2;"]
    _, _, body = send(aws, local.bearer_token("us-east-1"), b"drip 1 0.01 broken")
    assert next(body) == b"piece 0;"
    assert json.loads(next(body).strip().removeprefix(b"data: "))["error"]["code"] == "stream_broken"


@pytest.mark.parametrize(
    ("token", "status"),
    [
        (lambda: None, 401),
        (lambda: "", 401),
        (lambda: "sk-something", 403),
        (lambda: "sagemaker-api-key-%%%", 403),
        (lambda: signed_by_botocore(ACCESS_KEY, "another secret"), 403),
        (lambda: signed_by_botocore("AKIAFOREIGN", SECRET_KEY), 403),
        (lambda: signed_by_botocore(ACCESS_KEY, SECRET_KEY, "eu-west-1"), 403),
        (lambda: mint("us-east-1", NOW - 7200, 3600), 403),
    ],
)
def test_no_token_or_a_foreign_one_is_refused_in_openais_form(
    aws: LocalAWS, token: Callable[[], str | None], status: int
) -> None:
    found, headers, body = send(aws, token())
    error = json.loads(b"".join(body))["error"]
    assert (found, headers["Content-Type"], error["code"]) == (status, "application/json", "invalid_api_key")
    assert set(error) == {"message", "type", "param", "code"}


def test_other_calls_and_unknown_endpoints_are_refused_in_openais_form(aws: LocalAWS) -> None:
    token = local.bearer_token("us-east-1")
    for path, method, status, words in (
        ("/endpoints/end/openai/v1/completions", "POST", 404, "only POST chat/completions"),
        ("/endpoints/end/openai/v1/models", "GET", 404, "only POST chat/completions"),
        ("/endpoints/end/inference-components/c/openai/v1/chat/completions", "POST", 400, "component"),
        (PATH, "POST", 400, "Endpoint end of account 123456789012 not found"),
    ):
        found, _, body = send(aws, token, path=path, method=method)
        assert found == status
        assert words in json.loads(b"".join(body))["error"]["message"]


def test_a_token_lives_as_long_as_it_says_and_no_longer_than_twelve_hours() -> None:
    token = mint("us-east-1", NOW, 60)
    verify(token, "us-east-1", NOW + 59)
    for now in (NOW + 60, NOW - 301):
        with pytest.raises(BadToken, match="expired"):
            verify(token, "us-east-1", now)
    for seconds in (0, 43_201):
        with pytest.raises(ValueError, match="a token lives"):
            mint("us-east-1", NOW, seconds)


def test_a_token_whose_parts_were_changed_is_refused() -> None:
    token = mint("us-east-1", NOW, 60)
    address = base64.b64decode(token.removeprefix("sagemaker-api-key-")).decode()
    longer = base64.b64encode(address.replace("Expires=60", "Expires=600").encode()).decode()
    with pytest.raises(BadToken, match="signature"):
        verify(f"sagemaker-api-key-{longer}", "us-east-1", NOW)
    foreign = base64.b64encode(address.replace("Signature=", "Signature=%C3%A9").encode()).decode()
    with pytest.raises(BadToken, match="signature"):
        verify(f"sagemaker-api-key-{foreign}", "us-east-1", NOW)
