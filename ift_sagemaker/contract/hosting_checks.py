"""The checks behind `hosting_rules`: each yields one text for every place where a request breaks its rule."""

from __future__ import annotations

from collections.abc import Iterator

from ift_sagemaker.contract.rule import (
    Request,
    is_true,
    number,
    present,
    repeated,
    section,
    structures,
    text,
)
from ift_sagemaker.contract.shared_rules import eula_texts
from ift_sagemaker.contract.storage import has_local_nvme

_ENVIRONMENT_BYTES = 32 * 1024
_PUBLISH_SECONDS = (10, 30, 60, 120, 180, 240, 300)


def _containers(params: Request) -> list[tuple[str, Request]]:
    primary = section(params, "PrimaryContainer")
    first = [("PrimaryContainer", primary)] if primary else []
    return first + structures(params, "Containers")


def _artefacts(params: Request) -> Iterator[tuple[str, Request]]:
    for path, container in _containers(params):
        yield f"{path}.ModelDataSource.S3DataSource", section(container, "ModelDataSource", "S3DataSource")
        for where, source in structures(container, "AdditionalModelDataSources"):
            yield f"{path}.{where}.S3DataSource", section(source, "S3DataSource")


def one_container_form(params: Request) -> Iterator[str]:
    if len(present(params, ("PrimaryContainer", "Containers"))) == 2:
        yield "PrimaryContainer and Containers exclude each other"


def image_or_package(params: Request) -> Iterator[str]:
    for path, container in _containers(params):
        given = present(container, ("Image", "ModelPackageName"))
        if len(given) != 1:
            yield f"{path}: give Image or ModelPackageName, not {' and '.join(given) or 'none of them'}"


def one_artefact_field(params: Request) -> Iterator[str]:
    for path, container in _containers(params):
        if len(present(container, ("ModelDataUrl", "ModelDataSource"))) == 2:
            yield f"{path}: ModelDataUrl and ModelDataSource exclude each other"


def artefact_url_suffix(params: Request) -> Iterator[str]:
    for path, container in _containers(params):
        url = text(container, "ModelDataUrl")
        if url and text(container, "Mode") != "MultiModel" and not url.endswith(".tar.gz"):
            yield f"{path}.ModelDataUrl: {url!r} does not end in .tar.gz"


def prefix_slash(params: Request) -> Iterator[str]:
    for path, source in _artefacts(params):
        if text(source, "S3DataType") == "S3Prefix" and not text(source, "S3Uri").endswith("/"):
            yield f"{path}.S3Uri: {text(source, 'S3Uri')!r} is an S3Prefix and does not end in /"


def prefix_uncompressed(params: Request) -> Iterator[str]:
    for path, source in _artefacts(params):
        if text(source, "S3DataType") == "S3Prefix" and text(source, "CompressionType") == "Gzip":
            yield f"{path}: an S3Prefix has CompressionType None; Gzip is for one S3Object"


def multi_model_url(params: Request) -> Iterator[str]:
    for path, container in _containers(params):
        if text(container, "Mode") == "MultiModel" and section(container, "ModelDataSource"):
            yield f"{path}: Mode MultiModel takes ModelDataUrl, not ModelDataSource"


def environment_size(params: Request) -> Iterator[str]:
    size = sum(
        len(str(part).encode())
        for _, container in _containers(params)
        for pair in section(container, "Environment").items()
        for part in pair
    )
    if size > _ENVIRONMENT_BYTES:
        yield f"Environment: {size} bytes in all containers, allowed are at most {_ENVIRONMENT_BYTES}"


def host_names(params: Request) -> Iterator[str]:
    containers = structures(params, "Containers")
    named = [text(item, "ContainerHostname") for _, item in containers if text(item, "ContainerHostname")]
    if named and len(named) != len(containers):
        yield f"Containers: {len(named)} of {len(containers)} have a ContainerHostname; all or none must"
    for name in repeated(named):
        yield f"Containers: the ContainerHostname {name!r} occurs more than once"


def source_names_unique(params: Request) -> Iterator[str]:
    for path, container in _containers(params):
        sources = structures(container, "AdditionalModelDataSources")
        for name in repeated(text(source, "ChannelName") for _, source in sources):
            yield f"{path}.AdditionalModelDataSources: the name {name!r} occurs more than once"


def registry_vpc(params: Request) -> Iterator[str]:
    for path, container in _containers(params):
        mode = text(section(container, "ImageConfig"), "RepositoryAccessMode")
        if mode == "Vpc" and not section(params, "VpcConfig"):
            yield f"{path}.ImageConfig.RepositoryAccessMode Vpc needs VpcConfig, which is absent"


def publish_frequency(params: Request) -> Iterator[str]:
    for path, container in _containers(params):
        endpoints = structures(section(container, "ContainerMetricsConfig"), "MetricsEndpoints")
        for where, endpoint in endpoints:
            seconds = number(endpoint, "MetricPublishFrequencyInSeconds")
            if seconds is not None and seconds not in _PUBLISH_SECONDS:
                yield (
                    f"{path}.ContainerMetricsConfig.{where}.MetricPublishFrequencyInSeconds: {seconds}, "
                    f"allowed are {', '.join(map(str, _PUBLISH_SECONDS))}"
                )


def eula_accepted(params: Request) -> Iterator[str]:
    for path, source in _artefacts(params):
        yield from eula_texts(source, path)


def _variants(params: Request) -> list[tuple[str, Request]]:
    return structures(params, "ProductionVariants") + structures(params, "ShadowProductionVariants")


def _serverless_variants(params: Request) -> list[tuple[str, Request]]:
    return [(path, item) for path, item in _variants(params) if section(item, "ServerlessConfig")]


def variant_names_unique(params: Request) -> Iterator[str]:
    for name in repeated(text(variant, "VariantName") for _, variant in _variants(params)):
        yield f"ProductionVariants: the name {name!r} occurs more than once"


def one_kind_of_capacity(params: Request) -> Iterator[str]:
    kinds = ("InstanceType", "InstancePools", "ServerlessConfig")
    for path, variant in _variants(params):
        given = present(variant, kinds)
        if len(given) != 1:
            yield f"{path}: give one of {', '.join(kinds)}, not {' and '.join(given) or 'none of them'}"


def variant_count(params: Request) -> Iterator[str]:
    for path, variant in _variants(params):
        if text(variant, "InstanceType") and (number(variant, "InitialInstanceCount") or 0) < 1:
            count = number(variant, "InitialInstanceCount")
            yield f"{path}.InitialInstanceCount: {count}, at least 1 is needed with an InstanceType"


def model_or_role(params: Request) -> Iterator[str]:
    for path, variant in _variants(params):
        if not present(variant, ("ModelName",)) and not present(params, ("ExecutionRoleArn",)):
            yield f"{path}: give ModelName, or ExecutionRoleArn for inference components"


def serverless_variant_fields(params: Request) -> Iterator[str]:
    yield from _beside_serverless(
        params, ("InitialInstanceCount", "VolumeSizeInGB", "ManagedInstanceScaling")
    )


def serverless_variant_options(params: Request) -> Iterator[str]:
    timeouts = ("ModelDataDownloadTimeoutInSeconds", "ContainerStartupHealthCheckTimeoutInSeconds")
    yield from _beside_serverless(params, ("InferenceAmiVersion", "CoreDumpConfig", *timeouts))


def _beside_serverless(params: Request, fields: tuple[str, ...]) -> Iterator[str]:
    for path, variant in _serverless_variants(params):
        for field in present(variant, fields):
            yield f"{path}.{field} does not go with ServerlessConfig"


def serverless_config_fields(params: Request) -> Iterator[str]:
    fields = ("DataCaptureConfig", "VpcConfig", "AsyncInferenceConfig", "ShadowProductionVariants")
    if not _serverless_variants(params):
        return
    for field in present(params, fields):
        yield f"{field} does not go with a serverless variant"
    if is_true(params, "EnableNetworkIsolation"):
        yield "EnableNetworkIsolation does not go with a serverless variant"
    if len(structures(params, "ProductionVariants")) > 1:
        yield "ProductionVariants: a serverless endpoint has one variant"


def serverless_memory(params: Request) -> Iterator[str]:
    for path, variant in _serverless_variants(params):
        memory = number(section(variant, "ServerlessConfig"), "MemorySizeInMB")
        if memory is not None and memory % 1024:
            yield f"{path}.ServerlessConfig.MemorySizeInMB: {memory}, allowed are multiples of 1024"


def serverless_concurrency(params: Request) -> Iterator[str]:
    for path, variant in _serverless_variants(params):
        config = section(variant, "ServerlessConfig")
        provisioned, maximum = number(config, "ProvisionedConcurrency"), number(config, "MaxConcurrency")
        if provisioned is not None and maximum is not None and provisioned > maximum:
            yield (
                f"{path}.ServerlessConfig.ProvisionedConcurrency: {provisioned}, at most MaxConcurrency "
                f"({maximum})"
            )


def hosting_volume_on_nvme(params: Request) -> Iterator[str]:
    for path, variant in _variants(params):
        name = text(variant, "InstanceType")
        if present(variant, ("VolumeSizeInGB",)) and has_local_nvme(name):
            yield f"{path}.VolumeSizeInGB cannot be set on {name}, whose local disks are fixed"


def hosting_key_on_nvme(params: Request) -> Iterator[str]:
    if not present(params, ("KmsKeyId",)):
        return
    for path, variant in _variants(params):
        name = text(variant, "InstanceType")
        if has_local_nvme(name):
            yield f"KmsKeyId does not encrypt the local disks of {name} ({path})"


def weights_positive(params: Request) -> Iterator[str]:
    variants = [variant for _, variant in structures(params, "ProductionVariants")]
    if variants and all(variant.get("InitialVariantWeight") in (0, 0.0) for variant in variants):
        yield "ProductionVariants: every InitialVariantWeight is 0, so no variant gets traffic"


def no_elastic_inference(params: Request) -> Iterator[str]:
    for path, variant in _variants(params):
        if present(variant, ("AcceleratorType",)):
            yield f"{path}.AcceleratorType: Elastic Inference is no longer available"


def scaling_range(params: Request) -> Iterator[str]:
    for path, variant in _variants(params):
        scaling = section(variant, "ManagedInstanceScaling")
        low, high = number(scaling, "MinInstanceCount"), number(scaling, "MaxInstanceCount")
        if low is not None and high is not None and low > high:
            yield f"{path}.ManagedInstanceScaling: MinInstanceCount {low} is over MaxInstanceCount {high}"


def scale_to_zero(params: Request) -> Iterator[str]:
    for path, variant in _variants(params):
        low = number(section(variant, "ManagedInstanceScaling"), "MinInstanceCount")
        if low == 0 and present(variant, ("ModelName",)):
            yield (
                f"{path}.ManagedInstanceScaling.MinInstanceCount: 0 with a ModelName; only endpoints of "
                "inference components scale to zero"
            )


def prefix_routing(params: Request) -> Iterator[str]:
    for path, variant in _variants(params):
        routing = section(variant, "RoutingConfig")
        config = section(routing, "PrefixAwareRoutingConfig")
        aware = text(routing, "RoutingStrategy") == "PREFIX_AWARE"
        needed = ("PrefixLength", "ConcurrencyThreshold")
        if config and not aware:
            yield f"{path}.RoutingConfig.PrefixAwareRoutingConfig goes with RoutingStrategy PREFIX_AWARE only"
        for field in needed:
            if aware and not present(config, (field,)):
                yield f"{path}.RoutingConfig.PrefixAwareRoutingConfig.{field} is required with PREFIX_AWARE"


def shadow_counts(params: Request) -> Iterator[str]:
    if not structures(params, "ShadowProductionVariants"):
        return
    for field in ("ProductionVariants", "ShadowProductionVariants"):
        count = len(structures(params, field))
        if count != 1:
            yield f"{field}: {count} variants, with ShadowProductionVariants there is one of each"


def cross_region(params: Request) -> Iterator[str]:
    if not section(params, "CrossRegionTrafficConfig"):
        return
    if section(params, "AsyncInferenceConfig") or _serverless_variants(params):
        yield "CrossRegionTrafficConfig does not go with serverless variants or AsyncInferenceConfig"


def one_update_policy(params: Request) -> Iterator[str]:
    policies = ("BlueGreenUpdatePolicy", "RollingUpdatePolicy")
    if len(present(section(params, "DeploymentConfig"), policies)) == 2:
        yield "DeploymentConfig: BlueGreenUpdatePolicy and RollingUpdatePolicy exclude each other"


def deployment_timeout(params: Request) -> Iterator[str]:
    policy = section(params, "DeploymentConfig", "BlueGreenUpdatePolicy")
    limit = number(policy, "MaximumExecutionTimeoutInSeconds")
    routing = section(policy, "TrafficRoutingConfiguration")
    waits = (number(policy, "TerminationWaitInSeconds") or 0) + (
        number(routing, "WaitIntervalInSeconds") or 0
    )
    if limit is not None and limit <= waits:
        yield (
            f"DeploymentConfig.BlueGreenUpdatePolicy.MaximumExecutionTimeoutInSeconds: {limit}, it must be "
            f"over the waiting times ({waits})"
        )


def traffic_step(params: Request) -> Iterator[str]:
    routing = section(params, "DeploymentConfig", "BlueGreenUpdatePolicy", "TrafficRoutingConfiguration")
    step = {"CANARY": "CanarySize", "LINEAR": "LinearStepSize"}
    needed = step.get(text(routing, "Type"))
    if needed and not section(routing, needed):
        yield f"TrafficRoutingConfiguration.{needed} is required where Type is {routing['Type']}"
