"""What image URIs mean on this machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.running.images import (
    SERVE,
    hosting_container,
    repository,
    training_container,
    training_title,
)

ECR = "763104351884.dkr.ecr.us-east-1.amazonaws.com"
DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (f"{ECR}/vllm:server-sagemaker-cuda-v2.6", "vllm"),
        (f"{ECR}/deep/name@{DIGEST}", "deep/name"),
        ("localhost:5000/name:tag", "name"),
        ("name", "name"),
        ("group/name:1", "group/name"),
    ],
)
def test_the_repository_is_what_is_left_without_registry_tag_and_digest(image: str, expected: str) -> None:
    assert repository(image) == expected


@pytest.mark.parametrize(
    "image",
    [
        f"{ECR}/vllm:server-sagemaker-cuda-v2.6",
        f"{ECR}/huggingface-vllm:0.29.0",
        f"{ECR}/djl-inference:0.38.0-lmi29",
        f"{ECR}/huggingface-pytorch-tgi-inference:2.7.0-tgi3.3.6",
        f"{ECR}/huggingface-pytorch-inference:2.6.0",
        "123456789012.dkr.ecr.eu-west-1.amazonaws.com/vllm:mine",
    ],
)
def test_aws_serving_images_are_answered_by_our_own_program(tmp_path: Path, image: str) -> None:
    assert hosting_container(tmp_path, image).command == SERVE


@pytest.mark.parametrize("image", [f"{ECR}/vllm-neuron:1", f"{ECR}/xgboost:1", "my-vllm"])
def test_an_image_that_nothing_stands_for_is_refused_with_the_known_ones(tmp_path: Path, image: str) -> None:
    with pytest.raises(ServiceError, match="has no local container; known are vllm, djl-inference") as caught:
        hosting_container(tmp_path, image)
    assert caught.value.code == "UnsupportedOperation"
    assert image in caught.value.message


def test_a_training_image_runs_its_jobs_entrypoint_whatever_it_is(tmp_path: Path) -> None:
    container = training_container(tmp_path, "any:1", ["python3", "x.py"], ["train"])
    assert container.command == ("python3", "x.py", "train")
    assert container.executed.startswith("ift-local/python:")


def test_a_training_image_without_an_entrypoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="huggingface-pytorch-training"):
        training_container(tmp_path, f"{ECR}/huggingface-pytorch-training:2.9.0", [], ["train"])


def test_the_known_training_images_have_a_title_and_others_none() -> None:
    assert training_title(f"{ECR}/huggingface-pytorch-training:2.9.0") == "huggingface-pytorch-training"
    assert training_title("123456789012.dkr.ecr.x.amazonaws.com/pytorch-training:2.10") == "pytorch-training"
    assert training_title("mine:1") == ""


def test_a_registry_file_adds_images_of_the_users_own(tmp_path: Path) -> None:
    rows = [{"image": "*/mine:*", "command": ["python3", "/opt/ml/model/server.py"]}]
    (tmp_path / "images.json").write_text(json.dumps(rows))
    container = hosting_container(tmp_path, f"{ECR}/mine:1")
    assert container.command == ("python3", "/opt/ml/model/server.py")
    assert "mine" in container.executed
    assert training_container(tmp_path, f"{ECR}/mine:1", [], []).command[-1] == "train"


@pytest.mark.parametrize("text", ["no json", "[1]", '[{"image": "x"}]'])
def test_a_registry_file_that_is_none_is_refused_by_its_path(tmp_path: Path, text: str) -> None:
    (tmp_path / "images.json").write_text(text)
    with pytest.raises(ServiceError, match=r"images\.json is no list"):
        hosting_container(tmp_path, "x")
