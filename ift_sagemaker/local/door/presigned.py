"""How long a presigned address of S3 holds. Pure.

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html; wordings as S3 sends them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from ift_sagemaker.local.protocol.errors import ServiceError

LONGEST_IN_SECONDS = 604_800
_DATE = "%Y%m%dT%H%M%SZ"


def check_expiry(query: Mapping[str, str], now: float) -> None:
    """Does nothing for an address that is not presigned, or still holds. `now` is in epoch seconds.

    Raises:
        ServiceError: (403 AccessDenied) it has expired; or its times are none.
    """
    if "X-Amz-Expires" in query:
        seconds = _seconds(query["X-Amz-Expires"])
        end = _date(query.get("X-Amz-Date", "")) + seconds
        details = {"X-Amz-Expires": str(seconds)}
    elif "AWSAccessKeyId" in query and "Expires" in query:
        end, details = _epoch(query["Expires"]), {}
    else:
        return
    if now > end:
        told = {**details, "Expires": _shown(end), "ServerTime": _shown(now)}
        raise ServiceError("AccessDenied", "Request has expired", 403, told)


def _seconds(text: str) -> int:
    if not text.isascii() or not text.removeprefix("-").isdigit():
        raise _refused("X-Amz-Expires should be a number")
    if text.startswith("-"):
        raise _refused("X-Amz-Expires must be non-negative")
    if len(text) > len(str(LONGEST_IN_SECONDS)) or int(text) > LONGEST_IN_SECONDS:
        raise _refused(
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be"
            f" less than {LONGEST_IN_SECONDS} seconds"
        )
    return int(text)


def _date(text: str) -> float:
    try:
        return datetime.strptime(text, _DATE).replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise _refused("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"") from None


def _epoch(text: str) -> float:
    if not text.isascii() or not text.isdigit() or len(text) > 11:
        raise ServiceError("AccessDenied", f"Invalid date (should be seconds since epoch): {text[:40]}", 403)
    return float(text)


def _shown(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _refused(message: str) -> ServiceError:
    return ServiceError("AuthorizationQueryParametersError", message, 400)
