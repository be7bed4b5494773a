"""Route `container`: this project's own program on AWS's Hugging Face training image.

Program, base weights and rows travel as channels, so there is no image to build and network isolation holds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ift_sagemaker.catalog.images import training_image
from ift_sagemaker.catalog.instances import instances
from ift_sagemaker.catalog.weights import Weights
from ift_sagemaker.contract import names
from ift_sagemaker.contract.storage import has_local_nvme
from ift_sagemaker.data.sending.manifest import DATA_PREFIX, Manifest
from ift_sagemaker.errors import UnsupportedError
from ift_sagemaker.plan.plans import PREFIX, Cost, JobPlan, Place, Upload, tag_list
from ift_sagemaker.plan.spec import Compute, FineTuneSpec, parse
from ift_sagemaker.wire.hyperparameters import (
    EVALUATION_HYPERPARAMETERS,
    parse_hyperparameters,
    to_wire,
)
from ift_sagemaker.wire.jumpstart import TAG_STAND_IN, stand_in_note
from ift_sagemaker.wire.metrics import METRIC_DEFINITIONS
from ift_sagemaker.wire.paths import (
    CHANNEL_BASE,
    CHANNEL_MODEL,
    CHANNEL_PROGRAM,
    CHANNEL_ROWS,
    CHANNEL_TRAINING,
    CHANNEL_TUNED,
    CHANNEL_VALIDATION,
    DATA_MANIFEST_VARIABLE,
    ML_ROOT,
    MODEL_ID_VARIABLE,
    PROGRAM_FILE,
    VALIDATION_MANIFEST_VARIABLE,
)
from ift_sagemaker.wire.program import Program

TAG_MODEL = "ift:model-id"
TAG_FINGERPRINT = "ift:fingerprint"
TAG_KIND = "ift:kind"
KIND_TRAINING = "training"
KIND_EVALUATION = "evaluation"


@dataclass(frozen=True)
class Rows:
    """Rows on the wire: file contents by name, their content hash and number, and what is known of them."""

    files: Mapping[str, bytes]
    fingerprint: str
    count: int
    manifest: Manifest | None = None


@dataclass(frozen=True)
class TunedModel:
    """A finished job as an evaluation sees it, all of it read from DescribeTrainingJob."""

    job_name: str
    model_id: str
    artifact_uri: str
    base_uri: str
    compute: Compute
    stand_in: str = ""
    """The name of the weights that were trained in place of the model's own."""

    @property
    def stand_in_note(self) -> str:
        """What is said of them; empty where there are none."""
        return stand_in_note(self.stand_in, self.model_id) if self.stand_in else ""


@dataclass(frozen=True)
class TrainingInputs:
    """Everything that decides a training request but the place it runs in."""

    spec: FineTuneSpec
    weights: Weights
    program: Program
    training: Rows
    validation: Rows | None = None


def plan_training(inputs: TrainingInputs, place: Place, attempt: int = 1) -> JobPlan:
    """The plan of one fine-tuning attempt.

    Raises ConfigError for a hyperparameter outside its range, UnsupportedError for several accelerators.
    """
    _refuse_idle_accelerators(inputs.spec.compute.instance_type)
    hyperparameters = to_wire(parse_hyperparameters(inputs.spec.hyperparameters))
    image = training_image(place.region)
    fingerprint = fingerprint_of(
        {
            "weights": inputs.weights.content_hash,
            "training": inputs.training.fingerprint,
            "validation": inputs.validation.fingerprint if inputs.validation else None,
            "hyperparameters": hyperparameters,
            "image": _image_identity(image),
            "program": inputs.program.sha256,
        }
    )
    name = names.job_name(inputs.spec.model, fingerprint, attempt)
    channels = {CHANNEL_TRAINING: rows_prefix(inputs.training)}
    base = weights_uploads(inputs.weights, inputs.spec.model)
    uploads = [*_program_upload(inputs.program), *base, *rows_uploads(inputs.training)]
    if inputs.validation:
        channels[CHANNEL_VALIDATION] = rows_prefix(inputs.validation)
        uploads += rows_uploads(inputs.validation)
    uris = {
        CHANNEL_PROGRAM: place.uri(_program_prefix(inputs.program)),
        CHANNEL_MODEL: place.uri(weights_prefix(inputs.weights, inputs.spec.model)),
        **{channel: place.uri(prefix) for channel, prefix in channels.items()},
    }
    request = _request(
        name=name,
        command="train",
        hyperparameters=hyperparameters,
        channels=uris,
        compute=inputs.spec.compute,
        place=place,
        tags={
            **inputs.spec.tags,
            TAG_MODEL: inputs.spec.model,
            TAG_FINGERPRINT: fingerprint,
            TAG_KIND: KIND_TRAINING,
        },
    )
    request["Environment"] = {
        MODEL_ID_VARIABLE: inputs.spec.model,
        **_lineage(place, DATA_MANIFEST_VARIABLE, inputs.training),
        **_lineage(place, VALIDATION_MANIFEST_VARIABLE, inputs.validation),
    }
    request["AlgorithmSpecification"]["MetricDefinitions"] = [dict(entry) for entry in METRIC_DEFINITIONS]
    request["CheckpointConfig"] = {"S3Uri": place.uri(f"{PREFIX}/checkpoints/{name}/")}
    return JobPlan(
        kind=KIND_TRAINING,
        model_id=inputs.spec.model,
        fingerprint=fingerprint,
        attempt=attempt,
        place=place,
        uploads=tuple(uploads),
        request=request,
        cost=cost_of(inputs.spec.compute),
        rows=inputs.training.count,
    )


@dataclass(frozen=True)
class EvaluationInputs:
    """Everything that decides an evaluation request but the place it runs in."""

    tuned: TunedModel
    rows: Rows
    program: Program
    hyperparameters: Mapping[str, Any]


def plan_evaluation(inputs: EvaluationInputs, place: Place, attempt: int = 1) -> JobPlan:
    """The plan that compares base with tuned: a training job, so that gated bases and GPU quota apply."""
    tuned = inputs.tuned
    hyperparameters = to_wire(parse_hyperparameters(inputs.hyperparameters, EVALUATION_HYPERPARAMETERS))
    fingerprint = fingerprint_of(
        {
            "job": tuned.job_name,
            "artifact": tuned.artifact_uri,
            "base": tuned.base_uri,
            "rows": inputs.rows.fingerprint,
            "hyperparameters": hyperparameters,
            "program": inputs.program.sha256,
        }
    )
    request = _request(
        name=names.evaluation_name(tuned.model_id, fingerprint, attempt),
        command="evaluate",
        hyperparameters=hyperparameters,
        channels={
            CHANNEL_PROGRAM: place.uri(_program_prefix(inputs.program)),
            CHANNEL_BASE: tuned.base_uri,
            CHANNEL_TUNED: tuned.artifact_uri,
            CHANNEL_ROWS: place.uri(rows_prefix(inputs.rows)),
        },
        compute=tuned.compute,
        place=place,
        tags={
            TAG_MODEL: tuned.model_id,
            TAG_FINGERPRINT: fingerprint,
            TAG_KIND: KIND_EVALUATION,
            **({TAG_STAND_IN: tuned.stand_in} if tuned.stand_in else {}),
        },
    )
    request["Environment"] = {
        MODEL_ID_VARIABLE: tuned.model_id,
        **_lineage(place, DATA_MANIFEST_VARIABLE, inputs.rows),
    }
    return JobPlan(
        kind=KIND_EVALUATION,
        model_id=tuned.model_id,
        fingerprint=fingerprint,
        attempt=attempt,
        place=place,
        uploads=(*_program_upload(inputs.program), *rows_uploads(inputs.rows)),
        request=request,
        cost=cost_of(tuned.compute),
        rows=inputs.rows.count,
    )


def compute_of(description: Mapping[str, Any]) -> Compute:
    """The machines of a job as DescribeTrainingJob shows it."""
    resources = description["ResourceConfig"]
    vpc = description.get("VpcConfig", {})
    values: dict[str, Any] = {
        "instance_type": resources["InstanceType"],
        "max_runtime_in_seconds": description["StoppingCondition"]["MaxRuntimeInSeconds"],
        "subnets": tuple(vpc.get("Subnets", ())),
        "security_group_ids": tuple(vpc.get("SecurityGroupIds", ())),
        "volume_kms_key": resources.get("VolumeKmsKeyId"),
        "output_kms_key": description["OutputDataConfig"].get("KmsKeyId"),
        "network_isolation": bool(description.get("EnableNetworkIsolation", False)),
    }
    if resources.get("VolumeSizeInGB"):
        values["volume_size_in_gb"] = resources["VolumeSizeInGB"]
    compute: Compute = parse(Compute, values)
    return compute


def _refuse_idle_accelerators(instance_type: str) -> None:
    known = instances().get(instance_type)
    if known is not None and known.count > 1:
        raise UnsupportedError(
            f"{instance_type} has {known.count} {known.accelerator}: the program would use one, the bill "
            "all. Training on several is not offered yet; take a type with one",
            feature="training on several accelerators",
        )


def fingerprint_of(decisive: Mapping[str, Any]) -> str:
    """Twelve hex digits over what decides the weights; not role, tags or instance."""
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:12]


def _image_identity(image: str) -> str:
    return image.rpartition("/")[2]


def rows_prefix(rows: Rows) -> str:
    return f"{DATA_PREFIX}/{rows.fingerprint}/"


def _lineage(place: Place, variable: str, rows: Rows | None) -> dict[str, str]:
    """Where the rows' manifest lies, as environment: Describe shows it, and nobody can change it later."""
    if rows is None or rows.manifest is None:
        return {}
    return {variable: place.uri(rows.manifest.key())}


def _program_prefix(program: Program) -> str:
    return f"{PREFIX}/program/{program.sha256}/"


def weights_prefix(weights: Weights, model_id: str) -> str:
    """Key prefix of weights under a model's name; they are named by their content."""
    return f"{PREFIX}/weights/{names.slug(model_id)}/{weights.content_hash}/"


def _program_upload(program: Program) -> tuple[Upload, ...]:
    key = _program_prefix(program) + PROGRAM_FILE
    return (Upload(key, program.sha256, len(program.content), program.content),)


def weights_uploads(weights: Weights, model_id: str) -> tuple[Upload, ...]:
    prefix = weights_prefix(weights, model_id)
    return tuple(
        Upload(prefix + file.path, file.sha256, file.size, weights.folder / file.path)
        for file in weights.files
    )


def rows_uploads(rows: Rows) -> tuple[Upload, ...]:
    contents = {rows_prefix(rows) + name: content for name, content in sorted(rows.files.items())}
    if rows.manifest is not None:
        contents[rows.manifest.key()] = rows.manifest.to_bytes()
    return tuple(
        Upload(key, hashlib.sha256(content).hexdigest(), len(content), content)
        for key, content in contents.items()
    )


def cost_of(compute: Compute) -> Cost:
    known = instances().get(compute.instance_type)
    price = known.usd_per_hour if known else None
    return Cost(
        usd_per_hour=None if price is None else price * compute.instance_count,
        max_runtime_in_seconds=compute.max_runtime_in_seconds,
        source=f"{known.price_region}, as of {known.as_of}" if known else "",
    )


def _request(
    *,
    name: str,
    command: str,
    hyperparameters: Mapping[str, str],
    channels: Mapping[str, str],
    compute: Compute,
    place: Place,
    tags: Mapping[str, str],
) -> dict[str, Any]:
    request: dict[str, Any] = {
        "TrainingJobName": name,
        "RoleArn": place.role,
        "AlgorithmSpecification": {
            "TrainingImage": training_image(place.region),
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["python3", f"{ML_ROOT}/input/data/{CHANNEL_PROGRAM}/{PROGRAM_FILE}"],
            "ContainerArguments": [command],
        },
        "HyperParameters": dict(hyperparameters),
        "InputDataConfig": [channel_of(channel, uri) for channel, uri in channels.items()],
        "OutputDataConfig": {"S3OutputPath": place.uri(f"{PREFIX}/jobs")},
        "ResourceConfig": resources_of(compute),
        "StoppingCondition": {"MaxRuntimeInSeconds": compute.max_runtime_in_seconds},
        "EnableNetworkIsolation": compute.network_isolation,
        "Tags": tag_list(tags),
    }
    add_compute(request, compute)
    return request


def add_compute(request: dict[str, Any], compute: Compute) -> None:
    """Key, network and spot, where they are asked for."""
    if compute.output_kms_key:
        request["OutputDataConfig"]["KmsKeyId"] = compute.output_kms_key
    if compute.subnets:
        request["VpcConfig"] = {
            "Subnets": list(compute.subnets),
            "SecurityGroupIds": list(compute.security_group_ids),
        }
    if compute.spot:
        request["EnableManagedSpotTraining"] = True
        request["StoppingCondition"]["MaxWaitTimeInSeconds"] = (
            compute.max_wait_in_seconds or 2 * compute.max_runtime_in_seconds
        )


def channel_of(name: str, uri: str) -> dict[str, Any]:
    return {
        "ChannelName": name,
        "InputMode": "File",
        "DataSource": {
            "S3DataSource": {
                "S3DataType": "S3Prefix",
                "S3Uri": uri,
                "S3DataDistributionType": "FullyReplicated",
            }
        },
    }


def resources_of(compute: Compute) -> dict[str, Any]:
    """Volume fields are left out where the instance has local NVMe (AWS fixes the size there)."""
    resources: dict[str, Any] = {
        "InstanceType": compute.instance_type,
        "InstanceCount": compute.instance_count,
    }
    if not has_local_nvme(compute.instance_type):
        resources["VolumeSizeInGB"] = compute.volume_size_in_gb
    if compute.volume_kms_key:
        resources["VolumeKmsKeyId"] = compute.volume_kms_key
    return resources
