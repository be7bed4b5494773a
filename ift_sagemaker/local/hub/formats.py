"""The record in AWS's two formats: PascalCase in the hub, snake_case in JumpStart's bucket. Pure.

Field names as the `sagemaker` SDK 3.27 reads them (`jumpstart/models.py`, `jumpstart/types.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ift_sagemaker.local.hub.record import (
    DEFAULT_INSTANCE_TYPE,
    MAX_RUNTIME_IN_SECONDS,
    MIN_SDK_VERSION,
    VOLUME_SIZE_IN_GB,
    HubModel,
)
from ift_sagemaker.wire.hyperparameters import Hyperparameter

Fields = dict[str, Any]

_TYPES: dict[type, str] = {int: "int", float: "float", str: "text", bool: "text"}
_TASK = "Text Generation"
_CONTENT_TYPE = "application/json"
_PAYLOAD: Fields = {"messages": [{"role": "user", "content": "What is the capital of France?"}]}


def manifest(models: Iterable[HubModel]) -> list[Fields]:
    """The rows of models_manifest.json."""
    return [
        {
            "model_id": model.model_id,
            "version": model.version,
            "min_version": MIN_SDK_VERSION,
            "spec_key": model.spec_key,
            "search_keywords": list(model.keywords),
        }
        for model in models
    ]


def spec(model: HubModel) -> Fields:
    """The model's own file in JumpStart's bucket."""
    return {
        "model_id": model.model_id,
        "url": model.url,
        "version": model.version,
        "min_sdk_version": MIN_SDK_VERSION,
        "model_types": ["open_weights"],
        "training_supported": True,
        "incremental_training_supported": False,
        "gated_bucket": False,
        "resource_name_base": model.model_id,
        "deprecated": False,
        "training_vulnerable": False,
        "inference_vulnerable": False,
        "training_artifact_key": model.weights_prefix,
        "training_script_key": model.script_key,
        "training_prepacked_script_key": None,
        "default_training_instance_type": DEFAULT_INSTANCE_TYPE,
        "supported_training_instance_types": list(model.instance_types),
        "training_volume_size": VOLUME_SIZE_IN_GB,
        "training_enable_network_isolation": True,
        "training_instance_type_variants": _regional_variants(model, "training", model.training_image),
        "hyperparameters": [_hyperparameter(entry) for entry in model.hyperparameters],
        "metrics": [dict(entry) for entry in model.metrics],
        "estimator_kwargs": {"max_run": MAX_RUNTIME_IN_SECONDS},
        "fit_kwargs": {},
        "hosting_artifact_key": model.weights_prefix,
        "hosting_prepacked_artifact_key": model.weights_prefix,
        "hosting_script_key": model.script_key,
        "hosting_use_script_uri": False,
        "default_inference_instance_type": DEFAULT_INSTANCE_TYPE,
        "supported_inference_instance_types": list(model.instance_types),
        "inference_volume_size": VOLUME_SIZE_IN_GB,
        "inference_enable_network_isolation": True,
        "inference_environment_variables": [
            _variable(name, value) for name, value in model.environment.items()
        ],
        "hosting_instance_type_variants": _regional_variants(model, "hosting", model.hosting_image),
        "predictor_specs": {
            "default_content_type": _CONTENT_TYPE,
            "supported_content_types": [_CONTENT_TYPE],
            "default_accept_type": _CONTENT_TYPE,
            "supported_accept_types": [_CONTENT_TYPE],
        },
        "default_payloads": {"Chat": {"content_type": _CONTENT_TYPE, "body": _PAYLOAD}},
        "model_kwargs": {},
        "deploy_kwargs": {},
    }


def _regional_variants(model: HubModel, name: str, image: str) -> Fields:
    variant = {"regional_properties": {"image_uri": f"${name}_image"}}
    return {
        "regional_aliases": {model.region: {f"{name}_image": image}},
        "variants": dict.fromkeys(model.instance_families, variant),
    }


def _hyperparameter(entry: Hyperparameter) -> Fields:
    """One row. A truth value is a text with two options: on the wire it is "True" or "False"."""
    options = ("True", "False") if entry.kind is bool else entry.options
    row = {
        "name": entry.name,
        "type": _TYPES[entry.kind],
        "default": str(entry.default) if entry.kind is bool else entry.default,
        "scope": "algorithm",
        "min": entry.minimum,
        "max": entry.maximum,
        "options": list(options),
    }
    return {name: value for name, value in row.items() if value not in (None, [])}


def _variable(name: str, value: str) -> Fields:
    return {
        "name": name,
        "type": "text",
        "default": value,
        "scope": "container",
        "required_for_model_class": True,
    }


def hub_document(model: HubModel) -> Fields:
    """The HubContentDocument, for the model's region alone: addresses and images are literal."""
    return {
        "Url": model.url,
        "MinSdkVersion": MIN_SDK_VERSION,
        "ModelTypes": ["OPEN_WEIGHTS"],
        "Capabilities": ["TRAINING", "FINE_TUNING", "VALIDATION"],
        "Task": _TASK,
        "Framework": "Hugging Face",
        "Provider": model.provider,
        "DataType": "text",
        "License": model.licence,
        "ResourceNameBase": model.model_id,
        "GatedBucket": False,
        **_training_fields(model),
        **_hosting_fields(model),
    }


def _training_fields(model: HubModel) -> Fields:
    return {
        "TrainingSupported": True,
        "FineTuningSupported": True,
        "IncrementalTrainingSupported": False,
        "ValidationSupported": True,
        "TrainingEcrUri": model.training_image,
        "TrainingScriptUri": model.uri(model.script_key),
        "TrainingArtifactUri": model.uri(model.weights_prefix),
        "TrainingArtifactS3DataType": "S3Prefix",
        "TrainingArtifactCompressionType": "None",
        "DefaultTrainingInstanceType": DEFAULT_INSTANCE_TYPE,
        "SupportedTrainingInstanceTypes": list(model.instance_types),
        "TrainingVolumeSize": VOLUME_SIZE_IN_GB,
        "TrainingEnableNetworkIsolation": True,
        "EncryptInterContainerTraffic": False,
        "DisableOutputCompression": False,
        "MaxRuntimeInSeconds": MAX_RUNTIME_IN_SECONDS,
        "TrainingMetrics": [dict(entry) for entry in model.metrics],
        "Hyperparameters": [_pascal(_hyperparameter(entry)) for entry in model.hyperparameters],
        "TrainingInstanceTypeVariants": _variants(
            model, model.training_image, {"EnvironmentVariables": dict(model.training_environment)}
        ),
    }


def _hosting_fields(model: HubModel) -> Fields:
    types = [_CONTENT_TYPE]
    return {
        "HostingEcrUri": model.hosting_image,
        "HostingArtifactUri": model.uri(model.weights_prefix),
        "HostingArtifactS3DataType": "S3Prefix",
        "HostingArtifactCompressionType": "None",
        "HostingUseScriptUri": False,
        "DefaultInferenceInstanceType": DEFAULT_INSTANCE_TYPE,
        "SupportedInferenceInstanceTypes": list(model.instance_types),
        "InferenceVolumeSize": VOLUME_SIZE_IN_GB,
        "InferenceEnableNetworkIsolation": True,
        "DynamicContainerDeploymentSupported": False,
        "InferenceEnvironmentVariables": [
            _pascal(_variable(name, value)) for name, value in model.environment.items()
        ],
        "HostingInstanceTypeVariants": _variants(model, model.hosting_image, {}),
        "SageMakerSdkPredictorSpecifications": {
            "DefaultContentType": _CONTENT_TYPE,
            "SupportedContentTypes": types,
            "DefaultAcceptType": _CONTENT_TYPE,
            "SupportedAcceptTypes": types,
        },
        "DefaultPayloads": {"Chat": {"ContentType": _CONTENT_TYPE, "Body": _PAYLOAD}},
    }


def _variants(model: HubModel, image: str, properties: Mapping[str, Any]) -> Fields:
    """A variant for each instance family; one without its own image would leave the SDK without any."""
    variant = {"Properties": {"ImageUri": image, **properties}}
    return {"Aliases": {}, "Variants": dict.fromkeys(model.instance_families, variant)}


def _pascal(row: Mapping[str, Any]) -> Fields:
    return {"".join(part.title() for part in name.split("_")): value for name, value in row.items()}
