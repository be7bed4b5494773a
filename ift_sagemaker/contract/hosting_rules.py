"""What CreateModel, CreateEndpointConfig and CreateEndpoint demand beyond their shapes."""

from __future__ import annotations

from collections.abc import Callable

from ift_sagemaker.contract import hosting_checks as check
from ift_sagemaker.contract.rule import Check, Effect, Rule
from ift_sagemaker.contract.shared_rules import MODEL, tag_rules

_KNOWN = "general knowledge"
_READ = "2026-11-23"
_SERVERLESS = "Amazon SageMaker developer guide, serverless endpoints"


def _rules_of(operation: str, prefix: str) -> Callable[..., Rule]:
    def rule(name: str, sentence: str, source: str, function: Check, effect: Effect = "refused") -> Rule:
        return Rule(f"{prefix}.{name}", operation, sentence, source, _READ, function, effect)

    return rule


_model = _rules_of("CreateModel", "model")
_config = _rules_of("CreateEndpointConfig", "endpointconfig")
_endpoint = _rules_of("CreateEndpoint", "endpoint")

MODEL_RULES: tuple[Rule, ...] = (
    _model(
        "one-container-form",
        "A model has a PrimaryContainer or Containers, not both.",
        "aws/amazon-sagemaker-operator-for-k8s, thread 164",
        check.one_container_form,
    ),
    _model(
        "image-or-package",
        "A container has an Image or a ModelPackageName.",
        f"{MODEL}: ContainerDefinition; exclusion itself: {_KNOWN}",
        check.image_or_package,
        "doubtful",
    ),
    _model(
        "one-artefact-field",
        "A container has a ModelDataUrl or a ModelDataSource, not both.",
        _KNOWN,
        check.one_artefact_field,
        "doubtful",
    ),
    _model(
        "artefact-url-suffix",
        "ModelDataUrl points to a .tar.gz, but for multi-model containers.",
        f"{MODEL}: ContainerDefinition.ModelDataUrl",
        check.artefact_url_suffix,
    ),
    _model(
        "prefix-slash",
        "An S3Prefix of model data ends in a slash.",
        f"{MODEL}: S3ModelDataSource.S3DataType",
        check.prefix_slash,
    ),
    _model(
        "prefix-uncompressed",
        "An S3Prefix of model data is uncompressed.",
        f"{MODEL}: S3ModelDataSource.CompressionType",
        check.prefix_uncompressed,
    ),
    _model(
        "multi-model-url",
        "ModelDataSource does not go with multi-model containers.",
        f"{MODEL}: ContainerDefinition.ModelDataSource",
        check.multi_model_url,
    ),
    _model(
        "environment-size",
        "Keys and values of all Environment maps have at most 32 KB together.",
        f"{MODEL}: ContainerDefinition.Environment",
        check.environment_size,
    ),
    _model(
        "host-names",
        "In a pipeline every container has a host name of its own, or none has.",
        f"{MODEL}: ContainerDefinition.ContainerHostname",
        check.host_names,
    ),
    _model(
        "source-names-unique",
        "Additional model data sources have different names.",
        _KNOWN,
        check.source_names_unique,
        "doubtful",
    ),
    _model(
        "registry-vpc",
        "An image in a private registry needs a VpcConfig.",
        "Amazon SageMaker developer guide, private Docker registry for real-time inference containers",
        check.registry_vpc,
    ),
    _model(
        "publish-frequency",
        "Container metrics are published every 10, 30, 60, 120, 180, 240 or 300 seconds.",
        f"{MODEL}: MetricsEndpoint.MetricPublishFrequencyInSeconds",
        check.publish_frequency,
    ),
    _model(
        "eula-accepted",
        "A ModelAccessConfig accepts the licence.",
        f"{MODEL}: ModelAccessConfig.AcceptEula",
        check.eula_accepted,
    ),
    *tag_rules("CreateModel", "model"),
)

ENDPOINT_CONFIG_RULES: tuple[Rule, ...] = (
    _config(
        "variant-names-unique",
        "Variant names are unique in a configuration.",
        _KNOWN,
        check.variant_names_unique,
        "doubtful",
    ),
    _config(
        "one-kind-of-capacity",
        "A variant has one of InstanceType, InstancePools, ServerlessConfig.",
        f"{MODEL}: ProductionVariant.ServerlessConfig, ProductionVariant.InstancePools",
        check.one_kind_of_capacity,
    ),
    _config(
        "variant-count",
        "A variant with an InstanceType has an InitialInstanceCount.",
        _KNOWN,
        check.variant_count,
        "doubtful",
    ),
    _config(
        "model-or-role",
        "A variant names a model, or the configuration has a role for inference components.",
        "Amazon SageMaker developer guide, inference components; " + _KNOWN,
        check.model_or_role,
        "doubtful",
    ),
    _config(
        "serverless-variant-fields",
        "A serverless variant has no instances, volume or scaling.",
        _SERVERLESS,
        check.serverless_variant_fields,
    ),
    _config(
        "serverless-variant-options",
        "A serverless variant has no AMI, core dump or timeouts.",
        _KNOWN,
        check.serverless_variant_options,
        "doubtful",
    ),
    _config(
        "serverless-config-fields",
        "A serverless endpoint has one variant and no VPC, isolation, data capture, async or shadow variant.",
        _SERVERLESS,
        check.serverless_config_fields,
    ),
    _config(
        "serverless-memory",
        "Serverless memory comes in steps of 1024 MB.",
        f"{MODEL}: ProductionVariantServerlessConfig.MemorySizeInMB",
        check.serverless_memory,
    ),
    _config(
        "serverless-concurrency",
        "Provisioned concurrency is at most the maximum concurrency.",
        f"{MODEL}: ProductionVariantServerlessConfig.ProvisionedConcurrency",
        check.serverless_concurrency,
    ),
    _config(
        "volume-on-nvme",
        "VolumeSizeInGB is refused on instance types with local NVMe disks.",
        "aws/sagemaker-python-sdk, threads 4828 and 3870",
        check.hosting_volume_on_nvme,
    ),
    _config(
        "key-on-nvme",
        "KmsKeyId does not encrypt local NVMe disks.",
        f"{MODEL}: CreateEndpointConfig.KmsKeyId",
        check.hosting_key_on_nvme,
        "ignored",
    ),
    _config(
        "weights-positive",
        "Some variant has a weight over 0.",
        _KNOWN,
        check.weights_positive,
        "doubtful",
    ),
    _config(
        "no-elastic-inference",
        "AcceleratorType is no longer supported.",
        f"{MODEL}: ProductionVariant.AcceleratorType",
        check.no_elastic_inference,
    ),
    _config(
        "scaling-range",
        "MinInstanceCount is at most MaxInstanceCount.",
        _KNOWN,
        check.scaling_range,
        "doubtful",
    ),
    _config(
        "scale-to-zero",
        "Only a variant for inference components scales to zero instances.",
        f"Amazon SageMaker developer guide, scale an endpoint to zero instances; refusal: {_KNOWN}",
        check.scale_to_zero,
        "doubtful",
    ),
    _config(
        "prefix-routing",
        "PrefixAwareRoutingConfig goes with PREFIX_AWARE, which needs both its fields.",
        f"{MODEL}: ProductionVariantRoutingConfig.PrefixAwareRoutingConfig",
        check.prefix_routing,
    ),
    _config(
        "shadow-counts",
        "With a shadow variant there is one variant of each kind.",
        f"{MODEL}: CreateEndpointConfig.ShadowProductionVariants",
        check.shadow_counts,
    ),
    _config(
        "cross-region",
        "CrossRegionTrafficConfig does not go with serverless variants or AsyncInferenceConfig.",
        f"{MODEL}: CreateEndpointConfig.CrossRegionTrafficConfig",
        check.cross_region,
    ),
    *tag_rules("CreateEndpointConfig", "endpointconfig"),
)

ENDPOINT_RULES: tuple[Rule, ...] = (
    _endpoint(
        "one-update-policy",
        "A deployment has one update policy.",
        f"{MODEL}: DeploymentConfig.BlueGreenUpdatePolicy",
        check.one_update_policy,
    ),
    _endpoint(
        "deployment-timeout",
        "The deployment's timeout is over its waiting times.",
        f"{MODEL}: BlueGreenUpdatePolicy.MaximumExecutionTimeoutInSeconds",
        check.deployment_timeout,
    ),
    _endpoint(
        "traffic-step",
        "CANARY needs CanarySize, LINEAR needs LinearStepSize.",
        _KNOWN,
        check.traffic_step,
        "doubtful",
    ),
    *tag_rules("CreateEndpoint", "endpoint"),
)
