"""What of a CreateTrainingJob request this local AWS does not do, refused by name. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.running.channels import Channel
from ift_sagemaker.local.running.checkpoints import DEFAULT_PATH
from ift_sagemaker.local.running.hosts import count_of
from ift_sagemaker.local.state.resources import invalid, not_offered_yet, split_s3
from ift_sagemaker.wire.paths import ML_ROOT

MAX_HOSTS = 16
RUNNERS_FOR_SEVERAL_HOSTS = ("bwrap",)
_REFUSED = (
    "ServerlessJobConfig",
    "MlflowConfig",
    "ModelPackageConfig",
    "SessionChainingConfig",
    "DebugHookConfig",
    "DebugRuleConfigurations",
    "ProfilerRuleConfigurations",
    "TensorBoardOutputConfig",
    "RemoteDebugConfig",
)
_OWN_FOLDERS = ("input", "model", "output", "code")


def refuse_unsupported(request: Mapping[str, Any]) -> None:
    """Raises a ServiceError for what AWS would do and this local AWS does not."""
    for field in _REFUSED:
        if request.get(field):
            raise not_offered_yet(f"CreateTrainingJob with {field}")
    algorithm = request.get("AlgorithmSpecification", {})
    if not algorithm.get("TrainingImage"):
        raise not_offered_yet("CreateTrainingJob without AlgorithmSpecification.TrainingImage")
    _refuse_resources(request.get("ResourceConfig", {}))
    channels = request.get("InputDataConfig", [])
    for channel in channels:
        _refuse_channel(channel, algorithm.get("TrainingInputMode", "File"))
    if len({channel["ChannelName"] for channel in channels}) < len(channels):
        raise not_offered_yet("InputDataConfig with two channels of one name")
    split_s3(request["OutputDataConfig"]["S3OutputPath"])
    if request.get("CheckpointConfig"):
        _refuse_checkpoints(request["CheckpointConfig"])
    _check_metrics(algorithm)


def refuse_hosts(resources: Mapping[str, Any], runner: str) -> None:
    """Raises a ServiceError where a runner cannot give the hosts of a job a network of their own."""
    count = count_of(resources)
    if count > 1 and runner not in RUNNERS_FOR_SEVERAL_HOSTS:
        raise ServiceError(
            "UnsupportedOperation",
            f"a training job on {count} instances: the runner {runner} cannot let hosts find each other by"
            f" name; {' or '.join(RUNNERS_FOR_SEVERAL_HOSTS)} can (IFT_LOCAL_RUNNER)",
        )


def _refuse_checkpoints(config: Mapping[str, Any]) -> None:
    split_s3(config["S3Uri"])
    path = config.get("LocalPath") or DEFAULT_PATH
    parts = [part for part in path.removeprefix(ML_ROOT).split("/") if part not in ("", ".")]
    if not path.startswith(f"{ML_ROOT}/") or ".." in parts or not parts:
        raise not_offered_yet(f"CheckpointConfig.LocalPath {path}, which is not below {ML_ROOT}")
    if parts[0] in _OWN_FOLDERS:
        raise not_offered_yet(f"CheckpointConfig.LocalPath {path}, which is one of SageMaker's own folders")


def _refuse_resources(resources: Mapping[str, Any]) -> None:
    for field in ("InstancePreferences", "InstancePlacementConfig", "TrainingPlanArn"):
        if resources.get(field):
            raise not_offered_yet(f"ResourceConfig.{field}")
    groups = resources.get("InstanceGroups")
    if groups:
        _refuse_groups(resources, groups)
    elif not resources.get("InstanceCount"):
        count = resources.get("InstanceCount")
        raise not_offered_yet(f"ResourceConfig.InstanceCount {count}: training on no instance")
    elif not resources.get("InstanceType"):
        raise not_offered_yet("CreateTrainingJob without ResourceConfig.InstanceType")
    count = count_of(resources)
    if not 1 <= count <= MAX_HOSTS:
        raise not_offered_yet(f"a training job on {count} instances, {MAX_HOSTS} are the most here")


def _refuse_groups(resources: Mapping[str, Any], groups: list[Mapping[str, Any]]) -> None:
    for field in ("InstanceType", "InstanceCount"):
        if resources.get(field):
            raise not_offered_yet(f"ResourceConfig.{field} beside InstanceGroups")
    names = [group.get("InstanceGroupName") for group in groups]
    if None in names or len(set(names)) < len(names):
        raise not_offered_yet("ResourceConfig.InstanceGroups without a name of its own for each group")
    for group in groups:
        if not group.get("InstanceType") or group.get("InstanceCount") is None:
            raise not_offered_yet("ResourceConfig.InstanceGroups without a type and a count for each group")


def _refuse_channel(channel: Mapping[str, Any], job_mode: str) -> None:
    name = channel["ChannelName"]
    source = channel["DataSource"].get("S3DataSource")
    if source is None or len(channel["DataSource"]) > 1:
        raise not_offered_yet(f"channel {name} from elsewhere than S3")
    asked = Channel.of(channel, job_mode)
    if asked.data_type not in ("S3Prefix", "ManifestFile"):
        raise not_offered_yet(f"channel {name} with S3DataType {asked.data_type}")
    if asked.mode not in ("File", "FastFile", "Pipe"):
        raise not_offered_yet(f"channel {name} with the input mode {asked.mode}")
    if asked.mode == "FastFile" and asked.data_type != "S3Prefix":
        # AWS, "Access Training Data": fast file mode supports S3 prefixes only; the wording is ours
        raise invalid(f"Channel {name}: the input mode FastFile needs S3DataType S3Prefix")
    if channel.get("RecordWrapperType", "None") != "None":
        raise not_offered_yet(f"channel {name} with RecordWrapperType {channel['RecordWrapperType']}")
    if asked.compression != "None" and asked.mode != "Pipe":
        raise not_offered_yet(f"channel {name} with CompressionType {asked.compression} in {asked.mode} mode")


def _check_metrics(algorithm: Mapping[str, Any]) -> None:
    for definition in algorithm.get("MetricDefinitions", []):
        try:
            re.compile(definition["Regex"])
        except re.error as error:
            # the engine of AWS is another one and may take it
            raise not_offered_yet(
                f"metric {definition['Name']} with a regular expression that Python cannot read ({error})"
            ) from None
