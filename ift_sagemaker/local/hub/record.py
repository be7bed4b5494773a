"""One model as JumpStart describes one: a typed record, of which the formats beside it are views.

The models are those of our catalogue, under our catalogue's ids. AWS's own public hub has other models and
does not have these: a client that runs here against one of them learns how its calls work, not what AWS
offers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

from ift_sagemaker.catalog.images import training_image, vllm_image
from ift_sagemaker.catalog.instances import instances
from ift_sagemaker.catalog.models import FoundationModel, models
from ift_sagemaker.local.running.jumpstart import script_key
from ift_sagemaker.local.s3.bucket_operations import AWS_OWNED
from ift_sagemaker.wire.hyperparameters import TRAINING_HYPERPARAMETERS, Hyperparameter
from ift_sagemaker.wire.metrics import METRIC_DEFINITIONS
from ift_sagemaker.wire.paths import MODEL_ID_VARIABLE

VERSION = "1.0.0"
MIN_SDK_VERSION = "2.49.0"
MANIFEST_KEY = "models_manifest.json"
PROPRIETARY_MANIFEST_KEY = "proprietary-sdk-manifest.json"
DEFAULT_INSTANCE_TYPE = "ml.g5.xlarge"
VOLUME_SIZE_IN_GB = 100
MAX_RUNTIME_IN_SECONDS = 360_000
_ROUTE = "container"


@dataclass(frozen=True)
class HubModel:
    """What JumpStart knows of one model in one region. Keys and prefixes are those of `bucket`."""

    model_id: str
    version: str
    display_name: str
    provider: str
    licence: str
    url: str
    published: float
    bucket: str
    region: str
    spec_key: str
    weights_prefix: str
    script_key: str
    training_image: str
    hosting_image: str
    instance_types: tuple[str, ...]
    hyperparameters: tuple[Hyperparameter, ...]
    metrics: tuple[Mapping[str, str], ...]
    environment: Mapping[str, str]

    @property
    def instance_families(self) -> tuple[str, ...]:
        return tuple(sorted({name.split(".")[1] for name in self.instance_types}))

    @property
    def keywords(self) -> tuple[str, ...]:
        return ("Text Generation", self.provider)

    @property
    def description(self) -> str:
        return f"{self.display_name}, as the local AWS of ift_sagemaker trains it"

    @property
    def training_environment(self) -> Mapping[str, str]:
        return {MODEL_ID_VARIABLE: self.model_id}

    def uri(self, key: str) -> str:
        return f"s3://{self.bucket}/{key}"


def content_bucket(region: str) -> str:
    """The bucket of AWS's from which JumpStart's clients read in a region."""
    return f"{AWS_OWNED}{region}"


@cache
def hub_models(region: str) -> tuple[HubModel, ...]:
    """Every model of the catalogue that our own program trains, in order of id.

    Raises ConfigError where AWS's images are not known in the region.
    """
    return tuple(_record(model, region) for model in models() if model.route == _ROUTE)


def _record(model: FoundationModel, region: str) -> HubModel:
    folder = f"ift/{model.model_id}/v{VERSION}"
    return HubModel(
        model_id=model.model_id,
        version=VERSION,
        display_name=model.display_name,
        provider=model.developer,
        licence=model.licence,
        url=f"https://huggingface.co/{model.hub_id}",
        published=datetime.fromisoformat(model.date).replace(tzinfo=UTC).timestamp(),
        bucket=content_bucket(region),
        region=region,
        spec_key=f"community_models/{model.model_id}/specs_v{VERSION}.json",
        weights_prefix=f"{folder}/weights/",
        script_key=script_key(),
        training_image=training_image(region),
        hosting_image=vllm_image(region),
        instance_types=_instance_types(),
        hyperparameters=TRAINING_HYPERPARAMETERS,
        metrics=METRIC_DEFINITIONS,
        environment=_environment(model),
    )


def _environment(model: FoundationModel) -> dict[str, str]:
    return {"SM_VLLM_MAX_MODEL_LEN": str(model.context_length)} if model.context_length else {}


def _instance_types() -> tuple[str, ...]:
    """Types with one NVIDIA accelerator: the program trains on one."""
    return tuple(
        name
        for name, known in sorted(instances().items())
        if known.count == 1 and (known.accelerator or "").startswith("NVIDIA")
    )
