"""The public hub of the local AWS."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ift_sagemaker.catalog.images import training_image
from ift_sagemaker.catalog.models import models
from ift_sagemaker.local import boto3_session
from ift_sagemaker.wire.hyperparameters import TRAINING_HYPERPARAMETERS, parse_hyperparameters
from tests.unit.local.machine import refusal

HUB = "SageMakerPublicHub"
MODEL = "smollm2-135m-instruct"


@pytest.fixture
def sagemaker(tmp_path: Path) -> Any:
    return boto3_session(tmp_path).client("sagemaker")


def _content(sagemaker: Any, **changes: str) -> dict[str, Any]:
    asked = {"HubName": HUB, "HubContentType": "Model", "HubContentName": MODEL, **changes}
    found: dict[str, Any] = sagemaker.describe_hub_content(**asked)
    return found


def test_the_hub_has_every_model_that_our_program_trains(sagemaker: Any) -> None:
    found = sagemaker.list_hub_contents(HubName=HUB, HubContentType="Model")["HubContentSummaries"]
    offered = {model.model_id for model in models() if model.route == "container"}
    assert {row["HubContentName"] for row in found} == offered
    assert sagemaker.list_hub_contents(HubName=HUB, HubContentType="Notebook")["HubContentSummaries"] == []


def test_there_is_one_hub_and_it_is_the_public_one(sagemaker: Any) -> None:
    (hub,) = sagemaker.list_hubs(SortBy="HubName")["HubSummaries"]
    assert hub["HubName"] == HUB
    described = sagemaker.describe_hub(HubName=hub["HubArn"])
    assert (described["HubName"], described["HubStatus"]) == (HUB, "InService")


def test_a_model_s_document_names_what_a_job_needs_in_the_hub_s_region(tmp_path: Path) -> None:
    document = json.loads(
        _content(boto3_session(tmp_path, "eu-west-1").client("sagemaker"))["HubContentDocument"]
    )
    assert document["TrainingEcrUri"] == training_image("eu-west-1")
    assert document["TrainingArtifactUri"].startswith("s3://jumpstart-cache-prod-eu-west-1/")
    variants = document["TrainingInstanceTypeVariants"]["Variants"]
    assert variants["g5"]["Properties"]["ImageUri"] == training_image("eu-west-1")
    families = {name.split(".")[1] for name in document["SupportedTrainingInstanceTypes"]}
    assert set(variants) == families, "a family without a variant would get no image"


def test_the_document_s_hyperparameters_are_those_of_our_program(sagemaker: Any) -> None:
    rows = json.loads(_content(sagemaker)["HubContentDocument"])["Hyperparameters"]
    assert [row["Name"] for row in rows] == [entry.name for entry in TRAINING_HYPERPARAMETERS]
    defaults = {row["Name"]: str(row["Default"]) for row in rows}
    assert parse_hyperparameters(defaults) == parse_hyperparameters({})
    epoch = next(row for row in rows if row["Name"] == "epoch")
    assert (epoch["Type"], epoch["Min"], epoch["Max"]) == ("int", 1, 1000)
    merged = next(row for row in rows if row["Name"] == "merge_weights")
    assert (merged["Type"], merged["Options"]) == ("text", ["True", "False"])


def test_a_content_has_one_version(sagemaker: Any) -> None:
    asked = {"HubName": HUB, "HubContentType": "Model", "HubContentName": MODEL}
    (row,) = sagemaker.list_hub_content_versions(**asked)["HubContentSummaries"]
    assert _content(sagemaker, HubContentVersion=row["HubContentVersion"])["HubContentName"] == MODEL
    assert sagemaker.list_hub_content_versions(**asked, MinVersion="9.0.0")["HubContentSummaries"] == []
    assert (
        refusal(sagemaker.describe_hub_content, **asked, HubContentVersion="9.9.9")[0] == "ResourceNotFound"
    )


def test_what_the_hub_does_not_have_is_named_with_what_it_has(sagemaker: Any) -> None:
    for changes in ({"HubContentName": "llama-of-elsewhere"}, {"HubContentType": "ModelReference"}):
        asked = {"HubName": HUB, "HubContentType": "Model", "HubContentName": MODEL, **changes}
        code, message = refusal(sagemaker.describe_hub_content, **asked)
        assert code == "ResourceNotFound"
        assert MODEL in message
    code, message = refusal(sagemaker.describe_hub, HubName="my-own")
    assert code == "ResourceNotFound"
    assert "my-own" in message
