"""What CreateTrainingJob demands beyond its shape."""

from __future__ import annotations

from ift_sagemaker.contract import training_checks as check
from ift_sagemaker.contract.rule import Check, Effect, Rule
from ift_sagemaker.contract.shared_rules import MODEL, tag_rules

OPERATION = "CreateTrainingJob"
_KNOWN = "general knowledge"
_READ = "2026-11-23"


def _rule(name: str, sentence: str, source: str, function: Check, effect: Effect = "refused") -> Rule:
    return Rule(f"training.{name}", OPERATION, sentence, source, _READ, function, effect)


TRAINING_RULES: tuple[Rule, ...] = (
    _rule(
        "image-or-algorithm",
        "A job that is not serverless has a TrainingImage or an AlgorithmName, not both.",
        f"{MODEL}: AlgorithmSpecification.AlgorithmName",
        check.image_or_algorithm,
    ),
    _rule(
        "serverless-alone",
        "A serverless job names no image, no instances and no volume.",
        f"{MODEL}: ServerlessJobConfig, ResourceConfig.VolumeSizeInGB; exclusion itself: {_KNOWN}",
        check.serverless_alone,
        "doubtful",
    ),
    _rule(
        "serverless-evaluation-type",
        "A serverless evaluation names its EvaluationType.",
        f"{MODEL}: ServerlessJobConfig.EvaluationType",
        check.serverless_evaluation_type,
    ),
    _rule(
        "serverless-sequence-length",
        "A serverless sequence length is 1K to 1024K.",
        f"{MODEL}: ServerlessJobConfig.SequenceLength",
        check.serverless_sequence_length,
    ),
    _rule(
        "one-kind-of-resources",
        "A job has one of InstanceType, InstanceGroups, InstancePreferences.",
        f"{MODEL}: ResourceConfig.InstancePreferences; for InstanceGroups {_KNOWN}",
        check.one_kind_of_resources,
        "doubtful",
    ),
    _rule(
        "instance-count",
        "Without InstanceGroups the InstanceCount is at least 1 (the model's minimum is 0).",
        f"{MODEL}: ResourceConfig.InstanceCount; {_KNOWN}",
        check.instance_count,
        "doubtful",
    ),
    _rule(
        "group-names-unique",
        "Instance group names are unique in a job.",
        _KNOWN,
        check.group_names_unique,
        "doubtful",
    ),
    _rule(
        "channel-groups-exist",
        "A channel names only instance groups of the job.",
        f"{MODEL}: S3DataSource.InstanceGroupNames",
        check.channel_groups_exist,
    ),
    _rule(
        "preferences-exclusive",
        "InstancePreferences exclude InstanceType, InstanceGroups, InstancePlacementConfig and spot.",
        f"{MODEL}: ResourceConfig.InstancePreferences",
        check.preferences_exclusive,
    ),
    _rule(
        "preferences-unique",
        "An instance type stands once in InstancePreferences.",
        f"{MODEL}: InstancePreference.InstanceType",
        check.preferences_unique,
    ),
    _rule(
        "preferences-count",
        "With InstancePreferences the count stands on the job or on every preference.",
        f"{MODEL}: InstancePreference.InstanceCount",
        check.preferences_count,
    ),
    _rule(
        "preferences-plan",
        "A plan per preference excludes a plan of the job.",
        f"{MODEL}: InstancePreference.TrainingPlanArns",
        check.preferences_plan,
    ),
    _rule(
        "read-only-fields",
        "SelectedInstanceType and SelectedInstanceCount are answers only.",
        f"{MODEL}: ResourceConfig.SelectedInstanceType",
        check.read_only_fields,
    ),
    _rule(
        "spot-max-wait",
        "A spot job's MaxWaitTimeInSeconds is at least its MaxRuntimeInSeconds (1 day where not given).",
        f"{MODEL}: StoppingCondition.MaxWaitTimeInSeconds",
        check.spot_max_wait,
    ),
    _rule(
        "max-wait-without-spot",
        "MaxWaitTimeInSeconds goes with spot only.",
        "Kenza-AI/sagify, thread 111; aws/amazon-sagemaker-examples, thread 869",
        check.max_wait_without_spot,
    ),
    _rule(
        "max-runtime",
        "MaxRuntimeInSeconds is at most 28 days.",
        f"{MODEL}: StoppingCondition.MaxRuntimeInSeconds",
        check.max_runtime,
    ),
    _rule(
        "pending-time-without-accelerator",
        "MaxPendingTimeInSeconds acts on accelerated instance types only.",
        f"{MODEL}: StoppingCondition.MaxPendingTimeInSeconds",
        check.pending_time_without_accelerator,
        "ignored",
    ),
    _rule(
        "volume-key-on-nvme",
        "VolumeKmsKeyId is refused on instance types with local storage.",
        f"{MODEL}: ResourceConfig.VolumeKmsKeyId",
        check.volume_key_on_nvme,
    ),
    _rule(
        "volume-size-on-nvme",
        "VolumeSizeInGB has no effect on instance types with local NVMe disks.",
        f"{MODEL}: ResourceConfig.VolumeSizeInGB",
        check.volume_size_on_nvme,
        "ignored",
    ),
    _rule(
        "volume-size-needed",
        "VolumeSizeInGB must be given for instance types without disks of their own.",
        f"{MODEL}: ResourceConfig.VolumeSizeInGB",
        check.volume_size_needed,
    ),
    _rule(
        "warm-pool-with-spot",
        "Warm pools do not go with spot training.",
        _KNOWN,
        check.warm_pool_with_spot,
        "doubtful",
    ),
    _rule(
        "channel-names-unique",
        "Channel names are unique in a job.",
        _KNOWN,
        check.channel_names_unique,
        "doubtful",
    ),
    _rule(
        "one-source-per-channel",
        "A channel has one data source.",
        _KNOWN,
        check.one_source_per_channel,
        "doubtful",
    ),
    _rule(
        "augmented-manifest-pipe",
        "AugmentedManifestFile needs the input mode Pipe.",
        f"{MODEL}: S3DataSource.S3DataType",
        check.augmented_manifest_pipe,
    ),
    _rule(
        "pipe-only-fields",
        "CompressionType and RecordWrapperType are unset or None with the input mode File.",
        f"{MODEL}: Channel.CompressionType, Channel.RecordWrapperType",
        check.pipe_only_fields,
    ),
    _rule(
        "fast-file-prefix",
        "A channel with the input mode FastFile names a prefix that ends at a folder.",
        f"Amazon SageMaker developer guide, access training data; refusal: {_KNOWN}",
        check.fast_file_prefix,
        "doubtful",
    ),
    _rule(
        "entrypoint-not-runnable",
        "A file of a channel is run by a program: it comes without the right to be executed.",
        _KNOWN,
        check.entrypoint_not_runnable,
        "doubtful",
    ),
    _rule(
        "model-channel-file",
        "A channel of application/x-sagemaker-model has the input mode File.",
        f"{MODEL}: Channel.InputMode, as advice; refusal: {_KNOWN}",
        check.model_channel_file,
        "doubtful",
    ),
    _rule(
        "file-system-vpc",
        "A file system as data source needs a VpcConfig.",
        _KNOWN,
        check.file_system_vpc,
        "doubtful",
    ),
    _rule(
        "private-registry-vpc",
        "An image in a private registry needs a VpcConfig.",
        f"{MODEL}: TrainingImageConfig.TrainingRepositoryAccessMode; {_KNOWN}",
        check.private_registry_vpc,
        "doubtful",
    ),
    _rule(
        "eula-accepted",
        "A ModelAccessConfig accepts the licence.",
        f"{MODEL}: ModelAccessConfig.AcceptEula",
        check.eula_accepted,
    ),
    _rule(
        "one-gated-mechanism",
        "A gated artefact comes by environment or by channel, not by both.",
        "sagemaker SDK 3.27.0, source of the JumpStart trainer",
        check.one_gated_mechanism,
        "doubtful",
    ),
    _rule(
        "checkpoint-path",
        "Checkpoints are written to an absolute path outside SageMaker's own folders.",
        _KNOWN,
        check.checkpoint_path,
        "doubtful",
    ),
    *tag_rules(OPERATION, "training"),
)
