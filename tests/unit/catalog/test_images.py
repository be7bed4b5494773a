from __future__ import annotations

import pytest

from ift_sagemaker.catalog.facts import load
from ift_sagemaker.catalog.images import training_image, vllm_image
from ift_sagemaker.contract.shapes import violations
from ift_sagemaker.errors import ConfigError


def test_most_regions_share_one_registry() -> None:
    assert training_image("us-east-1") == (
        "763104351884.dkr.ecr.us-east-1.amazonaws.com/huggingface-pytorch-training:"
        "2.9.0-transformers5.3.0-gpu-py312-cu130-ubuntu22.04"
    )
    assert vllm_image("eu-west-1") == (
        "763104351884.dkr.ecr.eu-west-1.amazonaws.com/vllm:server-sagemaker-cuda-v2.6"
    )


@pytest.mark.parametrize(
    ("region", "account"),
    [
        ("af-south-1", "626614931356"),
        ("il-central-1", "780543022126"),
        ("ap-east-1", "871362719292"),
        ("ap-northeast-3", "364406365360"),
        ("ap-southeast-3", "907027046896"),
        ("eu-south-1", "692866216735"),
        ("me-south-1", "217643126080"),
        ("me-central-1", "914824155844"),
        ("ca-west-1", "204538143572"),
        ("us-gov-east-1", "446045086412"),
        ("us-gov-west-1", "442386744353"),
    ],
)
def test_some_regions_have_a_registry_of_their_own(region: str, account: str) -> None:
    assert training_image(region).startswith(f"{account}.dkr.ecr.{region}.amazonaws.com/")


def test_china_has_its_own_domain() -> None:
    assert training_image("cn-north-1").startswith("727897471807.dkr.ecr.cn-north-1.amazonaws.com.cn/")


@pytest.mark.parametrize("make", [training_image, vllm_image])
def test_a_region_without_the_image_is_told_which_have_it(make: type) -> None:
    with pytest.raises(ConfigError, match=r"'mars-1'.*us-east-1"):
        make("mars-1")


@pytest.mark.parametrize("kind", ["training", "vllm"])
def test_every_image_is_one_that_a_request_may_name(kind: str) -> None:
    make = training_image if kind == "training" else vllm_image
    for region in load("image_accounts.json")[kind]["accounts"]:
        request = {"ModelName": "m", "PrimaryContainer": {"Image": make(region)}}
        assert violations("sagemaker", "CreateModel", request) == []
