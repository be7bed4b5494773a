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


def _image(kind: str, region: str) -> str:
    facts = load("image_accounts.json")
    image: dict[str, Any] = facts[kind]
    account = image["accounts"].get(region)
    if account is None:
        raise ConfigError(
            f"AWS's {image['repository']} image is not known in region {region!r}; it is in "
            f"{', '.join(image['accounts'])}",
            field="region",
            value=region,
            allowed=", ".join(image["accounts"]),
        )
    domains: dict[str, str] = facts["domains"]["by_region_prefix"]
    domain = next(name for prefix, name in domains.items() if region.startswith(prefix))
    return f"{account}.dkr.ecr.{region}.{domain}/{image['repository']}:{image['tag']}"
