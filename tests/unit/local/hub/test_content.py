"""JumpStart's bucket of the local AWS."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ift_sagemaker.catalog.models import FoundationModel
from ift_sagemaker.catalog.weights import WeightsCache
from ift_sagemaker.local.hub.content import ENTRY_POINT, script_archive
from ift_sagemaker.local.hub.record import HubModel, hub_models
from tests.unit.local.machine import LocalAWS, channel, refusal

BUCKET = "jumpstart-cache-prod-us-east-1"
FILES = {"config.json": "{}", "tokenizer.json": "{}", "model.safetensors": "weights"}


class Few:
    """A fetcher of three small files."""

    name = "tests"

    def fetch(self, model: FoundationModel, folder: Path, tell: Callable[[str], None]) -> str:
        folder.mkdir()
        for name, text in FILES.items():
            (folder / name).write_text(text)
        return self.name


@pytest.fixture
def model() -> HubModel:
    return hub_models("us-east-1")[0]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WeightsCache:
    """This machine's weights cache, empty."""
    monkeypatch.setenv("IFT_CACHE", str(tmp_path / "cache"))
    return WeightsCache(tmp_path / "cache", fetchers=[Few()])


def _json(aws: LocalAWS, key: str) -> Any:
    return json.loads(aws.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())


def test_manifest_spec_and_script_are_there_when_they_are_first_read(aws: LocalAWS, model: HubModel) -> None:
    (row,) = [row for row in _json(aws, "models_manifest.json") if row["model_id"] == model.model_id]
    spec = _json(aws, row["spec_key"])
    assert (spec["model_id"], spec["version"]) == (row["model_id"], row["version"])
    aliases = spec["training_instance_type_variants"]["regional_aliases"]["us-east-1"]
    assert aliases == {"training_image": model.training_image}
    script = aws.s3.get_object(Bucket=BUCKET, Key=spec["training_script_key"])["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(script)) as tar:
        assert sorted(tar.getnames()) == ["ift_program.pyz", ENTRY_POINT]
    assert _json(aws, "proprietary-sdk-manifest.json") == []


def test_files_of_another_version_are_replaced(aws: LocalAWS) -> None:
    before = aws.s3.get_object(Bucket=BUCKET, Key="models_manifest.json")["Body"].read()
    aws.objects.put(BUCKET, "models_manifest.json", b"[]")
    assert aws.s3.get_object(Bucket=BUCKET, Key="models_manifest.json")["Body"].read() == before


def test_the_script_s_archive_is_the_same_at_every_build() -> None:
    first = script_archive()
    script_archive.cache_clear()
    assert script_archive() == first


def test_the_bucket_is_read_by_all_and_listed_and_written_by_nobody(aws: LocalAWS) -> None:
    aws.s3.head_object(Bucket=BUCKET, Key="models_manifest.json")
    assert BUCKET not in [bucket["Name"] for bucket in aws.s3.list_buckets()["Buckets"]]
    assert refusal(aws.s3.put_object, Bucket=BUCKET, Key="k", Body=b"x")[0] == "AccessDenied"
    assert refusal(aws.s3.delete_object, Bucket=BUCKET, Key="models_manifest.json")[0] == "AccessDenied"


def test_weights_of_the_cache_are_there_once_their_prefix_is_asked_for(
    aws: LocalAWS, model: HubModel, cache: WeightsCache
) -> None:
    cache.pull(model.model_id)
    aws.s3.list_objects_v2(Bucket=BUCKET)
    assert not [found.key for found in aws.objects.list(BUCKET, model.weights_prefix)], "copied unasked"
    rows = aws.s3.list_objects_v2(Bucket=BUCKET, Prefix=model.weights_prefix)["Contents"]
    assert {row["Key"].removeprefix(model.weights_prefix) for row in rows} == set(FILES)


def test_a_job_gets_the_weights_that_it_names(aws: LocalAWS, model: HubModel, cache: WeightsCache) -> None:
    cache.pull(model.model_id)
    weights = channel("model", model.uri(model.weights_prefix))
    script = '(ML / "model" / "seen").write_text((ML / "input/data/model/model.safetensors").read_text())'
    aws.train("named", script, channels=[weights])
    assert aws.ended("named")["TrainingJobStatus"] == "Completed"
    assert aws.members("out/named/output/model.tar.gz") == {"seen": b"weights"}


def test_a_job_on_weights_that_are_not_on_this_machine_is_refused_with_the_remedy(
    aws: LocalAWS, model: HubModel, cache: WeightsCache
) -> None:
    weights = channel("model", model.uri(model.weights_prefix))
    aws.put("programs/none/main.py", "")
    code, message = refusal(aws.sagemaker.create_training_job, **aws.request("none", channels=[weights]))
    assert code == "ValidationException"
    assert f"ift models pull {model.model_id}" in message
