"""Models, endpoint configurations and endpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ift_sagemaker.local.hosting import configuration
from ift_sagemaker.local.hosting import document as endpoint_document
from ift_sagemaker.local.hosting.backlog import DELETED, Backlog
from ift_sagemaker.local.hosting.revival import as_it_is
from ift_sagemaker.local.running.images import hosting_container
from ift_sagemaker.local.running.isolation import choose, engine_of
from ift_sagemaker.local.state.paging import Listing, page_of
from ift_sagemaker.local.state.resources import (
    ENDPOINT,
    ENDPOINT_CONFIG,
    MODEL,
    Document,
    arn_of,
    insert,
    invalid,
    missing,
    not_offered_yet,
    public,
    require,
    split_s3,
    taken,
)
from ift_sagemaker.local.state.settings import Context
from ift_sagemaker.local.state.tags import IMAGE_TAG, RUNNER_TAG, merged
from ift_sagemaker.local.supervision.folders import Workplace
from ift_sagemaker.local.supervision.launch import begin
from ift_sagemaker.local.supervision.reconcile import current, listed_current, reconcile

_MODELS = Listing("Models", "ModelName", ("ModelName", "ModelArn", "CreationTime"))
_CONFIGS = Listing(
    "EndpointConfigs", "EndpointConfigName", ("EndpointConfigName", "EndpointConfigArn", "CreationTime")
)
_ENDPOINTS = Listing(
    "Endpoints",
    "EndpointName",
    ("EndpointName", "EndpointArn", "CreationTime", "LastModifiedTime", "EndpointStatus"),
    "EndpointStatus",
)


def create_model(context: Context, params: dict[str, Any]) -> dict[str, Any]:
    name = params["ModelName"]
    arn = arn_of(context, MODEL, name)
    model = configuration.new_model(params, arn, context.clock())
    engine = engine_of(context.settings.runner)
    container = hosting_container(context.store.root, model["PrimaryContainer"]["Image"], engine)
    _check_model_data(context, model["PrimaryContainer"])
    model["_tags"] = merged(model["_tags"], [{"Key": IMAGE_TAG, "Value": container.executed}])
    insert(context, MODEL, name, model)
    return {"ModelArn": arn}


def _check_model_data(context: Context, container: Document) -> None:
    """AWS looks for the artefact when the model is created, not when it is deployed."""
    data = configuration.model_data(container)
    if data is None:
        return
    uri, is_object, _ = data
    bucket, key = split_s3(uri)
    found = context.objects.has_bucket(bucket) and (
        context.objects.get(bucket, key)
        if is_object
        else next(context.objects.list(bucket, key, limit=1), None)
    )
    if not found:
        raise invalid(f"Could not find model data at {uri}.")


def describe_model(context: Context, params: dict[str, Any]) -> dict[str, Any]:
    return public(require(context, MODEL, params["ModelName"]))


def list_models(context: Context, params: dict[str, Any]) -> dict[str, Any]:
    return page_of(context.store, MODEL, params, _MODELS)


def delete_model(context: Context, params: dict[str, Any]) -> dict[str, Any]:
    return _delete(context, MODEL, params["ModelName"])


def create_endpoint_config(context: Context, params: dict[str, Any]) -> dict[str, Any]:
    name = params["EndpointConfigName"]
    arn = arn_of(context, ENDPOINT_CONFIG, name)
    config = configuration.new_config(params, arn, context.clock())
    for variant in config["ProductionVariants"]:
        require(context, MODEL, variant["ModelName"])
    insert(context, ENDPOINT_CONFIG, name, config)
    return {"EndpointConfigArn": arn}


def describe_endpoint_config(context: Context, params: dict[str, Any]) -> dict[str, Any]:
    return public(require(context, ENDPOINT_CONFIG, params["EndpointConfigName"]))


def list_endpoint_configs(context: Context, params: dict[str, Any]) -> dict[str, Any]:
    return page_of(context.store, ENDPOINT_CONFIG, params, _CONFIGS)


def delete_endpoint_config(context: Context, params: dict[str, Any]) -> dict[str, Any]:
    return _delete(context, ENDPOINT_CONFIG, params["EndpointConfigName"])


def _delete(context: Context, kind: str, name: str) -> dict[str, Any]:
    if not context.store.delete(kind, name):
        raise missing(context, kind, name)
    return {}


def create_endpoint(context: Context, params: dict[str, Any]) -> dict[str, Any]:
    name = params["EndpointName"]
    arn = arn_of(context, ENDPOINT, name)
    found = context.store.get(ENDPOINT, name)
    if found is not None and current(context, ENDPOINT, found) is not None:
        raise taken(context, ENDPOINT, name)
    now, runner = context.clock(), choose(context.settings)
    fleet = _fleet(context, 1, params["EndpointConfigName"], now)
    endpoint = endpoint_document.new_endpoint(params, arn, now, context.settings, fleet)
    told = [{"Key": RUNNER_TAG, "Value": runner.name}, _image_tag(fleet)]
    endpoint |= {
        "_runner": runner.name,
        "_isolation": runner.isolation(network=True).record(),
        "_tags": merged(endpoint["_tags"], told),
    }
    begin(context, ENDPOINT, name, endpoint, context.settings.endpoint_slots)
    return {"EndpointArn": arn}


def _fleet(context: Context, number: int, config_name: str, now: float) -> Document:
    config = require(context, ENDPOINT_CONFIG, config_name)
    served = [_served(context, variant) for variant in config["ProductionVariants"]]
    return endpoint_document.new_fleet(number, config, served, now)


def _served(context: Context, variant: Document) -> endpoint_document.Served:
    model = require(context, MODEL, variant["ModelName"])
    engine = engine_of(context.settings.runner)
    container = hosting_container(context.store.root, model["PrimaryContainer"]["Image"], engine)
    return endpoint_document.Served(variant, model, container)


def _image_tag(fleet: Document) -> dict[str, str]:
    executed = dict.fromkeys(variant["executed"] for variant in fleet["variants"])
    return {"Key": IMAGE_TAG, "Value": " ".join(executed)[:256]}


def describe_endpoint(context: Context, params: dict[str, Any]) -> dict[str, Any]:
    return public(current_endpoint(context, params["EndpointName"]))


def current_endpoint(context: Context, name: str) -> Document:
    """The endpoint as it truly is; a ServiceError where there is none."""
    endpoint = as_it_is(context, require(context, ENDPOINT, name))
    if endpoint is None:
        raise missing(context, ENDPOINT, name)
    return endpoint


def list_endpoints(context: Context, params: dict[str, Any]) -> dict[str, Any]:
    return listed_current(context, ENDPOINT, params, _ENDPOINTS, lambda found: as_it_is(context, found))


def update_endpoint(context: Context, params: dict[str, Any]) -> dict[str, Any]:
    """A blue/green update: the endpoint's supervisor brings the new fleet up and moves all traffic at once.

    Of DeploymentConfig the termination wait is honoured and the rest echoed: on one instance there are no
    steps to take traffic in.
    """
    name, now = params["EndpointName"], context.clock()
    _check_deployment(params.get("DeploymentConfig", {}))
    there = current_endpoint(context, name)
    _refuse_in_progress(there)
    fleet = _fleet(context, there["_fleet"]["number"] + 1, params["EndpointConfigName"], now)
    _check_variants(there, fleet, params)

    def change(endpoint: Document) -> Document:
        _refuse_in_progress(endpoint)
        _refuse_failed(endpoint)
        number = max(endpoint["_fleet"]["number"], endpoint.get("_last_number", 0)) + 1
        following = _retaining({**fleet, "number": number}, endpoint, params)
        kept = endpoint.get("LastDeploymentConfig") if params.get("RetainDeploymentConfig") else None
        deployment = params.get("DeploymentConfig") or kept
        updating = endpoint_document.updating(endpoint, following, deployment, now)
        return {**updating, "_last_number": number, "_tags": merged(endpoint["_tags"], [_image_tag(fleet)])}

    return _changed(context, name, change)


def _changed(context: Context, name: str, change: Any) -> dict[str, Any]:
    try:
        return {"EndpointArn": context.store.update(ENDPOINT, name, change)["EndpointArn"]}
    except KeyError:
        raise missing(context, ENDPOINT, name) from None


def _check_deployment(deployment: Mapping[str, Any]) -> None:
    if deployment.get("AutoRollbackConfiguration", {}).get("Alarms"):
        raise not_offered_yet("DeploymentConfig with AutoRollbackConfiguration.Alarms")


def _check_variants(endpoint: Document, fleet: Document, params: Mapping[str, Any]) -> None:
    """Source: https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-exclusions.html."""
    old = {variant["name"] for variant in endpoint["_fleet"]["variants"]}
    new = {variant["name"] for variant in fleet["variants"]}
    if params.get("DeploymentConfig") and old != new:
        raise invalid(
            "A blue/green or rolling deployment needs the same variant names in both configurations:"
            f" {', '.join(sorted(old))} and {', '.join(sorted(new))}"
        )
    if bool(endpoint["_fleet"]["async"]) != bool(fleet["async"]):
        raise not_offered_yet("UpdateEndpoint between real-time and asynchronous inference")


def _retaining(fleet: Document, endpoint: Document, params: Mapping[str, Any]) -> Document:
    """The fleet with the endpoint's own weights where the request retains them; its count is always 1."""
    excluded = {one["VariantPropertyType"] for one in params.get("ExcludeRetainedVariantProperties", [])}
    if not params.get("RetainAllVariantProperties") or "DesiredWeight" in excluded:
        return fleet
    return endpoint_document.with_weights(fleet, endpoint_document.weights_of(endpoint))


def _refuse_in_progress(endpoint: Document) -> None:
    """Reported in aws/amazon-sagemaker-examples, thread 3432."""
    if endpoint["EndpointStatus"] in (*endpoint_document.IN_PROGRESS, "Deleting"):
        raise invalid(f'Cannot update in-progress endpoint "{endpoint["EndpointArn"]}".')


def _refuse_failed(endpoint: Document) -> None:
    """The service's model: DeleteEndpoint is all that a failed endpoint takes; the wording is ours."""
    if endpoint["EndpointStatus"] == "Failed":
        raise invalid(f'Cannot update failed endpoint "{endpoint["EndpointArn"]}"; it can only be deleted.')


def update_endpoint_weights_and_capacities(context: Context, params: dict[str, Any]) -> dict[str, Any]:
    """Other weights, at once; a count other than the one instance there is, is refused."""
    weights: dict[str, float] = {}
    for wanted in params["DesiredWeightsAndCapacities"]:
        if wanted.get("ServerlessUpdateConfig"):
            raise not_offered_yet("UpdateEndpointWeightsAndCapacities with ServerlessUpdateConfig")
        if wanted.get("DesiredInstanceCount", 1) != 1:
            raise not_offered_yet(f"a production variant on {wanted['DesiredInstanceCount']} instances")
        if "DesiredWeight" in wanted:
            weights[wanted["VariantName"]] = wanted["DesiredWeight"]
    named = {wanted["VariantName"] for wanted in params["DesiredWeightsAndCapacities"]}
    current_endpoint(context, params["EndpointName"])

    def change(endpoint: Document) -> Document:
        _refuse_in_progress(endpoint)
        _refuse_failed(endpoint)
        there = endpoint_document.weights_of(endpoint)
        if unknown := sorted(named - there.keys()):
            raise invalid(f"The endpoint has no variant {', '.join(unknown)}")
        if not any((there | weights).values()):
            raise invalid("Every weight would be 0, so no variant would get traffic")
        return endpoint_document.reweighted(endpoint, weights, context.clock())

    return _changed(context, params["EndpointName"], change)


def delete_endpoint(context: Context, params: dict[str, Any]) -> dict[str, Any]:
    """Marks the endpoint; its supervisor ends it, or, where that is dead, it is ended here and now.

    As on AWS, an endpoint in the making cannot be deleted (aws/amazon-sagemaker-examples, thread 3432).
    """
    name = params["EndpointName"]
    current_endpoint(context, name)

    def change(endpoint: Document) -> Document:
        if endpoint["EndpointStatus"] != "Deleting":
            _refuse_in_progress(endpoint)
        return endpoint_document.deleting(endpoint, context.clock())

    try:
        endpoint = context.store.update(ENDPOINT, name, change)
    except KeyError:
        raise missing(context, ENDPOINT, name) from None
    if reconcile(context, ENDPOINT, name) is None and endpoint["_fleet"]["async"]:
        place = Workplace.of(context.store.root, ENDPOINT, name)
        Backlog(context, endpoint, place, lambda _: None).abandon(DELETED)
    return {}


OPERATIONS = {
    "CreateModel": create_model,
    "DescribeModel": describe_model,
    "ListModels": list_models,
    "DeleteModel": delete_model,
    "CreateEndpointConfig": create_endpoint_config,
    "DescribeEndpointConfig": describe_endpoint_config,
    "ListEndpointConfigs": list_endpoint_configs,
    "DeleteEndpointConfig": delete_endpoint_config,
    "CreateEndpoint": create_endpoint,
    "DescribeEndpoint": describe_endpoint,
    "ListEndpoints": list_endpoints,
    "DeleteEndpoint": delete_endpoint,
    "UpdateEndpoint": update_endpoint,
    "UpdateEndpointWeightsAndCapacities": update_endpoint_weights_and_capacities,
}
