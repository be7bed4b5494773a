"""Listings tell what is, also where a supervisor died and nobody has looked since."""

from __future__ import annotations

import os
import signal
from typing import Any

from ift_sagemaker import local
from ift_sagemaker.local.supervision.leases import is_held, lease_path
from tests.unit.local.machine import LocalAWS, Settle


def names(aws: LocalAWS, **params: Any) -> list[str]:
    return [found["EndpointName"] for found in aws.sagemaker.list_endpoints(**params)["Endpoints"]]


def test_a_status_filter_goes_by_what_an_endpoint_truly_is(aws: LocalAWS) -> None:
    aws.host()
    assert aws.settled()["EndpointStatus"] == "InService"
    assert (names(aws, StatusEquals="InService"), names(aws, StatusEquals="Failed")) == (["end"], [])
    supervisor = local.supervisor_pid("endpoint", "end", aws.root)
    assert supervisor is not None
    os.kill(supervisor, signal.SIGKILL)
    assert Settle().until(lambda: not is_held(lease_path(aws.root, "endpoint", "end")))
    assert (names(aws, StatusEquals="Failed"), names(aws, StatusEquals="InService")) == (["end"], [])
