"""What image URIs mean on this machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.running.engines import EngineSilent
from ift_sagemaker.local.running.images import (
    SERVE,
    SERVE_STAND_IN,
    TRAIN_STAND_IN,
    hosting_container,
    job_container,
    repository,
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
    container = job_container(tmp_path, "any:1", ["python3", "x.py"], ["train"])
    assert container.command == ("python3", "x.py", "train")
    assert container.executed.startswith("ift-local/python:")


def test_a_training_image_without_an_entrypoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="huggingface-pytorch-training"):
        job_container(tmp_path, f"{ECR}/huggingface-pytorch-training:2.9.0", [], ["train"])


def test_jumpstarts_script_on_a_known_training_image_is_our_program(tmp_path: Path) -> None:
    image = f"{ECR}/huggingface-pytorch-training:2.0.0"
    container = job_container(tmp_path, image, [], [], word="train", jumpstart=True)
    assert container.command == ("python3", "/opt/ml/input/data/code/ift_program.pyz", "train")
    with pytest.raises(ServiceError, match="has no local container"):
        job_container(tmp_path, "mine:1", [], [], word="train", jumpstart=True)


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
    assert job_container(tmp_path, f"{ECR}/mine:1", [], [], word="train").command[-1] == "train"
    assert job_container(tmp_path, f"{ECR}/mine:1", [], []).command[-1] != "train"


@pytest.mark.parametrize("text", ["no json", "[1]", '[{"image": "x"}]'])
def test_a_registry_file_that_is_none_is_refused_by_its_path(tmp_path: Path, text: str) -> None:
    (tmp_path / "images.json").write_text(text)
    with pytest.raises(ServiceError, match=r"images\.json is no list"):
        hosting_container(tmp_path, "x")


class Shelf:
    """An engine's images, in memory."""

    name = "podman"

    def __init__(self, *images: str) -> None:
        self._images = {image: f"{number:064x}" for number, image in enumerate(images, 1)}

    def image_id(self, image: str) -> str | None:
        return self._images.get(image)


class SilentShelf(Shelf):
    def image_id(self, image: str) -> str | None:
        raise EngineSilent("podman did not answer")


def test_an_engine_runs_the_image_that_was_asked_for_where_it_has_it(tmp_path: Path) -> None:
    shelf = Shelf("own:1", TRAIN_STAND_IN)
    own = job_container(tmp_path, "own:1", [], [], shelf, word="train")
    assert (own.image, own.command, own.replaces_entrypoint) == (f"{1:064x}", ("train",), False)
    assert own.executed == f"own:1@sha256:{1:064x}"
    replaced = job_container(tmp_path, "own:1", ["python3", "x.py"], ["a"], shelf)
    assert (replaced.command, replaced.replaces_entrypoint) == (("python3", "x.py", "a"), True)
    serving = hosting_container(tmp_path, "own:1", Shelf("own:1"))
    assert (serving.image, serving.command) == (f"{1:064x}", ("serve",))


def test_an_engine_without_the_image_runs_our_own_in_its_place_and_says_so(tmp_path: Path) -> None:
    shelf = Shelf(TRAIN_STAND_IN, SERVE_STAND_IN)
    trained = job_container(tmp_path, f"{ECR}/any:1", ["python3", "x.py"], ["train"], shelf)
    assert (trained.image, trained.command) == (f"{1:064x}", ("python3", "x.py", "train"))
    assert trained.executed.startswith(f"{TRAIN_STAND_IN}@sha256:")
    assert not trained.replaces_entrypoint
    served = hosting_container(tmp_path, f"{ECR}/vllm:1", shelf)
    assert (served.image, served.command) == (f"{2:064x}", ("serve",))


def test_an_engine_with_neither_is_refused_with_the_command_that_builds_it(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match=f"nor {TRAIN_STAND_IN}.*make images ENGINE=podman"):
        job_container(tmp_path, "any:1", ["python3"], [], Shelf())
    with pytest.raises(ServiceError, match=f"nor {SERVE_STAND_IN}.*make images ENGINE=podman"):
        hosting_container(tmp_path, f"{ECR}/vllm:1", Shelf())
    with pytest.raises(ServiceError, match="no local container"):
        hosting_container(tmp_path, "unknown:1", Shelf(SERVE_STAND_IN))


def test_an_engine_that_does_not_answer_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="podman did not answer") as caught:
        job_container(tmp_path, "any:1", ["python3"], [], SilentShelf())
    assert caught.value.status == 500


def test_what_was_executed_fits_in_a_tag(tmp_path: Path) -> None:
    long = f"{'x' * 300}:1"
    container = job_container(tmp_path, long, [], [], Shelf(long))
    assert len(container.executed) == 256
    assert container.executed.endswith(f"@sha256:{1:064x}")
