"""AWS's own container images: which registry serves which region."""

from __future__ import annotations

from typing import Any

from ift_sagemaker.catalog.facts import load
from ift_sagemaker.errors import ConfigError


def training_image(region: str) -> str:
    """AWS's Hugging Face PyTorch training image. Raises ConfigError where the region has none."""
    return _image("training", region)


def vllm_image(region: str) -> str:
    """AWS's vLLM serving image. Raises ConfigError where the region has none."""
    return _image("vllm", region)


def aws_image(region: str, image: str) -> str:
    """A deep learning container of AWS's, `image` as repository:tag. Raises ConfigError as above.

    Older images share the registries of the Hugging Face one; that one is in a region is not checked.
    """
    repository, _, tag = image.partition(":")
    return _image("training", region, repository, tag)


def _image(kind: str, region: str, repository: str = "", tag: str = "") -> str:
    facts = load("image_accounts.json")
    image: dict[str, Any] = facts[kind]
    repository, tag = repository or image["repository"], tag or image["tag"]
    account = image["accounts"].get(region)
    if account is None:
        raise ConfigError(
            f"AWS's {repository} image is not known in region {region!r}; it is in "
            f"{', '.join(image['accounts'])}",
            field="region",
            value=region,
            allowed=", ".join(image["accounts"]),
        )
    domains: dict[str, str] = facts["domains"]["by_region_prefix"]
    domain = next(name for prefix, name in domains.items() if region.startswith(prefix))
    return f"{account}.dkr.ecr.{region}.{domain}/{repository}:{tag}"
