"""What a JumpStart training job means on this machine."""

from __future__ import annotations

from typing import Any

import pytest

from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.running import jumpstart
from tests.unit.local.machine import channel

WEIGHTS = "s3://jumpstart-private-cache-prod-us-east-1/meta-training/train-x.tar.gz"
SCRIPT = "s3://jumpstart-cache-prod-us-east-1/source-directory-tarballs/sourcedir.tar.gz"
OWN = "s3://jumpstart-cache-prod-us-east-1/ift/smollm2/v1/weights/"


def _request(tags: dict[str, str], *channels: tuple[str, str], **changes: Any) -> dict[str, Any]:
    return {
        "AlgorithmSpecification": {},
        "HyperParameters": {"sagemaker_program": "transfer_learning.py"},
        "InputDataConfig": [channel(name, uri) for name, uri in channels],
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
        **changes,
    }


def test_script_and_weights_of_jumpstart_come_from_here_and_rows_from_where_they_lie() -> None:
    tags = {"ift:stand-in": "tiny", "ift:stand-in-weights": "s3://b/w/", "ift:model-id": "llama"}
    request = _request(tags, ("training", "s3://b/rows/"), ("model", WEIGHTS), ("code", SCRIPT))
    script = f"s3://jumpstart-cache-prod-us-east-1/{jumpstart.script_folder()}"
    assert jumpstart.sources(request) == {WEIGHTS: "s3://b/w/", SCRIPT: script}
    assert jumpstart.stand_in_of(request) == "stand-in: tiny trained in place of llama"
    assert jumpstart.runs_its_script(request)


def test_without_a_tag_no_weights_are_put_in_place_of_others() -> None:
    request = _request({}, ("model", WEIGHTS))
    assert jumpstart.sources(request) == {}
    assert jumpstart.stand_in_of(request) == ""
    assert "--stand-in" in jumpstart.remedy(WEIGHTS)
    assert jumpstart.remedy("s3://b/rows/") == jumpstart.remedy(OWN) == ""


def test_what_the_local_aws_has_in_jumpstarts_bucket_itself_stays_where_it_is() -> None:
    own_script = f"s3://jumpstart-cache-prod-us-east-1/{jumpstart.script_key()}"
    tags = {"ift:stand-in-weights": "s3://b/w/"}
    assert jumpstart.sources(_request(tags, ("model", OWN), ("code", own_script))) == {}


def test_an_entrypoint_of_the_jobs_own_is_no_script_of_jumpstarts() -> None:
    request = _request({}, ("code", SCRIPT), AlgorithmSpecification={"ContainerEntrypoint": ["x"]})
    assert not jumpstart.runs_its_script(request)
    assert not jumpstart.runs_its_script(_request({}, ("code", "s3://b/code/")))


@pytest.mark.parametrize("address", ["b/w/", "s3://b", "https://b/w/"])
def test_a_tag_that_names_no_weights_is_refused(address: str) -> None:
    with pytest.raises(ServiceError):
        jumpstart.sources(_request({"ift:stand-in-weights": address}, ("model", WEIGHTS)))
