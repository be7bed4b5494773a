"""AWS's words on limits and capacity are understood, and nothing else is taken for them."""

from __future__ import annotations

import pytest

from ift_sagemaker.contract.limits import is_capacity, quota_names, quota_of


@pytest.mark.parametrize(
    "reason",
    [
        "CapacityError: Unable to provision requested ML compute capacity. Please retry using a different ML",
        "Request failed: InsufficientInstanceCapacity",
        "EC2InsufficientCapacityError: Instance type 'ml.g5.48xlarge' is temporarily unavailable",
    ],
)
def test_a_lack_of_capacity_is_told(reason: str) -> None:
    assert is_capacity(reason)


@pytest.mark.parametrize(
    "reason",
    [
        "",
        "AlgorithmError: the queue is at capacity, exit code: 1",
        "ResourceLimitExceeded: The account-level service limit 'x' is 0 Instances",
        "Insufficient capacity error from EC2 while launching instances, retrying!",
    ],
)
def test_other_words_are_no_lack_of_capacity(reason: str) -> None:
    assert not is_capacity(reason)


def test_a_limit_told_over_several_lines_is_read() -> None:
    found = quota_of(
        "The account-level service limit 'ml.p2.xlarge\nfor training job usage' is 0 Instances, with current"
        " utilization of 1 Instances and a request delta of 2 Instances."
    )
    assert (found.name, found.counts) == ("ml.p2.xlarge for training job usage", (0, 1, 2))


def test_the_names_of_limits_are_those_that_errors_tell() -> None:
    assert quota_names("ml.p2.xlarge") == (
        "ml.p2.xlarge for training job usage",
        "ml.p2.xlarge for endpoint usage",
    )
    assert quota_names("ml.p2.xlarge", spot=True)[0] == "ml.p2.xlarge for spot training job usage"
