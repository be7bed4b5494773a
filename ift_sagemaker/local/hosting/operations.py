"""Models, endpoint configurations and endpoints."""

from __future__ import annotations

from typing import Any

from ift_sagemaker.local.hosting import document as endpoint_document
from ift_sagemaker.local.running.images import hosting_container
from ift_sagemaker.local.running.isolation import choose, engine_of
from ift_sagemaker.local.state.paging import Listing, listed
from ift_sagemaker.local.state.resources import (
    ENDPOINT,
    ENDPOINT_CONFIG,
    MODEL,
    Document,
    arn_of,
    insert,
    invalid,
    missing,
    public,
    require,
    split_s3,
    taken,
)
from ift_sagemaker.local.state.settings import Context
from ift_sagemaker.local.state.tags import IMAGE_TAG, RUNNER_TAG, merged
from ift_sagemaker.local.supervision.launch import begin
from ift_sagemaker.local.supervision.reconcile import all_current, current, reconcile

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
    model = endpoint_document.new_model(params, arn, context.clock())
    engine = engine_of(context.settings.runner)
    container = hosting_container(context.store.root, model["PrimaryContainer"]["Image"], engine)
    _check_model_data(context, model["PrimaryContainer"])
    model["_tags"] = merged(model["_tags"], [{"Key": IMAGE_TAG, "Value": container.executed}])
    insert(context, MODEL, name, model)
    return {"ModelArn": arn}


def _check_model_data(context: Context, container: Document) -> None:
    """AWS looks for the artefact when the model is created, not when it is deployed."""
    data = endpoint_document.model_data(container)
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
    return listed(context.store.list(MODEL), params, _MODELS)


def delete_model(context: Context, params: dict[str, Any]) -> dict[str, Any]:
    return _delete(context, MODEL, params["ModelName"])


def create_endpoint_config(context: Context, params: dict[str, Any]) -> dict[str, Any]:
    name = params["EndpointConfigName"]
    arn = arn_of(context, ENDPOINT_CONFIG, name)
    config = endpoint_document.new_config(params, arn, context.clock())
    require(context, MODEL, config["ProductionVariants"][0]["ModelName"])
    insert(context, ENDPOINT_CONFIG, name, config)
    return {"EndpointConfigArn": arn}


def describe_endpoint_config(context: Context, params: dict[str, Any]) -> dict[str, Any]:
    return public(require(context, ENDPOINT_CONFIG, params["EndpointConfigName"]))


def list_endpoint_configs(context: Context, params: dict[str, Any]) -> dict[str, Any]:
    return listed(context.store.list(ENDPOINT_CONFIG), params, _CONFIGS)


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
    variant = require(context, ENDPOINT_CONFIG, params["EndpointConfigName"])["ProductionVariants"][0]
    model = require(context, MODEL, variant["ModelName"])
    runner = choose(context.settings)
    engine = engine_of(runner.name)
    container = hosting_container(context.store.root, model["PrimaryContainer"]["Image"], engine)
    endpoint = endpoint_document.new_endpoint(
        params,
        arn,
        context.clock(),
        settings=context.settings,
        variant=variant,
        model=model,
        container=container,
    )
    told = (
        {"Key": RUNNER_TAG, "Value": runner.name},
        {"Key": IMAGE_TAG, "Value": container.executed},
    )
    endpoint |= {
        "_runner": runner.name,
        "_isolation": runner.isolation(network=True).record(),
        "_tags": merged(endpoint["_tags"], told),
    }
    begin(context, ENDPOINT, name, endpoint, context.settings.endpoint_slots)
    return {"EndpointArn": arn}


def describe_endpoint(context: Context, params: dict[str, Any]) -> dict[str, Any]:
    return public(current_endpoint(context, params["EndpointName"]))


def current_endpoint(context: Context, name: str) -> Document:
    """The endpoint as it truly is; a ServiceError where there is none."""
    endpoint = current(context, ENDPOINT, require(context, ENDPOINT, name))
    if endpoint is None:
        raise missing(context, ENDPOINT, name)
    return endpoint


def list_endpoints(context: Context, params: dict[str, Any]) -> dict[str, Any]:
    return listed(all_current(context, ENDPOINT), params, _ENDPOINTS)


def delete_endpoint(context: Context, params: dict[str, Any]) -> dict[str, Any]:
    """Marks the endpoint; its supervisor ends it, or, where that is dead, it is ended here and now.

    As on AWS, an endpoint in the making cannot be deleted (reported in aws/amazon-sagemaker-examples 3432).
    """
    name = params["EndpointName"]
    current_endpoint(context, name)

    def change(endpoint: Document) -> Document:
        if endpoint["EndpointStatus"] in endpoint_document.IN_PROGRESS:
            raise invalid(f'Cannot update in-progress endpoint "{endpoint["EndpointArn"]}".')
        return endpoint_document.deleting(endpoint, context.clock())

    try:
        context.store.update(ENDPOINT, name, change)
    except KeyError:
        raise missing(context, ENDPOINT, name) from None
    reconcile(context, ENDPOINT, name)
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
}
