"""How long a presigned address holds. Its signature, like every other, is taken on trust: the local AWS has
one user and listens to this machine alone.

Source: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from ift_sagemaker.local.protocol.errors import ServiceError

MAX_SECONDS = 604_800
# how far ahead a client's clock may be
_SKEW_IN_SECONDS = 900
_PARAMETERS = "X-Amz-Algorithm X-Amz-Credential X-Amz-Signature X-Amz-Date X-Amz-SignedHeaders X-Amz-Expires"


def check_expiry(query: Mapping[str, str], now: float) -> None:
    """Raises the ServiceError that S3 sends for a presigned address that is past its time or says none.

    `now` in epoch seconds; a request that is not presigned passes.
    """
    if "X-Amz-Signature" in query or "X-Amz-Algorithm" in query:
        _check(_signed_at(query), _seconds(query), now)
    elif "AWSAccessKeyId" in query:
        _check_older(query, now)


def _check(signed: float, seconds: int, now: float) -> None:
    if signed > now + _SKEW_IN_SECONDS:
        raise ServiceError("AccessDenied", "Request is not valid yet", 403)
    if now > signed + seconds:
        raise _expired(signed + seconds, now, {"X-Amz-Expires": seconds})


def _check_older(query: Mapping[str, str], now: float) -> None:
    text = query.get("Expires", "")
    if not text.isascii() or not text.isdigit():
        message = f"Invalid date (should be seconds since epoch): {text}"
        raise ServiceError("AccessDenied", message, 403)
    if now > int(text):
        raise _expired(int(text), now, {})


def _expired(end: float, now: float, details: Mapping[str, object]) -> ServiceError:
    times = {"Expires": _iso(end), "ServerTime": _iso(now)}
    return ServiceError("AccessDenied", "Request has expired", 403, {**details, **times})


def _iso(seconds: float) -> str:
    return f"{datetime.fromtimestamp(min(seconds, 253402300799), UTC):%Y-%m-%dT%H:%M:%SZ}"


def _signed_at(query: Mapping[str, str]) -> float:
    missing = [name for name in _PARAMETERS.split() if name not in query]
    if missing:
        listed = ", ".join(_PARAMETERS.split())
        raise _wrong(f"Query-string authentication version 4 requires the {listed} parameters.")
    try:
        return datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise _wrong("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"") from None


def _seconds(query: Mapping[str, str]) -> int:
    text = query["X-Amz-Expires"]
    if not text.isascii() or not text.isdigit() or len(text) > 12:
        raise _wrong("X-Amz-Expires should be a number")
    if int(text) > MAX_SECONDS:
        raise _wrong(
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be"
            f" less than {MAX_SECONDS} seconds"
        )
    return int(text)


def _wrong(message: str) -> ServiceError:
    return ServiceError("AuthorizationQueryParametersError", message, 400)
