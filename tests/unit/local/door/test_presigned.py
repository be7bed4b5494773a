"""Presigned addresses hold until their time is over."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ift_sagemaker.local.door.presigned import check_expiry
from ift_sagemaker.local.protocol.errors import ServiceError

SIGNED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()
NEW = {"X-Amz-Date": "20260102T030405Z", "X-Amz-Expires": "60"}
OLD = {"AWSAccessKeyId": "k", "Expires": f"{SIGNED + 60:.0f}"}


@pytest.mark.parametrize("query", [NEW, OLD, {}, {"Expires": "0"}])
def test_an_address_holds_to_its_last_second_and_one_that_is_not_presigned_for_ever(
    query: dict[str, str],
) -> None:
    check_expiry(query, SIGNED + 60)


@pytest.mark.parametrize("query", [NEW, OLD])
def test_an_expired_address_is_refused_as_s3_does(query: dict[str, str]) -> None:
    with pytest.raises(ServiceError, match="Request has expired") as raised:
        check_expiry(query, SIGNED + 61)
    assert (raised.value.code, raised.value.status) == ("AccessDenied", 403)
    assert raised.value.details["Expires"] == "2026-01-02T03:05:05Z"
    assert raised.value.details["ServerTime"] == "2026-01-02T03:05:06Z"


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({**NEW, "X-Amz-Expires": "soon"}, "should be a number"),
        ({**NEW, "X-Amz-Expires": "-1"}, "non-negative"),
        ({**NEW, "X-Amz-Expires": "604801"}, "less than a week"),
        ({**NEW, "X-Amz-Expires": "9" * 400}, "less than a week"),
        ({**NEW, "X-Amz-Date": "today"}, "ISO8601"),
        ({"X-Amz-Expires": "60"}, "ISO8601"),
        ({**OLD, "Expires": "tomorrow"}, "seconds since epoch"),
        ({**OLD, "Expires": "9" * 40}, "seconds since epoch"),
    ],
)
def test_times_that_are_none_are_refused(query: dict[str, str], message: str) -> None:
    with pytest.raises(ServiceError, match=message):
        check_expiry(query, SIGNED)
