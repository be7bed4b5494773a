"""Route `jumpstart`: an ordinary training job on the model's own image, script and artefact.

The image finds its script by hyperparameters (`sagemaker_program`, `sagemaker_submit_directory`), as the
model's spec has it; no driver of an SDK is needed. The licence is accepted in the `model` channel.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ift_sagemaker.catalog.hyperparameters import Table, jumpstart_table, to_wire
from ift_sagemaker.catalog.images import aws_image
from ift_sagemaker.catalog.launch import Launch, launch, training_channel
from ift_sagemaker.catalog.models import FoundationModel, Road
from ift_sagemaker.contract import names
from ift_sagemaker.contract.storage import family
from ift_sagemaker.errors import ConfigError, UnsupportedError
from ift_sagemaker.plan.budget import capped
from ift_sagemaker.plan.calls import Call, RoutePlan
from ift_sagemaker.plan.plans import PREFIX, Cost, Place, Upload, tag_list
from ift_sagemaker.plan.routes.container import (
    add_compute,
    channel_of,
    resources_of,
    rows_prefix,
    rows_uploads,
    weights_prefix,
    weights_uploads,
)
from ift_sagemaker.plan.routes.job import RouteInputs, tag_value
from ift_sagemaker.plan.spec import Compute
from ift_sagemaker.wire.jumpstart import (
    CHANNEL_CODE,
    CONTENT_BUCKET,
    GATED_BUCKET,
    TAG_STAND_IN,
    TAG_STAND_IN_WEIGHTS,
    stand_in_note,
)
from ift_sagemaker.wire.paths import MODEL_ID_VARIABLE

JUMPSTART_ROUTE = "jumpstart"
TAG_JUMPSTART_MODEL = "sagemaker-sdk:jumpstart-model-id"
TAG_JUMPSTART_VERSION = "sagemaker-sdk:jumpstart-model-version"
MODEL_CONTENT_TYPE = "application/x-sagemaker-model"
_OLD_FAMILIES = ("p2", "p3")
_FLAGS_BY_FORM: Mapping[str, Mapping[str, str]] = {
    "jumpstart-instruction": {"instruction_tuned": "True", "chat_dataset": "False"},
    "jumpstart-chat": {"instruction_tuned": "False", "chat_dataset": "True"},
    "domain-text": {"instruction_tuned": "False", "chat_dataset": "False"},
}


def plan_jumpstart(inputs: RouteInputs, place: Place, attempt: int = 1) -> RoutePlan:
    """The plan of one attempt.

    Raises UnsupportedError where the model's spec is not at hand, ConfigError for hyperparameters, instance
    types and licences.
    """
    spec = launch(inputs.model)
    if inputs.stand_in is not None and inputs.form == "domain-text":
        raise UnsupportedError(
            "domain adaptation on plain text is not offered yet by the program that trains a stand-in; give "
            "instructions or conversations",
            feature="domain adaptation with a stand-in",
        )
    table = jumpstart_table(inputs.model)
    gated = inputs.require_eula()
    compute, notes = _compute(inputs.spec.compute, spec)
    price = inputs.prices.find(compute.instance_type, place.region)
    compute = capped(compute, price, place.region)
    values = _hyperparameters(inputs, table)
    sent = {**to_wire(values), **spec.container}
    image = aws_image(place.region, spec.image)
    fingerprint = inputs.fingerprint(sent, image=spec.image, script=spec.script)
    name = names.job_name(inputs.model.model_id, fingerprint, attempt)
    version = {TAG_JUMPSTART_MODEL: inputs.model.model_id, TAG_JUMPSTART_VERSION: spec.version}
    request: dict[str, Any] = {
        "TrainingJobName": name,
        "RoleArn": place.role,
        "AlgorithmSpecification": {
            "TrainingImage": image,
            "TrainingInputMode": "File",
            **({"MetricDefinitions": [dict(entry) for entry in spec.metrics]} if spec.metrics else {}),
        },
        "HyperParameters": sent,
        "InputDataConfig": _channels(inputs, spec, place, compute, gated=gated),
        "OutputDataConfig": {
            "S3OutputPath": place.uri(f"{PREFIX}/jobs"),
            **({} if spec.compress_output else {"CompressionType": "NONE"}),
        },
        "ResourceConfig": resources_of(compute),
        "StoppingCondition": {"MaxRuntimeInSeconds": compute.max_runtime_in_seconds},
        "EnableNetworkIsolation": spec.network_isolation and compute.network_isolation,
        **({"EnableInterContainerTrafficEncryption": True} if spec.encrypt_traffic else {}),
        "Environment": {MODEL_ID_VARIABLE: inputs.model.model_id},
        "Tags": tag_list({**inputs.tags(fingerprint, **version), **_stand_in_tags(inputs, place)}),
    }
    add_compute(request, compute)
    held_out = rows_uploads(inputs.validation) if inputs.validation else ()
    return RoutePlan(
        route=JUMPSTART_ROUTE,
        model_id=inputs.model.model_id,
        name=name,
        fingerprint=fingerprint,
        place=place,
        uploads=(*rows_uploads(inputs.training), *held_out, *_stand_in_uploads(inputs)),
        calls=(Call("sagemaker", "CreateTrainingJob", request),),
        rows=inputs.training.count,
        notes=(*notes, *_runtime_notes(inputs.spec.compute, spec), *_notes(inputs, spec, table)),
        cost=Cost.at(price, compute),
    )


def _stand_in_tags(inputs: RouteInputs, place: Place) -> dict[str, str]:
    """Which weights the local AWS is to train; to AWS itself a stand-in is never sent."""
    weights = inputs.stand_in
    if weights is None:
        return {}
    prefix = place.uri(weights_prefix(weights, weights.model_id))
    return {TAG_STAND_IN: tag_value(weights.model_id), TAG_STAND_IN_WEIGHTS: prefix}


def _stand_in_uploads(inputs: RouteInputs) -> tuple[Upload, ...]:
    weights = inputs.stand_in
    return () if weights is None else weights_uploads(weights, weights.model_id)


def refuse_stand_in(model: FoundationModel, road: Road, *, local: bool) -> None:
    """Raises UnsupportedError where no weights may stand in for the model's: a stand-in is a rehearsal."""
    feature = f"a stand-in for {model.model_id}"
    if not local:
        raise UnsupportedError(
            "a stand-in is trained by the local AWS alone (target local); AWS has the model's own weights",
            feature=feature,
        )
    if road.route != JUMPSTART_ROUTE:
        raise UnsupportedError(
            f"{model.model_id} is tuned by route {road.route}; weights stand in on route jumpstart alone",
            feature=feature,
        )
    if "text-generation" not in model.tasks or "neuron" in model.model_id:
        raise UnsupportedError(
            f"the program that trains a stand-in does text generation; {model.model_id} does "
            f"{', '.join(model.tasks)}{' on Trainium' if 'neuron' in model.model_id else ''}",
            feature=feature,
        )


def _hyperparameters(inputs: RouteInputs, table: Table) -> dict[str, Any]:
    """Defaults, what the form of the rows decides, and what was asked for."""
    asked = inputs.spec.hyperparameters
    known = {entry.name for entry in table.settable}
    decided = {name: value for name, value in _FLAGS_BY_FORM.get(inputs.form, {}).items() if name in known}
    typed = table.check({**decided, **asked})
    for name, value in decided.items():
        if typed[name] != value:
            raise ConfigError(
                f"{name}={asked[name]!r}: the rows are {inputs.form}, which takes {name}={value}",
                field=name,
                value=asked[name],
                allowed=value,
            )
    return {**table.defaults, **typed}


def _compute(asked: Compute, spec: Launch) -> tuple[Compute, tuple[str, ...]]:
    """What was asked for, and where nothing was, what the spec says."""
    given = asked.model_fields_set
    changes: dict[str, Any] = {}
    notes = []
    if "instance_type" not in given:
        changes["instance_type"] = _default_instance(spec)
        if changes["instance_type"] != spec.default_instance:
            notes.append(f"{spec.default_instance}, the spec's default, is of a family that AWS deprecates")
    elif asked.instance_type not in spec.instances:
        allowed = ", ".join(spec.instances)
        raise ConfigError(
            f"the model's script is not known to run on {asked.instance_type}; its spec names {allowed}",
            field="instance_type",
            value=asked.instance_type,
            allowed=allowed,
        )
    if "volume_size_in_gb" not in given and spec.volume_gb is not None:
        changes["volume_size_in_gb"] = spec.volume_gb
    if "max_runtime_in_seconds" not in given:
        changes["max_runtime_in_seconds"] = spec.max_run
    return asked.model_copy(update=changes), tuple(notes)


def _runtime_notes(asked: Compute, spec: Launch) -> list[str]:
    if asked.max_cost is not None:
        return ["beyond max_cost may be billed what coming up and the upload take, which is not known here"]
    if "max_runtime_in_seconds" in asked.model_fields_set:
        return []
    return [f"the longest run is the spec's, {spec.max_run} seconds: a shorter one caps the cost"]


def _default_instance(spec: Launch) -> str:
    """The spec's default, unless a type of a family that is not retired stands beside it."""
    if family(spec.default_instance) not in _OLD_FAMILIES:
        return spec.default_instance
    newer = (name for name in spec.instances if family(name) not in {*_OLD_FAMILIES, "p3dn"})
    return next(newer, spec.default_instance)


def _channels(
    inputs: RouteInputs, spec: Launch, place: Place, compute: Compute, *, gated: bool
) -> list[dict[str, Any]]:
    rows = {training_channel(inputs.model): inputs.training}
    if inputs.validation:
        rows["validation"] = inputs.validation
    channels = [channel_of(name, place.uri(rows_prefix(data))) for name, data in rows.items()]
    model = channel_of("model", _artifact(inputs, spec, place, compute))
    model["ContentType"] = MODEL_CONTENT_TYPE
    if gated:
        model["DataSource"]["S3DataSource"]["ModelAccessConfig"] = {"AcceptEula": True}
    code = channel_of(CHANNEL_CODE, f"s3://{CONTENT_BUCKET}{place.region}/{spec.script}")
    return [*channels, model, code]


def _artifact(inputs: RouteInputs, spec: Launch, place: Place, compute: Compute) -> str:
    bucket = f"{GATED_BUCKET if spec.gated else CONTENT_BUCKET}{place.region}"
    key = spec.gated_artifacts.get(family(compute.instance_type)) or spec.artifact
    if not key:
        families = ", ".join(sorted(spec.gated_artifacts))
        raise UnsupportedError(
            f"the weights of {inputs.model.model_id} for {compute.instance_type} are not in its spec; it has "
            f"those for {families}",
            feature=f"{inputs.model.model_id} on {compute.instance_type}",
        )
    return f"s3://{bucket}/{key}"


def _notes(inputs: RouteInputs, spec: Launch, table: Table) -> list[str]:
    listed = inputs.model.version
    older = (
        f"the request follows version {spec.version} of the model's spec ({spec.source}, {spec.date}); the "
        f"table of 2025-06-23 lists {listed}"
    )
    notes = [older] if listed and listed != spec.version else []
    if inputs.stand_in is not None:
        notes.append(stand_in_note(inputs.stand_in.model_id, inputs.model.model_id))
    return [*notes, *(note for note in (spec.note, table.note) if note)]
