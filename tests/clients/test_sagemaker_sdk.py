"""The official `sagemaker` SDK 3.27, unmodified.

It is given settings that it documents and nothing else: the endpoint address, a session with a bucket, a
role, and its defaults file with telemetry off. The bucket must be named: without one the SDK asks STS at an
address that is written into it.
"""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from pathlib import Path

import pytest

from ift_sagemaker.catalog.images import training_image
from ift_sagemaker.wire.hyperparameters import TRAINING_HYPERPARAMETERS, to_wire
from ift_sagemaker.wire.metrics import METRIC_NAMES
from ift_sagemaker.wire.program import program
from tests.clients.conftest import HERE, REGION, ROLE, SERVING_IMAGE, Clients, chat_rows, model

pytestmark = [pytest.mark.clients, pytest.mark.bwrap]


def _archive(clients: Clients, uri: str) -> dict[str, bytes]:
    """The files of a job's model, fetched with the AWS CLI."""
    path = clients.folder / "model.tar.gz"
    clients.aws("s3", "cp", uri, str(path), "--only-show-errors")
    with tarfile.open(fileobj=io.BytesIO(path.read_bytes()), mode="r:gz") as tar:
        files = {member.name: tar.extractfile(member) for member in tar if member.isreg()}
        return {name: file.read() for name, file in files.items() if file}


def test_an_entry_script_trains_with_all_that_the_sdk_promises_it(clients: Clients) -> None:
    ran = clients.script("script_mode", ROLE, str(HERE / "scripts" / "source"))
    assert ran.told["status"] == "Completed"
    assert "pytorch-training" in ran.told["image"]
    assert 'training for 3 epochs on ["training", "code", "sm_drivers"]' in ran.log, ran.log
    learnt = json.loads(_archive(clients, ran.told["artifact"])["learnt.json"])
    assert learnt == {
        "epochs": 3,
        "note": "two words",
        "rows": ["a.jsonl"],
        "hosts": ["algo-1"],
        "here": "/opt/ml/input/data/code",
        "aws": ["AWS_DEFAULT_REGION", "AWS_REGION"],
    }


def test_our_own_program_trains_as_the_command_of_a_job_on_the_image_of_our_route(
    clients: Clients, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "ift_program.pyz").write_bytes(program().content)
    rows = chat_rows(tmp_path / "rows")
    weights = model().uri(model().weights_prefix)
    ran = clients.script("program_as_command", ROLE, str(source), training_image(REGION), weights, str(rows))
    assert ran.told["status"] == "Completed"
    assert "ift_metrics" in ran.log
    assert "config.json" in _archive(clients, ran.told["artifact"])


def test_the_sdks_look_ups_find_our_catalogue(clients: Clients) -> None:
    told = clients.script("catalogue_functions", model().model_id).told
    assert told["hyperparameters"] == to_wire({e.name: e.default for e in TRAINING_HYPERPARAMETERS})
    assert "epoch" in told["refused"]
    assert told["instance_type"] == "ml.g5.xlarge"
    assert told["training_image"] == model().training_image
    assert told["serving_image"] == SERVING_IMAGE
    assert told["weights"] == model().uri(model().weights_prefix)
    assert told["script"] == model().uri(model().script_key)
    assert told["metrics"] == list(METRIC_NAMES)


def test_a_jumpstart_model_is_fine_tuned_deployed_and_invoked(clients: Clients, tmp_path: Path) -> None:
    rows = chat_rows(tmp_path / "rows")
    ran = clients.script("jumpstart_then_deploy", ROLE, model().model_id, str(rows), SERVING_IMAGE)
    told = ran.told
    assert told["trained"] == "Completed"
    assert "ift_metrics" in ran.log
    assert told["hyperparameters"]["epoch"] == "1"
    assert told["hyperparameters"]["learning_rate"] == "0.0005"
    assert sorted(told["channels"]) == ["code", "model", "sm_drivers", "training"]
    card = json.loads(_archive(clients, told["artifact"])["ift_model.json"])
    assert card["base_model_id"] == model().model_id
    assert told["served"] == "InService"
    assert told["choices"] == 1


def test_the_guard_refuses_and_records_what_would_leave_the_machine(clients: Clients) -> None:
    attempt = (
        "import urllib.request; urllib.request.urlopen('https://sts.us-east-1.amazonaws.com', timeout=1)"
    )
    python = shutil.which("python", path=clients.environment["PATH"])
    assert python is not None
    with pytest.raises(AssertionError, match="lets nothing leave the machine"):
        clients.run(python, "-c", attempt)
    assert clients.record.read_text().startswith("getaddrinfo sts.us-east-1.amazonaws.com")
