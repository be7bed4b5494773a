"""Models and endpoint configurations as they are stored, and what of them is not hosted. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ift_sagemaker.local.state.resources import Document, invalid, not_offered_yet, split_s3

_MODEL_FIELDS = ("ModelName", "PrimaryContainer", "ExecutionRoleArn", "VpcConfig", "EnableNetworkIsolation")
_CONTAINER_REFUSED = (
    "AdditionalModelDataSources",
    "ModelPackageName",
    "InferenceSpecificationName",
    "MultiModelConfig",
)
_CONFIG_FIELDS = (
    "EndpointConfigName",
    "ProductionVariants",
    "AsyncInferenceConfig",
    "KmsKeyId",
    "ExecutionRoleArn",
    "VpcConfig",
    "EnableNetworkIsolation",
)
_CONFIG_REFUSED = (
    "DataCaptureConfig",
    "ExplainerConfig",
    "ShadowProductionVariants",
    "MetricsConfig",
    "CrossRegionTrafficConfig",
)
_VARIANT_REFUSED = (
    "ServerlessConfig",
    "InstancePools",
    "AcceleratorType",
    "CoreDumpConfig",
    "ManagedInstanceScaling",
    "CapacityReservationConfig",
    "AcceleratorPartitionLayouts",
)


def new_model(request: Mapping[str, Any], arn: str, now: float) -> Document:
    """The document of a model; a ServiceError for what the local AWS does not host."""
    for field in ("Containers", "InferenceExecutionConfig"):
        if request.get(field):
            raise not_offered_yet(f"CreateModel with {field}")
    container = request.get("PrimaryContainer", {})
    if not container.get("Image"):
        raise not_offered_yet("CreateModel without PrimaryContainer.Image")
    if container.get("Mode", "SingleModel") != "SingleModel":
        raise not_offered_yet(f"CreateModel with Mode {container['Mode']}")
    for field in _CONTAINER_REFUSED:
        if container.get(field):
            raise not_offered_yet(f"CreateModel with {field}")
    if container.get("ModelDataUrl") and container.get("ModelDataSource"):
        # that AWS refuses this is general knowledge, the wording is ours
        raise invalid("PrimaryContainer: ModelDataUrl and ModelDataSource exclude each other")
    return {
        **{field: request[field] for field in _MODEL_FIELDS if field in request},
        "EnableNetworkIsolation": request.get("EnableNetworkIsolation", False),
        "ModelArn": arn,
        "CreationTime": now,
        "_tags": [dict(tag) for tag in request.get("Tags", [])],
    }


def new_config(request: Mapping[str, Any], arn: str, now: float) -> Document:
    """The document of an endpoint configuration; a ServiceError for what the local AWS does not host."""
    for field in _CONFIG_REFUSED:
        if request.get(field):
            raise not_offered_yet(f"CreateEndpointConfig with {field}")
    variants = [_variant(place, variant) for place, variant in enumerate(request["ProductionVariants"])]
    _check_together(variants)
    if request.get("AsyncInferenceConfig"):
        _check_asynchronous(request["AsyncInferenceConfig"], variants)
    return {
        **{field: request[field] for field in _CONFIG_FIELDS if field in request},
        "ProductionVariants": variants,
        "EndpointConfigArn": arn,
        "CreationTime": now,
        "_tags": [dict(tag) for tag in request.get("Tags", [])],
    }


def _variant(place: int, variant: Mapping[str, Any]) -> Document:
    for field in _VARIANT_REFUSED:
        if variant.get(field):
            raise not_offered_yet(f"a production variant with {field}")
    if not variant.get("ModelName"):
        raise not_offered_yet("a production variant without ModelName (inference components)")
    if variant.get("InitialInstanceCount") is None:
        # AWS's own words are not known
        raise invalid(f"ProductionVariants[{place}].InitialInstanceCount is required with an InstanceType")
    if variant["InitialInstanceCount"] != 1:
        raise not_offered_yet(f"a production variant on {variant['InitialInstanceCount']} instances")
    return {"InitialVariantWeight": 1.0, **variant}


def _check_together(variants: Sequence[Document]) -> None:
    names = [variant["VariantName"] for variant in variants]
    if len(set(names)) < len(names):
        raise invalid("ProductionVariants: every VariantName must be another")
    if not any(variant["InitialVariantWeight"] for variant in variants):
        raise invalid("ProductionVariants: every InitialVariantWeight is 0, so no variant gets traffic")


def _check_asynchronous(config: Mapping[str, Any], variants: Sequence[Document]) -> None:
    output = config["OutputConfig"]
    if any(output.get("NotificationConfig", {}).values()):
        raise not_offered_yet("AsyncInferenceConfig.OutputConfig with NotificationConfig")
    if not output.get("S3OutputPath"):
        raise not_offered_yet("AsyncInferenceConfig.OutputConfig without S3OutputPath")
    for field in ("S3OutputPath", "S3FailurePath"):
        if output.get(field):
            split_s3(output[field])
    if len(variants) > 1:
        raise not_offered_yet(f"AsyncInferenceConfig with {len(variants)} production variants")


def model_data(container: Mapping[str, Any]) -> tuple[str, bool, bool] | None:
    """`(S3 address, is one object, is a tar.gz)` of a container's model, None where it has none."""
    if container.get("ModelDataUrl"):
        return container["ModelDataUrl"], True, True
    source = container.get("ModelDataSource", {}).get("S3DataSource")
    if not source:
        return None
    return source["S3Uri"], source["S3DataType"] == "S3Object", source["CompressionType"] == "Gzip"
