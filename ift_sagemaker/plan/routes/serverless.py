"""Route `serverless`: a training job without image or machines; the weights land in a model package."""

from __future__ import annotations

from typing import Any

from ift_sagemaker.catalog.hyperparameters import recipe_table, to_wire
from ift_sagemaker.catalog.recipes import recipes
from ift_sagemaker.contract import names
from ift_sagemaker.errors import UnsupportedError
from ift_sagemaker.plan.calls import Call, RoutePlan
from ift_sagemaker.plan.plans import PREFIX, Place, tag_list
from ift_sagemaker.plan.routes.container import add_compute, channel_of, rows_prefix, rows_uploads
from ift_sagemaker.plan.routes.job import RouteInputs

HUB = "SageMakerPublicHub"
_LENGTHS = ("dataset_max_len", "max_length", "max_context_length")


def plan_serverless(inputs: RouteInputs, place: Place, attempt: int = 1) -> RoutePlan:
    """The plan of one attempt: the package group first, which may be there already, then the job.

    Only hyperparameters that were asked for are sent; for the rest the service's recipe has its own.
    """
    inputs.require_region(place)
    inputs.refuse_instances()
    inputs.refuse_cost_limit()
    technique, _, peft = inputs.technique().partition("-")
    inputs.require_eula()
    sent = hyperparameters_of(inputs)
    fingerprint = inputs.fingerprint(sent, technique=technique, peft=peft)
    name = names.job_name(inputs.model.model_id, fingerprint, attempt)
    group = PREFIX + "-" + names.slug(inputs.model.model_id)
    partition = place.role.split(":")[1]
    job: dict[str, Any] = {
        "BaseModelArn": f"arn:{partition}:sagemaker:{place.region}:aws:hub-content/{HUB}/Model/"
        f"{inputs.model.model_id}",
        "JobType": "FineTuning",
        "CustomizationTechnique": technique,
        **({"Peft": peft} if peft else {}),
        **({"AcceptEula": True} if inputs.spec.customization.accept_eula else {}),
    }
    tags = tag_list(inputs.tags(fingerprint))
    request: dict[str, Any] = {
        "TrainingJobName": name,
        "RoleArn": place.role,
        **({"HyperParameters": sent} if sent else {}),
        "InputDataConfig": _channels(inputs, place),
        "OutputDataConfig": {"S3OutputPath": place.uri(f"{PREFIX}/jobs")},
        "ServerlessJobConfig": job,
        "ModelPackageConfig": {
            "ModelPackageGroupArn": f"arn:{partition}:sagemaker:{place.region}:{place.account}:"
            f"model-package-group/{group}"
        },
        "StoppingCondition": {"MaxRuntimeInSeconds": inputs.spec.compute.max_runtime_in_seconds},
        "Tags": tags,
    }
    add_compute(request, inputs.spec.compute)
    held_out = rows_uploads(inputs.validation) if inputs.validation else ()
    return RoutePlan(
        route="serverless",
        model_id=inputs.model.model_id,
        name=name,
        fingerprint=fingerprint,
        place=place,
        uploads=(*rows_uploads(inputs.training), *held_out),
        calls=(
            Call("sagemaker", "CreateModelPackageGroup", {"ModelPackageGroupName": group, "Tags": tags}),
            Call("sagemaker", "CreateTrainingJob", request),
        ),
        rows=inputs.training.count,
        notes=(
            "charged by the token, at prices that are not in this catalogue; the longest run does not cap it",
        ),
    )


def hyperparameters_of(inputs: RouteInputs) -> dict[str, str]:
    """What was asked for, checked by the template of the model's recipe. Empty where nothing was."""
    asked = inputs.spec.hyperparameters
    customization = inputs.spec.customization
    peft = "" if customization.full else "LORA"
    found = recipes(inputs.model.model_id, customization.technique, peft)
    if not asked:
        return {}
    if not found:
        what = f"{customization.technique} {peft or 'with all weights'}"
        raise UnsupportedError(
            f"no recipe of {inputs.model.model_id} for {what} is in this catalogue, so its hyperparameters "
            "are not known; without any, the service's own apply",
            feature=f"hyperparameters of {inputs.model.model_id}",
        )
    longest = max((recipe.max_length or 0 for recipe in found), default=0)
    at_most = {name: longest for name in _LENGTHS if longest and name in asked}
    return to_wire(recipe_table(inputs.model, found[0]).check(asked, at_most=at_most))


def _channels(inputs: RouteInputs, place: Place) -> list[dict[str, Any]]:
    rows = {"train": inputs.training}
    if inputs.validation:
        rows["validation"] = inputs.validation
    channels = []
    for name, data in rows.items():
        channel = channel_of(name, place.uri(rows_prefix(data)))
        del channel["InputMode"]
        if inputs.model.family == "nova":
            channel["DataSource"]["S3DataSource"]["S3DataType"] = "Converse"
        channels.append(channel)
    return channels
