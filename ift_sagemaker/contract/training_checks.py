"""The checks behind `training_rules`: each yields one text for every place that breaks its rule."""

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
from ift_sagemaker.contract.storage import has_local_nvme, is_accelerated

_DAY = 86_400
_RESERVED_FOLDERS = ("/opt/ml/input", "/opt/ml/model", "/opt/ml/output", "/opt/ml/code")


def _serverless(params: Request) -> bool:
    return bool(section(params, "ServerlessJobConfig"))


def _resources(params: Request) -> Request:
    return section(params, "ResourceConfig")


def _instance_types(params: Request) -> list[str]:
    resources = _resources(params)
    groups = structures(resources, "InstanceGroups") + structures(resources, "InstancePreferences")
    named = [text(resources, "InstanceType"), *(text(item, "InstanceType") for _, item in groups)]
    return [name for name in named if name]


def _channels(params: Request) -> list[tuple[str, Request]]:
    return structures(params, "InputDataConfig")


def _input_mode(params: Request, channel: Request) -> str:
    return text(channel, "InputMode") or text(section(params, "AlgorithmSpecification"), "TrainingInputMode")


def image_or_algorithm(params: Request) -> Iterator[str]:
    given = present(section(params, "AlgorithmSpecification"), ("TrainingImage", "AlgorithmName"))
    if not given and not _serverless(params):
        yield "AlgorithmSpecification: give TrainingImage or AlgorithmName (or a ServerlessJobConfig)"
    if len(given) == 2:
        yield "AlgorithmSpecification: TrainingImage and AlgorithmName exclude each other"


def serverless_alone(params: Request) -> Iterator[str]:
    if not _serverless(params):
        return
    chosen_by_aws = {
        "AlgorithmSpecification": ("TrainingImage", "AlgorithmName"),
        "ResourceConfig": ("InstanceType", "InstanceGroups", "InstancePreferences", "VolumeSizeInGB"),
    }
    for structure, fields in chosen_by_aws.items():
        for field in present(section(params, structure), fields):
            yield f"{structure}.{field} does not go with ServerlessJobConfig: SageMaker chooses it"


def serverless_evaluation_type(params: Request) -> Iterator[str]:
    job = section(params, "ServerlessJobConfig")
    if text(job, "JobType") == "Evaluation" and not present(job, ("EvaluationType",)):
        yield "ServerlessJobConfig.EvaluationType is required where JobType is Evaluation"


def serverless_sequence_length(params: Request) -> Iterator[str]:
    length = text(section(params, "ServerlessJobConfig"), "SequenceLength")
    digits = length.removesuffix("K")
    if length.endswith("K") and digits.isascii() and digits.isdigit() and not 1 <= int(digits) <= 1024:
        yield f"ServerlessJobConfig.SequenceLength: {length}, allowed are 1K to 1024K"


def one_kind_of_resources(params: Request) -> Iterator[str]:
    if _serverless(params):
        return
    given = present(_resources(params), ("InstanceType", "InstanceGroups", "InstancePreferences"))
    if len(given) != 1:
        found = " and ".join(given) or "none of them"
        yield f"ResourceConfig: give one of InstanceType, InstanceGroups, InstancePreferences, not {found}"


def instance_count(params: Request) -> Iterator[str]:
    resources = _resources(params)
    if _serverless(params) or present(resources, ("InstanceGroups", "InstancePreferences")):
        return
    count = number(resources, "InstanceCount")
    if count is None or count < 1:
        yield f"ResourceConfig.InstanceCount: {count}, at least 1 is needed where there are no InstanceGroups"


def group_names_unique(params: Request) -> Iterator[str]:
    groups = structures(_resources(params), "InstanceGroups")
    for name in repeated(text(group, "InstanceGroupName") for _, group in groups):
        yield f"ResourceConfig.InstanceGroups: the name {name!r} occurs more than once"


def channel_groups_exist(params: Request) -> Iterator[str]:
    known = {
        text(group, "InstanceGroupName") for _, group in structures(_resources(params), "InstanceGroups")
    }
    for path, channel in _channels(params):
        asked = section(channel, "DataSource", "S3DataSource").get("InstanceGroupNames") or []
        for name in asked:
            if name not in known:
                yield f"{path}: the instance group {name!r} is not among ResourceConfig.InstanceGroups"


def preferences_exclusive(params: Request) -> Iterator[str]:
    resources = _resources(params)
    if not present(resources, ("InstancePreferences",)):
        return
    for field in present(resources, ("InstanceType", "InstanceGroups", "InstancePlacementConfig")):
        yield f"ResourceConfig.{field} does not go with InstancePreferences"
    if is_true(params, "EnableManagedSpotTraining"):
        yield "EnableManagedSpotTraining does not go with ResourceConfig.InstancePreferences"


def preferences_unique(params: Request) -> Iterator[str]:
    preferences = structures(_resources(params), "InstancePreferences")
    for name in repeated(text(item, "InstanceType") for _, item in preferences):
        yield f"ResourceConfig.InstancePreferences: {name} occurs more than once"


def preferences_count(params: Request) -> Iterator[str]:
    resources = _resources(params)
    preferences = [item for _, item in structures(resources, "InstancePreferences")]
    if not preferences:
        return
    counted = [item for item in preferences if number(item, "InstanceCount") is not None]
    on_job = number(resources, "InstanceCount") is not None
    if on_job == bool(counted) or (counted and len(counted) != len(preferences)):
        yield (
            "ResourceConfig: InstanceCount stands either on the job or on every one of InstancePreferences, "
            f"here on {len(counted)} of {len(preferences)}{' and on the job' if on_job else ''}"
        )


def preferences_plan(params: Request) -> Iterator[str]:
    resources = _resources(params)
    preferences = structures(resources, "InstancePreferences")
    if present(resources, ("TrainingPlanArn",)):
        for path, item in preferences:
            if present(item, ("TrainingPlanArns",)):
                yield f"ResourceConfig.{path}.TrainingPlanArns does not go with a TrainingPlanArn of the job"


def read_only_fields(params: Request) -> Iterator[str]:
    for field in present(_resources(params), ("SelectedInstanceType", "SelectedInstanceCount")):
        yield f"ResourceConfig.{field} is an answer of DescribeTrainingJob and is not accepted here"


def spot_max_wait(params: Request) -> Iterator[str]:
    if not is_true(params, "EnableManagedSpotTraining"):
        return
    stopping = section(params, "StoppingCondition")
    wait = number(stopping, "MaxWaitTimeInSeconds")
    run = number(stopping, "MaxRuntimeInSeconds") or _DAY
    if wait is None or wait < run:
        yield (
            f"StoppingCondition.MaxWaitTimeInSeconds: {wait}, with EnableManagedSpotTraining it is at least "
            f"MaxRuntimeInSeconds ({run})"
        )


def max_wait_without_spot(params: Request) -> Iterator[str]:
    wait = number(section(params, "StoppingCondition"), "MaxWaitTimeInSeconds")
    if wait is not None and not is_true(params, "EnableManagedSpotTraining"):
        yield f"StoppingCondition.MaxWaitTimeInSeconds: {wait}, allowed only with EnableManagedSpotTraining"


def max_runtime(params: Request) -> Iterator[str]:
    run = number(section(params, "StoppingCondition"), "MaxRuntimeInSeconds")
    if run is not None and run > 28 * _DAY:
        yield f"StoppingCondition.MaxRuntimeInSeconds: {run}, allowed are at most {28 * _DAY} (28 days)"


def pending_time_without_accelerator(params: Request) -> Iterator[str]:
    pending = number(section(params, "StoppingCondition"), "MaxPendingTimeInSeconds")
    types = _instance_types(params)
    if pending is not None and types and not any(is_accelerated(name) for name in types):
        yield (
            f"StoppingCondition.MaxPendingTimeInSeconds has no effect on {', '.join(types)}, "
            "only on accelerated instance types"
        )


def volume_key_on_nvme(params: Request) -> Iterator[str]:
    if present(_resources(params), ("VolumeKmsKeyId",)):
        for name in _instance_types(params):
            if has_local_nvme(name):
                yield (
                    f"ResourceConfig.VolumeKmsKeyId cannot be asked for on {name}: its local disks are "
                    "encrypted by the instance itself"
                )


def volume_size_on_nvme(params: Request) -> Iterator[str]:
    size = number(_resources(params), "VolumeSizeInGB")
    for name in _instance_types(params):
        if size and has_local_nvme(name):
            yield f"ResourceConfig.VolumeSizeInGB: {size} has no effect on {name}: its disks are fixed"


def volume_size_needed(params: Request) -> Iterator[str]:
    size = number(_resources(params), "VolumeSizeInGB")
    for name in _instance_types(params):
        if not size and has_local_nvme(name) is False:
            yield f"ResourceConfig.VolumeSizeInGB: {size}, {name} has no disk of its own, give at least 1"


def warm_pool_with_spot(params: Request) -> Iterator[str]:
    if is_true(params, "EnableManagedSpotTraining") and number(
        _resources(params), "KeepAlivePeriodInSeconds"
    ):
        yield "ResourceConfig.KeepAlivePeriodInSeconds does not go with EnableManagedSpotTraining"


def channel_names_unique(params: Request) -> Iterator[str]:
    for name in repeated(text(channel, "ChannelName") for _, channel in _channels(params)):
        yield f"InputDataConfig: the channel name {name!r} occurs more than once"


def one_source_per_channel(params: Request) -> Iterator[str]:
    kinds = ("S3DataSource", "FileSystemDataSource", "DatasetSource")
    for path, channel in _channels(params):
        given = present(section(channel, "DataSource"), kinds)
        if len(given) != 1:
            yield f"{path}.DataSource: give one of {', '.join(kinds)}, not {' and '.join(given) or 'none'}"


def augmented_manifest_pipe(params: Request) -> Iterator[str]:
    for path, channel in _channels(params):
        kind = text(section(channel, "DataSource", "S3DataSource"), "S3DataType")
        mode = _input_mode(params, channel)
        if kind == "AugmentedManifestFile" and mode != "Pipe":
            yield f"{path}: AugmentedManifestFile needs the input mode Pipe, not {mode or 'none'}"


def pipe_only_fields(params: Request) -> Iterator[str]:
    for path, channel in _channels(params):
        for field in ("CompressionType", "RecordWrapperType"):
            value = text(channel, field)
            if value not in ("", "None") and _input_mode(params, channel) == "File":
                yield f"{path}.{field}: {value} is for the input mode Pipe; leave it out or None with File"


def fast_file_prefix(params: Request) -> Iterator[str]:
    for path, channel in _channels(params):
        source = section(channel, "DataSource", "S3DataSource")
        uri = text(source, "S3Uri")
        if _input_mode(params, channel) != "FastFile" or not uri:
            continue
        if text(source, "S3DataType") != "S3Prefix" or not uri.endswith("/"):
            yield f"{path}: FastFile reads an S3Prefix that ends in /, not {uri!r}"


def entrypoint_not_runnable(params: Request) -> Iterator[str]:
    entrypoint = section(params, "AlgorithmSpecification").get("ContainerEntrypoint")
    first = entrypoint[0] if isinstance(entrypoint, list) and entrypoint else ""
    if isinstance(first, str) and first.startswith("/opt/ml/input/"):
        yield f"ContainerEntrypoint: {first} is a file of a channel and cannot be executed; run it by python3"


def model_channel_file(params: Request) -> Iterator[str]:
    if _serverless(params):
        return
    for path, channel in _channels(params):
        mode = _input_mode(params, channel)
        if text(channel, "ContentType") == "application/x-sagemaker-model" and mode != "File":
            yield f"{path}: a model channel is read with the input mode File, not {mode or 'none'}"


def file_system_vpc(params: Request) -> Iterator[str]:
    for path, channel in _channels(params):
        if section(channel, "DataSource", "FileSystemDataSource") and not section(params, "VpcConfig"):
            yield f"{path}: a file system is reached through VpcConfig, which is absent"


def private_registry_vpc(params: Request) -> Iterator[str]:
    image = section(params, "AlgorithmSpecification", "TrainingImageConfig")
    if text(image, "TrainingRepositoryAccessMode") == "Vpc" and not section(params, "VpcConfig"):
        yield "TrainingImageConfig.TrainingRepositoryAccessMode Vpc needs VpcConfig, which is absent"


def eula_accepted(params: Request) -> Iterator[str]:
    for path, channel in _channels(params):
        yield from eula_texts(section(channel, "DataSource", "S3DataSource"), path)


def one_gated_mechanism(params: Request) -> Iterator[str]:
    if "SageMakerGatedModelS3Uri" not in section(params, "Environment"):
        return
    for path, channel in _channels(params):
        if section(channel, "DataSource", "S3DataSource", "ModelAccessConfig"):
            yield (
                f"{path}.ModelAccessConfig and Environment.SageMakerGatedModelS3Uri are two ways to the same "
                "gated artefact; use one"
            )


def checkpoint_path(params: Request) -> Iterator[str]:
    path = text(section(params, "CheckpointConfig"), "LocalPath")
    folder = path.rstrip("/")
    if path and not path.startswith("/"):
        yield f"CheckpointConfig.LocalPath: {path!r} is not absolute"
    elif any(folder == name or folder.startswith(f"{name}/") for name in _RESERVED_FOLDERS):
        yield f"CheckpointConfig.LocalPath: {path!r} is one of SageMaker's own folders"
