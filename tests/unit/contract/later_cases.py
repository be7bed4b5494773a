"""Requests of updates, components and Bedrock: for each rule one that keeps it and one that breaks it."""

from __future__ import annotations

from typing import Any

from tests.unit.contract.requests import (
    ARTEFACT,
    BLUE_GREEN,
    CHANNEL,
    ENDPOINT_CONFIG,
    ROLE,
    TRAINING,
    changed,
)

UPDATE: dict[str, Any] = {"EndpointName": "e", "EndpointConfigName": "c2"}
COMPONENT: dict[str, Any] = {
    "InferenceComponentName": "base",
    "EndpointName": "e",
    "VariantName": "AllTraffic",
    "Specification": {
        "ModelName": "m",
        "ComputeResourceRequirements": {
            "NumberOfAcceleratorDevicesRequired": 1,
            "MinMemoryRequiredInMb": 4096,
        },
    },
    "RuntimeConfig": {"CopyCount": 1},
}
ADAPTER: dict[str, Any] = {
    "InferenceComponentName": "adapter",
    "EndpointName": "e",
    "Specification": {
        "BaseInferenceComponentName": "base",
        "Container": {"ArtifactUrl": "s3://bucket/adapter.tar.gz"},
    },
}
CUSTOMIZATION: dict[str, Any] = {
    "jobName": "tune",
    "customModelName": "tuned",
    "roleArn": ROLE,
    "baseModelIdentifier": "amazon.nova-micro-v1:0",
    "trainingDataConfig": {"s3Uri": "s3://bucket/rows.jsonl"},
    "outputDataConfig": {"s3Uri": "s3://bucket/out/"},
}
IMPORT: dict[str, Any] = {
    "jobName": "import",
    "importedModelName": "tuned",
    "roleArn": ROLE,
    "modelDataSource": {"s3DataSource": {"s3Uri": "s3://bucket/model/"}},
}
CUSTOM_MODEL: dict[str, Any] = {
    "modelName": "tuned",
    "modelSourceConfig": {"s3DataSource": {"s3Uri": "s3://bucket/model/"}},
    "roleArn": ROLE,
}
LATER_ACCEPTED = {
    "UpdateEndpoint": UPDATE,
    "CreateInferenceComponent": COMPONENT,
    "CreateModelCustomizationJob": CUSTOMIZATION,
    "CreateModelImportJob": IMPORT,
    "CreateCustomModel": CUSTOM_MODEL,
}

_ROLLING = {"MaximumBatchSize": {"Type": "INSTANCE_COUNT", "Value": 1}, "WaitIntervalInSeconds": 60}
_CANARY = changed(BLUE_GREEN, TrafficRoutingConfiguration__Type="CANARY")
_STEP = {"Type": "CAPACITY_PERCENT", "Value": 10}
_LATE = {**BLUE_GREEN, "TerminationWaitInSeconds": 600, "MaximumExecutionTimeoutInSeconds": 660}
_NEEDS = COMPONENT["Specification"]["ComputeResourceRequirements"]
_PACKAGE = {"modelPackageArn": "arn:aws:sagemaker:us-east-1:123456789012:model-package/p/1"}
_LOGS = {"invocationLogSource": {"s3Uri": "s3://bucket/logs/"}}
_TEACHER = {"teacherModelConfig": {"teacherModelIdentifier": "amazon.nova-pro-v1:0"}}


def _update(**changes: Any) -> dict[str, Any]:
    return changed(UPDATE, **changes)


def _blue_green(policy: dict[str, Any]) -> dict[str, Any]:
    return _update(DeploymentConfig={"BlueGreenUpdatePolicy": policy})


def _component(**changes: Any) -> dict[str, Any]:
    return changed(COMPONENT, **{f"Specification__{path}": value for path, value in changes.items()})


def _several(*types: str | None) -> dict[str, Any]:
    one = COMPONENT["Specification"]
    several = [{**one, **({"InstanceType": name} if name else {})} for name in types]
    return changed(COMPONENT, Specification=None, Specifications=several)


def _boxed(**container: Any) -> dict[str, Any]:
    return _component(ModelName=None, Container={"Image": "image", **container})


def _fast(uri: str) -> dict[str, Any]:
    channel = changed(CHANNEL, InputMode="FastFile", DataSource__S3DataSource__S3Uri=uri)
    return changed(TRAINING, InputDataConfig=[channel])


def _zero(model: str | None) -> dict[str, Any]:
    scaling = {"MinInstanceCount": 0, "MaxInstanceCount": 1}
    variant = {"ProductionVariants__0__ManagedInstanceScaling": scaling}
    return changed(ENDPOINT_CONFIG, ExecutionRoleArn=ROLE, ProductionVariants__0__ModelName=model, **variant)


LATER_CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "training.fast-file-prefix": (_fast("s3://bucket/rows/"), _fast("s3://bucket/rows")),
    "training.entrypoint-not-runnable": (
        TRAINING,
        changed(TRAINING, AlgorithmSpecification__ContainerEntrypoint=["/opt/ml/input/data/program/run"]),
    ),
    "endpointconfig.scale-to-zero": (_zero(None), _zero("m")),
    "update.one-update-policy": (
        _update(DeploymentConfig={"RollingUpdatePolicy": _ROLLING}),
        _update(DeploymentConfig={"RollingUpdatePolicy": _ROLLING, "BlueGreenUpdatePolicy": BLUE_GREEN}),
    ),
    "update.deployment-timeout": (_blue_green(BLUE_GREEN), _blue_green(_LATE)),
    "update.traffic-step": (
        _blue_green(changed(_CANARY, TrafficRoutingConfiguration__CanarySize=_STEP)),
        _blue_green(_CANARY),
    ),
    "update.excluded-without-retained": (
        _update(
            RetainAllVariantProperties=True,
            ExcludeRetainedVariantProperties=[{"VariantPropertyType": "DesiredWeight"}],
        ),
        _update(ExcludeRetainedVariantProperties=[{"VariantPropertyType": "DesiredWeight"}]),
    ),
    "update.one-deployment-source": (
        _update(RetainDeploymentConfig=True),
        _update(RetainDeploymentConfig=True, DeploymentConfig={"RollingUpdatePolicy": _ROLLING}),
    ),
    "component.one-specification": (
        _several("ml.g5.xlarge"),
        changed(COMPONENT, Specifications=[COMPONENT["Specification"]]),
    ),
    "component.types-named": (_several(None), _several("ml.g5.xlarge", None)),
    "component.types-unique": (
        _several("ml.g5.xlarge", "ml.g6.xlarge"),
        _several("ml.g5.xlarge", "ml.g5.xlarge"),
    ),
    "component.variant-named": (ADAPTER, changed(COMPONENT, VariantName=None)),
    "component.model-or-container": (_boxed(), _component(Container={"Image": "image"})),
    "component.adapter-resources": (
        ADAPTER,
        changed(ADAPTER, Specification__ComputeResourceRequirements=_NEEDS),
    ),
    "component.adapter-artefact": (ADAPTER, changed(ADAPTER, Specification__Container=None)),
    "component.artefact-suffix": (
        _boxed(ArtifactUrl=ARTEFACT["S3Uri"]),
        _boxed(ArtifactUrl="s3://bucket/model/"),
    ),
    "component.environment-entries": (
        _boxed(Environment={f"K{n}": "v" for n in range(16)}),
        _boxed(Environment={f"K{n}": "v" for n in range(17)}),
    ),
    "component.memory-range": (
        _component(ComputeResourceRequirements__MaxMemoryRequiredInMb=4096),
        _component(ComputeResourceRequirements__MaxMemoryRequiredInMb=4095),
    ),
    "component.partition-device": (
        _component(ComputeResourceRequirements__AcceleratorPartitionType="mig-3g.40gb"),
        _component(
            ComputeResourceRequirements={**_NEEDS, "NumberOfAcceleratorDevicesRequired": 2},
            ComputeResourceRequirements__AcceleratorPartitionType="mig-3g.40gb",
        ),
    ),
    "bedrock.one-model-source": (CUSTOM_MODEL, changed(CUSTOM_MODEL, customModelDataSource=_PACKAGE)),
    "bedrock.model-source-needed": (CUSTOM_MODEL, changed(CUSTOM_MODEL, modelSourceConfig=None)),
    "bedrock.role-with-s3": (
        changed(CUSTOM_MODEL, modelSourceConfig=None, roleArn=None, customModelDataSource=_PACKAGE),
        changed(CUSTOM_MODEL, roleArn=None),
    ),
    "bedrock.one-training-source": (
        changed(CUSTOMIZATION, trainingDataConfig={"invocationLogsConfig": _LOGS}),
        changed(CUSTOMIZATION, trainingDataConfig__invocationLogsConfig=_LOGS),
    ),
    "bedrock.kind-configured": (
        changed(
            CUSTOMIZATION,
            customizationType="DISTILLATION",
            customizationConfig={"distillationConfig": _TEACHER},
        ),
        changed(CUSTOMIZATION, customizationType="DISTILLATION"),
    ),
    "bedrock.files-under-a-prefix": (
        IMPORT,
        changed(IMPORT, modelDataSource__s3DataSource__s3Uri="s3://bucket/model.tar.gz"),
    ),
}
