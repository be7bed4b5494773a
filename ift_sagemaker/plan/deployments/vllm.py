"""Real-time endpoint of a causal language model on AWS's vLLM image.

The image takes OpenAI chat requests on `/invocations` and reads the model from `/opt/ml/model`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ift_sagemaker.catalog.images import vllm_image
from ift_sagemaker.catalog.instances import instances
from ift_sagemaker.contract import names
from ift_sagemaker.errors import ConfigError
from ift_sagemaker.plan.plans import DeploymentPlan, Place, tag_list
from ift_sagemaker.plan.routes.container import TAG_MODEL
from ift_sagemaker.wire.jumpstart import TAG_STAND_IN

VARIANT_NAME = "AllTraffic"
DEFAULT_INSTANCE_TYPE = "ml.g5.xlarge"
INFERENCE_AMI_VERSION = "al2023-ami-sagemaker-inference-gpu-4-1"
"""The newest of the host images SageMaker lists, since the vLLM image needs a recent CUDA driver."""
TAG_OWNER = "ift:owner"
TAG_JOB = "ift:training-job"
TAG_DATA = "ift:data-manifest"


@dataclass(frozen=True)
class Deployable:
    """A finished job as a deployment sees it. `owner` is the token of the process that deploys."""

    job_name: str
    model_id: str
    artifact_uri: str
    owner: str
    endpoint_name: str | None = None
    instance_type: str = DEFAULT_INSTANCE_TYPE
    max_model_len: int = 8192
    network_isolation: bool = True
    vpc: Mapping[str, Any] | None = None
    data_manifest: str = ""
    """S3 address of the manifest of the rows it was tuned on, carried on as a tag of the model."""
    stand_in: str = ""
    """The weights that the local AWS trained in place of the model's own; a tag of all three."""


def plan_deployment(source: Deployable, place: Place) -> DeploymentPlan:
    """The three requests of one endpoint, all named after the job (or `endpoint_name`), whoever deploys."""
    if source.endpoint_name is not None and not source.endpoint_name.startswith(names.PREFIX):
        raise ConfigError(
            f"endpoint_name {source.endpoint_name!r} does not begin with {names.PREFIX!r}, by which "
            "endpoints that bill are found again",
            field="endpoint_name",
            value=source.endpoint_name,
            allowed=f"{names.PREFIX}…",
        )
    known = instances().get(source.instance_type)
    container = {
        "Image": vllm_image(place.region),
        "ModelDataSource": {
            "S3DataSource": {
                "S3Uri": source.artifact_uri,
                **_form_of(source.artifact_uri),
            }
        },
        "Environment": {"SM_VLLM_MAX_MODEL_LEN": str(source.max_model_len)},
    }
    variant: dict[str, Any] = {
        "VariantName": VARIANT_NAME,
        "InitialInstanceCount": 1,
        "InstanceType": source.instance_type,
        "InitialVariantWeight": 1.0,
        "ModelDataDownloadTimeoutInSeconds": 1200,
        "ContainerStartupHealthCheckTimeoutInSeconds": 1200,
        "InferenceAmiVersion": INFERENCE_AMI_VERSION,
    }
    told = {TAG_MODEL: source.model_id, TAG_JOB: source.job_name, TAG_OWNER: source.owner}
    tags = tag_list(told | ({TAG_STAND_IN: source.stand_in} if source.stand_in else {}))
    endpoint_name = source.endpoint_name or names.endpoint_name(source.job_name)
    model_name = names.model_name(endpoint_name)
    config_name = names.endpoint_config_name(endpoint_name)
    return DeploymentPlan(
        endpoint_name=endpoint_name,
        create_model={
            "ModelName": model_name,
            "ExecutionRoleArn": place.role,
            "PrimaryContainer": container,
            "EnableNetworkIsolation": source.network_isolation,
            **({"VpcConfig": dict(source.vpc)} if source.vpc else {}),
            "Tags": [*tags, *tag_list({TAG_DATA: source.data_manifest} if source.data_manifest else {})],
        },
        create_endpoint_config={
            "EndpointConfigName": config_name,
            "ProductionVariants": [{**variant, "ModelName": model_name}],
            "Tags": tags,
        },
        create_endpoint={"EndpointName": endpoint_name, "EndpointConfigName": config_name, "Tags": tags},
        usd_per_hour=known.usd_per_hour if known else None,
        owner=source.owner,
    )


def _form_of(artifact_uri: str) -> dict[str, str]:
    """An archive, or the files below a prefix, as CompressionType NONE leaves them."""
    if artifact_uri.endswith("/"):
        return {"S3DataType": "S3Prefix", "CompressionType": "None"}
    return {"S3DataType": "S3Object", "CompressionType": "Gzip"}
