"""Route `bedrock`: CreateModelCustomizationJob. Base ids for tuning carry a context suffix (`:128k`)."""

from __future__ import annotations

from typing import Any

from ift_sagemaker.catalog.hyperparameters import bedrock_table, to_bedrock
from ift_sagemaker.contract import names
from ift_sagemaker.errors import UnsupportedError
from ift_sagemaker.plan.calls import Call, RoutePlan
from ift_sagemaker.plan.plans import PREFIX, Place
from ift_sagemaker.plan.routes.container import rows_prefix, rows_uploads
from ift_sagemaker.plan.routes.job import OFFERED_TECHNIQUES, RouteInputs
from ift_sagemaker.wire.rows import TRAIN_FILE

_TYPES = {"SFT": "FINE_TUNING"}


def plan_bedrock(inputs: RouteInputs, place: Place, attempt: int = 1) -> RoutePlan:
    """The plan of one attempt. The client token is the job's name, so that a repeat makes no second job."""
    inputs.require_region(place)
    inputs.refuse_instances()
    inputs.refuse_cost_limit()
    technique = _technique(inputs)
    asked = inputs.spec.hyperparameters
    sent = to_bedrock(bedrock_table(inputs.model).check(asked)) if asked else {}
    fingerprint = inputs.fingerprint(sent, technique=technique)
    name = names.job_name(inputs.model.model_id, fingerprint, attempt)
    compute = inputs.spec.compute
    tags = [{"key": key, "value": value} for key, value in sorted(inputs.tags(fingerprint).items())]
    request: dict[str, Any] = {
        "jobName": name,
        "customModelName": name,
        "roleArn": place.role,
        "clientRequestToken": name,
        "baseModelIdentifier": inputs.model.model_id,
        "customizationType": _TYPES[technique],
        "trainingDataConfig": {"s3Uri": place.uri(rows_prefix(inputs.training) + TRAIN_FILE)},
        "outputDataConfig": {"s3Uri": place.uri(f"{PREFIX}/jobs/{name}/")},
        **({"hyperParameters": sent} if sent else {}),
        "jobTags": tags,
        "customModelTags": tags,
    }
    uploads = [*rows_uploads(inputs.training)]
    if inputs.validation:
        uri = place.uri(rows_prefix(inputs.validation) + TRAIN_FILE)
        request["validationDataConfig"] = {"validators": [{"s3Uri": uri}]}
        uploads += rows_uploads(inputs.validation)
    if compute.output_kms_key:
        request["customModelKmsKeyId"] = compute.output_kms_key
    if compute.subnets:
        request["vpcConfig"] = {
            "subnetIds": list(compute.subnets),
            "securityGroupIds": list(compute.security_group_ids),
        }
    return RoutePlan(
        route="bedrock",
        model_id=inputs.model.model_id,
        name=name,
        fingerprint=fingerprint,
        place=place,
        uploads=tuple(uploads),
        calls=(Call("bedrock", "CreateModelCustomizationJob", request),),
        rows=inputs.training.count,
        notes=("charged by the token, and the custom model by the month; prices are not in this catalogue",),
    )


def _technique(inputs: RouteInputs) -> str:
    asked, offered = inputs.spec.customization.technique, inputs.road.techniques
    if asked not in OFFERED_TECHNIQUES or asked not in offered:
        has = ", ".join(offered) or "none"
        raise UnsupportedError(
            f"{asked} of {inputs.model.model_id} on Bedrock is not to be had here: the model has {has}, this "
            f"library offers {', '.join(OFFERED_TECHNIQUES)}",
            feature=f"technique {asked} on Bedrock",
        )
    return asked
