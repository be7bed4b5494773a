"""Bearer tokens of SageMaker's OpenAI-compatible path: a presigned request, encoded.

Read in sagemaker-core 2.27.0 (`sagemaker.core.token_generator`): `sagemaker-api-key-` and the Base64 of a
SigV4 presigned `POST sagemaker.amazonaws.com/?Action=CallWithBearerToken` without its scheme, with
`&Version=1` appended after signing, valid for at most 12 hours. How SageMaker checks one is not documented;
here the signature must be that of the local AWS's own credentials, for its own region.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote

from ift_sagemaker.local.state.settings import ACCESS_KEY, SECRET_KEY

PREFIX = "sagemaker-api-key-"
HOST = "sagemaker.amazonaws.com"
MAX_SECONDS = 12 * 3600
_SERVICE = "sagemaker"
_ALGORITHM = "AWS4-HMAC-SHA256"
_STAMP = "%Y%m%dT%H%M%SZ"
_SKEW_IN_SECONDS = 300
_MAX_LENGTH = 8192


class BadToken(Exception):  # noqa: N818 - an outcome
    """The token is not one of this local AWS, or no longer; the text says which and holds nothing of it."""


def mint(region: str, now: float, seconds: int = MAX_SECONDS) -> str:
    """A token for a local AWS of that region, as `generate_token` of the official SDK makes it.

    Raises ValueError where `seconds` is not from 1 to 12 hours.
    """
    if not 1 <= seconds <= MAX_SECONDS:
        raise ValueError(f"a token lives from 1 to {MAX_SECONDS} seconds, not {seconds}")
    stamp = datetime.fromtimestamp(now, UTC).strftime(_STAMP)
    query = {
        "Action": "CallWithBearerToken",
        "X-Amz-Algorithm": _ALGORITHM,
        "X-Amz-Credential": f"{ACCESS_KEY}/{_scope(stamp, region)}",
        "X-Amz-Date": stamp,
        "X-Amz-Expires": str(seconds),
        "X-Amz-SignedHeaders": "host",
    }
    signed = f"{_canonical(query)}&X-Amz-Signature={_signature(query, region)}"
    return PREFIX + base64.b64encode(f"{HOST}/?{signed}&Version=1".encode()).decode()


def verify(token: str, region: str, now: float) -> None:
    """Returns where the token is this local AWS's own and lives; raises BadToken otherwise."""
    query = _decoded(token)
    given = query.pop("X-Amz-Signature", "")
    query.pop("Version", None)
    stamp, age = _date(query)
    if query.get("X-Amz-Credential") != f"{ACCESS_KEY}/{_scope(stamp, region)}":
        raise BadToken("the token was made with other credentials, or for another region")
    if query.get("Action") != "CallWithBearerToken" or query.get("X-Amz-Algorithm") != _ALGORITHM:
        raise BadToken("the token was made for something else")
    if not hmac.compare_digest(given.encode(), _signature(query, region).encode()):
        raise BadToken("the token's signature is wrong")
    if not age - _SKEW_IN_SECONDS <= now < age + _lifetime(query):
        raise BadToken("the token has expired")


def _decoded(token: str) -> dict[str, str]:
    encoded = token.removeprefix(PREFIX)
    if encoded == token or len(token) > _MAX_LENGTH:
        raise BadToken(f"the token does not begin with {PREFIX}")
    try:
        address = base64.b64decode(encoded, validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError):
        raise BadToken("the token is not Base64") from None
    host, _, query = address.partition("/?")
    if host != HOST:
        raise BadToken("the token was made for another host")
    return dict(parse_qsl(query, keep_blank_values=True))


def _date(query: Mapping[str, str]) -> tuple[str, float]:
    stamp = query.get("X-Amz-Date", "")
    try:
        return stamp, datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise BadToken("the token has no date") from None


def _lifetime(query: Mapping[str, str]) -> int:
    text = query.get("X-Amz-Expires", "")
    return min(int(text), MAX_SECONDS) if text.isascii() and text.isdigit() else 0


def _scope(stamp: str, region: str) -> str:
    return f"{stamp[:8]}/{region}/{_SERVICE}/aws4_request"


def _canonical(query: Mapping[str, str]) -> str:
    return "&".join(f"{quote(name, safe='-_.~')}={quote(query[name], safe='-_.~')}" for name in sorted(query))


def _signature(query: Mapping[str, str], region: str) -> str:
    """Signature Version 4 of the presigned request, as hex digits."""
    stamp = query["X-Amz-Date"]
    empty = hashlib.sha256(b"").hexdigest()
    request = f"POST\n/\n{_canonical(query)}\nhost:{HOST}\n\nhost\n{empty}"
    hashed = hashlib.sha256(request.encode()).hexdigest()
    key = f"AWS4{SECRET_KEY}".encode()
    for part in (
        *_scope(stamp, region).split("/"),
        f"{_ALGORITHM}\n{stamp}\n{_scope(stamp, region)}\n{hashed}",
    ):
        key = hmac.digest(key, part.encode(), "sha256")
    return key.hex()
