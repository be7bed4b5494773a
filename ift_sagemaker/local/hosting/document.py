"""An endpoint as DescribeEndpoint shows it, and every way in which it changes. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ift_sagemaker.local.running.images import LocalContainer
from ift_sagemaker.local.state.resources import MAX_REASON, Document, not_offered_yet
from ift_sagemaker.local.state.settings import LocalSettings

SUPERVISED = ("Creating", "InService", "Updating", "Deleting")
IN_PROGRESS = ("Creating", "Updating", "RollingBack", "SystemUpdating")
DEFAULT_STARTUP_TIMEOUT = 600.0

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
    "KmsKeyId",
    "ExecutionRoleArn",
    "VpcConfig",
    "EnableNetworkIsolation",
)
_CONFIG_REFUSED = (
    "DataCaptureConfig",
    "AsyncInferenceConfig",
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


def log_group(name: str) -> str:
    """The log group of an endpoint."""
    return f"/aws/sagemaker/Endpoints/{name}"


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
    variants = request["ProductionVariants"]
    if len(variants) != 1:
        raise not_offered_yet(f"CreateEndpointConfig with {len(variants)} production variants")
    return {
        **{field: request[field] for field in _CONFIG_FIELDS if field in request},
        "ProductionVariants": [_variant(variants[0])],
        "EndpointConfigArn": arn,
        "CreationTime": now,
        "_tags": [dict(tag) for tag in request.get("Tags", [])],
    }


def _variant(variant: Mapping[str, Any]) -> Document:
    for field in _VARIANT_REFUSED:
        if variant.get(field):
            raise not_offered_yet(f"a production variant with {field}")
    if not variant.get("ModelName"):
        raise not_offered_yet("a production variant without ModelName (inference components)")
    if variant.get("InitialInstanceCount", 1) != 1:
        raise not_offered_yet(f"a production variant on {variant['InitialInstanceCount']} instances")
    return {"InitialVariantWeight": 1.0, **variant}


def model_data(container: Mapping[str, Any]) -> tuple[str, bool, bool] | None:
    """`(S3 address, is one object, is a tar.gz)` of a container's model, None where it has none."""
    if container.get("ModelDataUrl"):
        return container["ModelDataUrl"], True, True
    source = container.get("ModelDataSource", {}).get("S3DataSource")
    if not source:
        return None
    return source["S3Uri"], source["S3DataType"] == "S3Object", source["CompressionType"] == "Gzip"


def new_endpoint(
    request: Mapping[str, Any],
    arn: str,
    now: float,
    *,
    settings: LocalSettings,
    variant: Document,
    model: Document,
    container: LocalContainer,
) -> Document:
    """The document of an endpoint that was just asked for.

    It holds all that serving needs, so the model and the configuration may be deleted meanwhile.
    """
    name, image = variant["VariantName"], model["PrimaryContainer"]["Image"]
    deployment = request.get("DeploymentConfig")
    return {
        "EndpointName": request["EndpointName"],
        "EndpointArn": arn,
        "EndpointConfigName": request["EndpointConfigName"],
        "EndpointStatus": "Creating",
        "CreationTime": now,
        "LastModifiedTime": now,
        "ProductionVariants": [_summary(variant, image, container.executed, now)],
        **({"LastDeploymentConfig": deployment} if deployment else {}),
        "_tags": [dict(tag) for tag in request.get("Tags", [])],
        "_settings": settings.recorded(),
        "_container": dict(model["PrimaryContainer"]),
        "_command": list(container.command),
        "_image": [container.image, container.replaces_entrypoint],
        "_executed": container.executed,
        "_variant": name,
        "_startup_timeout": variant.get("ContainerStartupHealthCheckTimeoutInSeconds")
        or DEFAULT_STARTUP_TIMEOUT,
        "_log_stream": f"{name}/i-local{int(now * 1000):x}",
    }


def _summary(variant: Document, image: str, executed: str, now: float) -> Document:
    return {
        "VariantName": variant["VariantName"],
        # AWS resolves a tag to a digest here; we tell what answers in the image's place
        "DeployedImages": [
            {"SpecifiedImage": image, "ResolvedImage": _as_image(executed), "ResolutionTime": now}
        ],
        "CurrentWeight": variant["InitialVariantWeight"],
        "DesiredWeight": variant["InitialVariantWeight"],
        "CurrentInstanceCount": 0,
        "DesiredInstanceCount": 1,
        "VariantStatus": [{"Status": "Creating", "StartTime": now}],
    }


def _as_image(executed: str) -> str:
    return re.sub(r"\s+", "-", executed)[:255]


def in_service(endpoint: Document, port: int, now: float) -> Document:
    """The endpoint once its container is healthy on a loopback port."""
    if endpoint["EndpointStatus"] not in ("Creating", "InService"):
        return endpoint
    variant = {
        name: value for name, value in endpoint["ProductionVariants"][0].items() if name != "VariantStatus"
    }
    variant["CurrentInstanceCount"] = 1
    return {
        **endpoint,
        "EndpointStatus": "InService",
        "ProductionVariants": [variant],
        "LastModifiedTime": now,
        "_port": port,
    }


def restarting(endpoint: Document) -> Document:
    """The endpoint while its container starts again: in service, as AWS says, and without a port."""
    return {**endpoint, "_port": None}


def failed(endpoint: Document, reason: str, now: float) -> Document:
    """The endpoint once it is lost; one that is being deleted stays so."""
    if endpoint["EndpointStatus"] == "Deleting":
        return endpoint
    variant = {**endpoint["ProductionVariants"][0], "CurrentInstanceCount": 0}
    variant.pop("VariantStatus", None)
    return {
        **endpoint,
        "EndpointStatus": "Failed",
        "FailureReason": reason[:MAX_REASON],
        "ProductionVariants": [variant],
        "LastModifiedTime": now,
        "_port": None,
    }


def deleting(endpoint: Document, now: float) -> Document:
    """The endpoint as DeleteEndpoint leaves it for its supervisor."""
    return {**endpoint, "EndpointStatus": "Deleting", "LastModifiedTime": now, "_port": None}
