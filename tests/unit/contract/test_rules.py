from __future__ import annotations

from datetime import date
from typing import Any, NamedTuple

import pytest

from ift_sagemaker.contract import rules
from ift_sagemaker.contract.rule import Rule
from ift_sagemaker.contract.shared_rules import MODEL as MODEL_SOURCE
from tests.unit.contract.later_cases import LATER_ACCEPTED, LATER_CASES
from tests.unit.contract.processing_cases import PROCESSING_CASES
from tests.unit.contract.requests import ACCEPTED as REQUESTS
from tests.unit.contract.requests import (
    ARTEFACT,
    BLUE_GREEN,
    CHANNEL,
    ENDPOINT,
    ENDPOINT_CONFIG,
    MODEL,
    SERVERLESS_VARIANT,
    TRAINING,
    changed,
)

PREFIXES = {
    "CreateTrainingJob": "training",
    "CreateProcessingJob": "processing",
    "CreateModel": "model",
    "CreateEndpointConfig": "endpointconfig",
    "CreateEndpoint": "endpoint",
    "CreateInferenceComponent": "component",
}
ACCEPTED = REQUESTS | LATER_ACCEPTED


class Case(NamedTuple):
    allowed: dict[str, Any]
    fired: dict[str, Any]


def _training(**changes: Any) -> dict[str, Any]:
    return changed(TRAINING, **changes)


def _model(**changes: Any) -> dict[str, Any]:
    return changed(MODEL, **changes)


def _config(**changes: Any) -> dict[str, Any]:
    return changed(ENDPOINT_CONFIG, **changes)


def _variant(**changes: Any) -> dict[str, Any]:
    return _config(**{f"ProductionVariants__0__{name}": value for name, value in changes.items()})


def _serverless(**changes: Any) -> dict[str, Any]:
    return changed(
        {"EndpointConfigName": "c", "ProductionVariants": [changed(SERVERLESS_VARIANT, **changes)]}
    )


def resources(**fields: Any) -> dict[str, Any]:
    return _training(ResourceConfig={"VolumeSizeInGB": 30, **fields})


def _channels(*channels: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return _training(InputDataConfig=list(channels), **changes)


_BASE_MODEL = "arn:aws:sagemaker:us-east-1:aws:hub-content/SageMakerPublicHub/Model/m/1.0.0"
SERVERLESS_JOB = changed(
    TRAINING,
    AlgorithmSpecification=None,
    ResourceConfig=None,
    ServerlessJobConfig={"BaseModelArn": _BASE_MODEL, "JobType": "FineTuning"},
)
_S3 = "DataSource__S3DataSource__"
_VPC = {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}
GROUPS = [{"InstanceType": "ml.g5.xlarge", "InstanceCount": 1, "InstanceGroupName": name} for name in "ab"]
_PREFERENCES = [{"InstanceType": name} for name in ("ml.g5.xlarge", "ml.g6.xlarge")]
COUNTED = [{**preference, "InstanceCount": 1} for preference in _PREFERENCES]
_PLAN = "arn:aws:sagemaker:us-east-1:123456789012:training-plan/x"
_PLANNED = [{**preference, "TrainingPlanArns": [_PLAN]} for preference in _PREFERENCES]
_SPOT = {"EnableManagedSpotTraining": True, "StoppingCondition__MaxWaitTimeInSeconds": 7200}
_FILE_SYSTEM = {
    "ChannelName": "training",
    "DataSource": {
        "FileSystemDataSource": {
            "FileSystemId": "fs-01234567",
            "FileSystemAccessMode": "ro",
            "FileSystemType": "EFS",
            "DirectoryPath": "/x",
        }
    },
}
_PRIVATE = {"TrainingRepositoryAccessMode": "Vpc"}
_ACCEPT, _DECLINE = {"AcceptEula": True}, {"AcceptEula": False}
_EULA_CHANNEL = changed(CHANNEL, **{f"{_S3}ModelAccessConfig": _ACCEPT})
_TWO = [changed(CHANNEL, ChannelName=name) for name in ("training", "validation")]
_BOX = MODEL["PrimaryContainer"]
_PREFIX = {"S3Uri": "s3://bucket/model/", "S3DataType": "S3Prefix", "CompressionType": "None"}
_ARTEFACT = "PrimaryContainer__ModelDataSource__S3DataSource"
_URL = {"Image": "i", "ModelDataUrl": "s3://bucket/model.tar.gz"}
_NAMED = [{**_URL, "ContainerHostname": name} for name in "ab"]
_SOURCES = [{"ChannelName": name, "S3DataSource": ARTEFACT} for name in "ab"]
_METRICS = {"MetricsEndpoints": [{"MetricsEndpointPath": "/metrics", "MetricPublishFrequencyInSeconds": 60}]}
_VARIANTS = [{**ENDPOINT_CONFIG["ProductionVariants"][0], "VariantName": name} for name in "ab"]
_AWARE = {
    "RoutingStrategy": "PREFIX_AWARE",
    "PrefixAwareRoutingConfig": {"PrefixLength": 2048, "ConcurrencyThreshold": 4},
}
_TRAFFIC_CAP = {"MaxInvocationsPerSecondPerInstance": 1, "MaxCrossRegionPercentPerEndpoint": 1}
_ASYNC = {"OutputConfig": {"S3OutputPath": "s3://bucket/async"}}
_ROLLING = {"MaximumBatchSize": {"Type": "INSTANCE_COUNT", "Value": 1}, "WaitIntervalInSeconds": 60}
_STEP = {"Type": "CAPACITY_PERCENT", "Value": 10}
_CANARY = changed(BLUE_GREEN, TrafficRoutingConfiguration__Type="CANARY")

_OWN: dict[str, Case] = {
    "training.image-or-algorithm": Case(
        SERVERLESS_JOB, _training(AlgorithmSpecification={"TrainingInputMode": "File"})
    ),
    "training.serverless-alone": Case(
        SERVERLESS_JOB, {**SERVERLESS_JOB, "ResourceConfig": TRAINING["ResourceConfig"]}
    ),
    "training.serverless-evaluation-type": Case(
        changed(
            SERVERLESS_JOB,
            ServerlessJobConfig__JobType="Evaluation",
            ServerlessJobConfig__EvaluationType="BenchmarkEvaluation",
        ),
        changed(SERVERLESS_JOB, ServerlessJobConfig__JobType="Evaluation"),
    ),
    "training.serverless-sequence-length": Case(
        changed(SERVERLESS_JOB, ServerlessJobConfig__SequenceLength="1024K"),
        changed(SERVERLESS_JOB, ServerlessJobConfig__SequenceLength="1025K"),
    ),
    "training.one-kind-of-resources": Case(
        resources(InstanceGroups=GROUPS), resources(InstanceType="ml.g5.xlarge", InstanceGroups=GROUPS)
    ),
    "training.instance-count": Case(
        resources(InstanceGroups=GROUPS), _training(ResourceConfig__InstanceCount=0)
    ),
    "training.group-names-unique": Case(
        resources(InstanceGroups=GROUPS), resources(InstanceGroups=[GROUPS[0], GROUPS[0]])
    ),
    "training.channel-groups-exist": Case(
        changed(resources(InstanceGroups=GROUPS), **{f"InputDataConfig__0__{_S3}InstanceGroupNames": ["a"]}),
        _training(**{f"InputDataConfig__0__{_S3}InstanceGroupNames": ["a"]}),
    ),
    "training.preferences-exclusive": Case(
        resources(InstancePreferences=COUNTED),
        changed(resources(InstancePreferences=COUNTED), EnableManagedSpotTraining=True),
    ),
    "training.preferences-unique": Case(
        resources(InstancePreferences=COUNTED), resources(InstancePreferences=[COUNTED[0]] * 2)
    ),
    "training.preferences-count": Case(
        resources(InstancePreferences=_PREFERENCES, InstanceCount=2),
        resources(InstancePreferences=[COUNTED[0], _PREFERENCES[1]]),
    ),
    "training.preferences-plan": Case(
        resources(InstancePreferences=_PLANNED, InstanceCount=1),
        resources(InstancePreferences=_PLANNED, InstanceCount=1, TrainingPlanArn=_PLAN),
    ),
    "training.read-only-fields": Case(
        TRAINING, _training(ResourceConfig__SelectedInstanceType="ml.g5.xlarge")
    ),
    "training.spot-max-wait": Case(
        _training(EnableManagedSpotTraining=True, StoppingCondition__MaxWaitTimeInSeconds=3600),
        _training(EnableManagedSpotTraining=True, StoppingCondition__MaxWaitTimeInSeconds=3599),
    ),
    "training.max-wait-without-spot": Case(
        _training(**_SPOT), _training(StoppingCondition__MaxWaitTimeInSeconds=7200)
    ),
    "training.max-runtime": Case(
        _training(StoppingCondition__MaxRuntimeInSeconds=2_419_200),
        _training(StoppingCondition__MaxRuntimeInSeconds=2_419_201),
    ),
    "training.pending-time-without-accelerator": Case(
        _training(StoppingCondition__MaxPendingTimeInSeconds=1800),
        changed(
            resources(InstanceType="ml.m5.xlarge", InstanceCount=1),
            StoppingCondition__MaxPendingTimeInSeconds=1800,
        ),
    ),
    "training.volume-key-on-nvme": Case(
        resources(InstanceType="ml.m5.xlarge", InstanceCount=1, VolumeKmsKeyId="key"),
        _training(ResourceConfig__VolumeKmsKeyId="key"),
    ),
    "training.volume-size-on-nvme": Case(TRAINING, _training(ResourceConfig__VolumeSizeInGB=100)),
    "training.volume-size-needed": Case(
        resources(InstanceType="ml.m5.xlarge", InstanceCount=1),
        _training(ResourceConfig__InstanceType="ml.m5.xlarge"),
    ),
    "training.warm-pool-with-spot": Case(
        _training(ResourceConfig__KeepAlivePeriodInSeconds=600),
        _training(ResourceConfig__KeepAlivePeriodInSeconds=600, **_SPOT),
    ),
    "training.channel-names-unique": Case(_channels(*_TWO), _channels(CHANNEL, CHANNEL)),
    "training.one-source-per-channel": Case(
        TRAINING, _channels(changed(CHANNEL, DataSource={"FileSystemDataSource": None}))
    ),
    "training.augmented-manifest-pipe": Case(
        _channels(changed(CHANNEL, InputMode="Pipe", **{f"{_S3}S3DataType": "AugmentedManifestFile"})),
        _channels(changed(CHANNEL, InputMode=None, **{f"{_S3}S3DataType": "AugmentedManifestFile"})),
    ),
    "training.pipe-only-fields": Case(
        _channels(changed(CHANNEL, CompressionType="None")),
        _channels(changed(CHANNEL, CompressionType="Gzip")),
    ),
    "training.model-channel-file": Case(
        _channels(changed(CHANNEL, ContentType="application/x-sagemaker-model")),
        _channels(changed(CHANNEL, ContentType="application/x-sagemaker-model", InputMode="FastFile")),
    ),
    "training.file-system-vpc": Case(_channels(_FILE_SYSTEM, VpcConfig=_VPC), _channels(_FILE_SYSTEM)),
    "training.private-registry-vpc": Case(
        _training(AlgorithmSpecification__TrainingImageConfig=_PRIVATE, VpcConfig=_VPC),
        _training(AlgorithmSpecification__TrainingImageConfig=_PRIVATE),
    ),
    "training.eula-accepted": Case(
        _channels(_EULA_CHANNEL), _channels(changed(CHANNEL, **{f"{_S3}ModelAccessConfig": _DECLINE}))
    ),
    "training.one-gated-mechanism": Case(
        _training(Environment={"SageMakerGatedModelS3Uri": "s3://b/k"}),
        _channels(_EULA_CHANNEL, Environment={"SageMakerGatedModelS3Uri": "s3://b/k"}),
    ),
    "training.checkpoint-path": Case(
        _training(CheckpointConfig={"S3Uri": "s3://b/c", "LocalPath": "/opt/ml/checkpoints"}),
        _training(CheckpointConfig={"S3Uri": "s3://b/c", "LocalPath": "/opt/ml/model/"}),
    ),
    "model.one-container-form": Case(MODEL, _model(Containers=[_BOX])),
    "model.image-or-package": Case(MODEL, _model(PrimaryContainer__ModelPackageName="p")),
    "model.one-artefact-field": Case(MODEL, _model(PrimaryContainer__ModelDataUrl="s3://b/model.tar.gz")),
    "model.artefact-url-suffix": Case(
        _model(PrimaryContainer=_URL), _model(PrimaryContainer={**_URL, "ModelDataUrl": "s3://b/model/"})
    ),
    "model.prefix-slash": Case(
        _model(**{_ARTEFACT: _PREFIX}), _model(**{_ARTEFACT: {**_PREFIX, "S3Uri": "s3://bucket/model"}})
    ),
    "model.prefix-uncompressed": Case(
        _model(**{_ARTEFACT: _PREFIX}), _model(**{_ARTEFACT: {**_PREFIX, "CompressionType": "Gzip"}})
    ),
    "model.multi-model-url": Case(
        _model(PrimaryContainer={**_URL, "Mode": "MultiModel"}), _model(PrimaryContainer__Mode="MultiModel")
    ),
    "model.environment-size": Case(
        _model(PrimaryContainer__Environment={f"K{n:03}": "x" * 1020 for n in range(32)}),
        _model(PrimaryContainer__Environment={f"K{n:03}": "x" * 1020 for n in range(33)}),
    ),
    "model.host-names": Case(
        _model(PrimaryContainer=None, Containers=_NAMED),
        _model(PrimaryContainer=None, Containers=[_NAMED[0], _URL]),
    ),
    "model.source-names-unique": Case(
        _model(PrimaryContainer__AdditionalModelDataSources=_SOURCES),
        _model(PrimaryContainer__AdditionalModelDataSources=[_SOURCES[0]] * 2),
    ),
    "model.registry-vpc": Case(
        _model(PrimaryContainer__ImageConfig={"RepositoryAccessMode": "Vpc"}, VpcConfig=_VPC),
        _model(PrimaryContainer__ImageConfig={"RepositoryAccessMode": "Vpc"}),
    ),
    "model.publish-frequency": Case(
        _model(PrimaryContainer__ContainerMetricsConfig=_METRICS),
        _model(
            PrimaryContainer__ContainerMetricsConfig=changed(
                _METRICS, MetricsEndpoints__0__MetricPublishFrequencyInSeconds=61
            )
        ),
    ),
    "model.eula-accepted": Case(
        _model(**{f"{_ARTEFACT}__ModelAccessConfig": _ACCEPT}),
        _model(**{f"{_ARTEFACT}__ModelAccessConfig": _DECLINE}),
    ),
    "endpointconfig.variant-names-unique": Case(
        _config(ProductionVariants=_VARIANTS), _config(ProductionVariants=[_VARIANTS[0]] * 2)
    ),
    "endpointconfig.one-kind-of-capacity": Case(_serverless(), _serverless(InstanceType="ml.m5.xlarge")),
    "endpointconfig.variant-count": Case(ENDPOINT_CONFIG, _variant(InitialInstanceCount=None)),
    "endpointconfig.model-or-role": Case(
        changed(_variant(ModelName=None), ExecutionRoleArn=TRAINING["RoleArn"]), _variant(ModelName=None)
    ),
    "endpointconfig.serverless-variant-fields": Case(_serverless(), _serverless(InitialInstanceCount=1)),
    "endpointconfig.serverless-variant-options": Case(
        _serverless(), _serverless(ContainerStartupHealthCheckTimeoutInSeconds=60)
    ),
    "endpointconfig.serverless-config-fields": Case(
        _serverless(), {**_serverless(), "DataCaptureConfig": {"InitialSamplingPercentage": 1}}
    ),
    "endpointconfig.serverless-memory": Case(
        _serverless(ServerlessConfig__MemorySizeInMB=6144), _serverless(ServerlessConfig__MemorySizeInMB=1500)
    ),
    "endpointconfig.serverless-concurrency": Case(
        _serverless(ServerlessConfig__ProvisionedConcurrency=2),
        _serverless(ServerlessConfig__ProvisionedConcurrency=3),
    ),
    "endpointconfig.volume-on-nvme": Case(
        _variant(InstanceType="ml.m5.xlarge", VolumeSizeInGB=50), _variant(VolumeSizeInGB=50)
    ),
    "endpointconfig.key-on-nvme": Case(
        changed(_variant(InstanceType="ml.m5.xlarge"), KmsKeyId="key"), _config(KmsKeyId="key")
    ),
    "endpointconfig.weights-positive": Case(
        _config(ProductionVariants=[{**_VARIANTS[0], "InitialVariantWeight": 0.0}, _VARIANTS[1]]),
        _variant(InitialVariantWeight=0.0),
    ),
    "endpointconfig.no-elastic-inference": Case(ENDPOINT_CONFIG, _variant(AcceleratorType="ml.eia2.medium")),
    "endpointconfig.scaling-range": Case(
        _variant(ManagedInstanceScaling={"MinInstanceCount": 0, "MaxInstanceCount": 1}),
        _variant(ManagedInstanceScaling={"MinInstanceCount": 2, "MaxInstanceCount": 1}),
    ),
    "endpointconfig.prefix-routing": Case(
        _variant(RoutingConfig=_AWARE), _variant(RoutingConfig={**_AWARE, "RoutingStrategy": "RANDOM"})
    ),
    "endpointconfig.shadow-counts": Case(
        _config(ShadowProductionVariants=[_VARIANTS[0]]), _config(ShadowProductionVariants=_VARIANTS)
    ),
    "endpointconfig.cross-region": Case(
        _config(CrossRegionTrafficConfig=_TRAFFIC_CAP),
        _config(CrossRegionTrafficConfig=_TRAFFIC_CAP, AsyncInferenceConfig=_ASYNC),
    ),
    "endpoint.one-update-policy": Case(
        changed(ENDPOINT, DeploymentConfig={"RollingUpdatePolicy": _ROLLING}),
        changed(
            ENDPOINT, DeploymentConfig={"RollingUpdatePolicy": _ROLLING, "BlueGreenUpdatePolicy": BLUE_GREEN}
        ),
    ),
    "endpoint.deployment-timeout": Case(
        changed(ENDPOINT, DeploymentConfig__BlueGreenUpdatePolicy=BLUE_GREEN),
        changed(
            ENDPOINT,
            DeploymentConfig__BlueGreenUpdatePolicy={
                **BLUE_GREEN,
                "TerminationWaitInSeconds": 600,
                "MaximumExecutionTimeoutInSeconds": 660,
            },
        ),
    ),
    "endpoint.traffic-step": Case(
        changed(
            ENDPOINT,
            DeploymentConfig__BlueGreenUpdatePolicy=changed(
                _CANARY, TrafficRoutingConfiguration__CanarySize=_STEP
            ),
        ),
        changed(ENDPOINT, DeploymentConfig__BlueGreenUpdatePolicy=_CANARY),
    ),
}


def _tag_cases(operation: str, request: dict[str, Any]) -> dict[str, Case]:
    prefix = PREFIXES[operation]

    def tagged(*pairs: tuple[str, str]) -> dict[str, Any]:
        return changed(request, Tags=[{"Key": key, "Value": value} for key, value in pairs])

    return {
        f"{prefix}.tag-keys-unique": Case(tagged(("a", "1"), ("A", "1")), tagged(("a", "1"), ("a", "2"))),
        f"{prefix}.tag-keys-reserved": Case(tagged(("aws", "1")), tagged(("AWS:x", "1"))),
        f"{prefix}.tag-characters": Case(tagged(("ift:größe", "a b/c@d")), tagged(("a", "x;y"))),
    }


CASES = _OWN | {rule: Case(*case) for rule, case in PROCESSING_CASES.items()}
CASES |= {
    rule: case for operation in PREFIXES for rule, case in _tag_cases(operation, ACCEPTED[operation]).items()
}
CASES |= {rule: Case(*case) for rule, case in LATER_CASES.items()}
BY_ID = {rule.id: rule for rule in rules.RULES}


def _found(rule_id: str, params: dict[str, Any]) -> list[str]:
    rule = BY_ID[rule_id]
    read = rules.violations if rule.effect == "refused" else rules.remarks
    return [text for text in read(rule.operation, params) if text.endswith(f"[{rule_id}]")]


def test_every_rule_has_an_allowed_and_a_fired_case() -> None:
    assert set(CASES) == set(BY_ID)
    assert len(BY_ID) == len(rules.RULES)


@pytest.mark.parametrize("rule_id", sorted(CASES))
def test_a_request_that_breaks_a_rule_is_named_by_it(rule_id: str) -> None:
    assert len(_found(rule_id, CASES[rule_id].fired)) >= 1


@pytest.mark.parametrize("rule_id", sorted(CASES))
def test_a_request_that_keeps_a_rule_is_not_named_by_it(rule_id: str) -> None:
    assert _found(rule_id, CASES[rule_id].allowed) == []


@pytest.mark.parametrize("operation", ACCEPTED)
def test_a_request_as_the_library_makes_it_keeps_every_rule(operation: str) -> None:
    assert rules.violations(operation, ACCEPTED[operation]) == []
    assert rules.remarks(operation, ACCEPTED[operation]) == []


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.id)
def test_every_rule_says_what_it_demands_and_where_that_was_read(rule: Rule) -> None:
    assert rule.text.endswith(".")
    assert rule.source
    assert date.fromisoformat(rule.date).isoformat() == rule.date
    assert rule.operation in ACCEPTED


@pytest.mark.parametrize("operation", ACCEPTED)
@pytest.mark.parametrize("junk", [None, 5, "x", [1], {"a": 1}, [{"Key": 5, "S3DataSource": "x"}]])
def test_malformed_requests_are_read_without_a_crash(operation: str, junk: Any) -> None:
    fields = [*ACCEPTED[operation], "Tags", "Containers", "ShadowProductionVariants", "DeploymentConfig"]
    for field in fields:
        rules.violations(operation, {**ACCEPTED[operation], field: junk})
    for field, value in ACCEPTED[operation].items():
        inner = dict.fromkeys(value, junk) if isinstance(value, dict) else [junk]
        rules.violations(operation, {**ACCEPTED[operation], field: inner})


def test_operations_without_rules_have_no_violations() -> None:
    assert rules.violations("DeleteModel", {"ModelName": "m"}) == []


def test_a_violation_names_path_value_and_what_is_allowed() -> None:
    (found,) = rules.violations("CreateTrainingJob", CASES["training.max-runtime"].fired)
    assert "StoppingCondition.MaxRuntimeInSeconds: 2419201" in found
    assert "at most 2419200" in found


def test_sources_name_the_model_they_were_read_in() -> None:
    read_in_model = [rule for rule in rules.RULES if rule.source.startswith(MODEL_SOURCE)]
    assert len(read_in_model) > len(rules.RULES) / 2
