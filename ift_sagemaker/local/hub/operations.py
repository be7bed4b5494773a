"""Hub operations of SageMaker: the public hub, of which the local AWS has one, read-only."""

from __future__ import annotations

import json
from typing import Any

from ift_sagemaker.local.hub import formats
from ift_sagemaker.local.hub.record import HubModel, hub_models
from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.state.paging import Listing, listed
from ift_sagemaker.local.state.settings import Context

PUBLIC_HUB = "SageMakerPublicHub"
MODEL_TYPE = "Model"
SCHEMA_VERSION = "2.3.0"

_CONTENT_FIELDS = (
    "HubContentName",
    "HubContentArn",
    "HubContentVersion",
    "HubContentType",
    "DocumentSchemaVersion",
    "HubContentDisplayName",
    "HubContentDescription",
    "SupportStatus",
    "HubContentSearchKeywords",
    "HubContentStatus",
    "CreationTime",
    "OriginalCreationTime",
)
_CONTENTS = Listing(
    "HubContentSummaries", "HubContentName", _CONTENT_FIELDS, "HubContentStatus", order="Descending"
)
_HUBS = Listing(
    "HubSummaries",
    "HubName",
    (
        "HubName",
        "HubArn",
        "HubDisplayName",
        "HubDescription",
        "HubStatus",
        "CreationTime",
        "LastModifiedTime",
    ),
    "HubStatus",
)
_SORT = {"HubName": "Name", "HubStatus": "Status", "HubContentName": "Name", "HubContentStatus": "Status"}


def describe_hub(context: Context, params: dict[str, Any]) -> dict[str, Any]:
    _require_public(context, params["HubName"])
    return _hub(context)


def list_hubs(context: Context, params: dict[str, Any]) -> dict[str, Any]:
    return listed([_hub(context)], _sorted(params), _HUBS)


def describe_hub_content(context: Context, params: dict[str, Any]) -> dict[str, Any]:
    model = _require_model(context, params)
    version = params.get("HubContentVersion", model.version)
    if version != model.version:
        raise _not_found(f"Version {version} of hub content {model.model_id} does not exist.")
    return {
        **_content(context, model),
        "HubName": PUBLIC_HUB,
        "HubArn": _hub_arn(context),
        "HubContentDocument": json.dumps(formats.hub_document(model)),
        "LastModifiedTime": model.published,
    }


def list_hub_contents(context: Context, params: dict[str, Any]) -> dict[str, Any]:
    _require_public(context, params["HubName"])
    offered = hub_models(context.settings.region) if _fits(params) else ()
    return listed([_content(context, model) for model in offered], _sorted(params), _CONTENTS)


def list_hub_content_versions(context: Context, params: dict[str, Any]) -> dict[str, Any]:
    model = _require_model(context, params)
    offered = _fits(params) and _version(params.get("MinVersion", model.version)) <= _version(model.version)
    return listed([_content(context, model)] if offered else [], _sorted(params), _CONTENTS)


def _fits(params: dict[str, Any]) -> bool:
    schema = params.get("MaxSchemaVersion", SCHEMA_VERSION)
    return params["HubContentType"] == MODEL_TYPE and _version(SCHEMA_VERSION) <= _version(schema)


def _version(text: str) -> list[int]:
    return [int(part) for part in text.split(".")]


def _sorted(params: dict[str, Any]) -> dict[str, Any]:
    by = params.get("SortBy", "CreationTime")
    return {**params, "SortBy": _SORT.get(by, by)}


def _require_public(context: Context, hub: str) -> None:
    """Raises ResourceNotFound for any hub, by name or ARN, but the public one."""
    if hub not in (PUBLIC_HUB, _hub_arn(context)):
        raise _not_found(f"Hub {hub} does not exist; the local AWS has {PUBLIC_HUB}.")


def _require_model(context: Context, params: dict[str, Any]) -> HubModel:
    _require_public(context, params["HubName"])
    name, kind = params["HubContentName"], params["HubContentType"]
    offered = hub_models(context.settings.region)
    found = [model for model in offered if model.model_id == name and kind == MODEL_TYPE]
    if not found:
        known = ", ".join(model.model_id for model in offered)
        raise _not_found(
            f"Hub content {name} of type {kind} does not exist in {PUBLIC_HUB}; the local AWS has {known}."
        )
    return found[0]


def _not_found(message: str) -> ServiceError:
    return ServiceError("ResourceNotFound", message)


def _hub_arn(context: Context) -> str:
    return f"arn:aws:sagemaker:{context.settings.region}:aws:hub/{PUBLIC_HUB}"


def _hub(context: Context) -> dict[str, Any]:
    published = [model.published for model in hub_models(context.settings.region)]
    return {
        "HubName": PUBLIC_HUB,
        "HubArn": _hub_arn(context),
        "HubDisplayName": "SageMaker Public Hub",
        "HubDescription": "The models that the local AWS of ift_sagemaker trains",
        "HubStatus": "InService",
        "CreationTime": min(published),
        "LastModifiedTime": max(published),
    }


def _content(context: Context, model: HubModel) -> dict[str, Any]:
    start = f"arn:aws:sagemaker:{context.settings.region}:aws:hub-content/{PUBLIC_HUB}/{MODEL_TYPE}"
    return {
        "HubContentName": model.model_id,
        "HubContentArn": f"{start}/{model.model_id}/{model.version}",
        "HubContentVersion": model.version,
        "HubContentType": MODEL_TYPE,
        "DocumentSchemaVersion": SCHEMA_VERSION,
        "HubContentDisplayName": model.display_name,
        "HubContentDescription": model.description,
        "SupportStatus": "Supported",
        "HubContentSearchKeywords": list(model.keywords),
        "HubContentStatus": "Available",
        "CreationTime": model.published,
        "OriginalCreationTime": model.published,
    }


OPERATIONS = {
    "DescribeHub": describe_hub,
    "ListHubs": list_hubs,
    "DescribeHubContent": describe_hub_content,
    "ListHubContents": list_hub_contents,
    "ListHubContentVersions": list_hub_content_versions,
}
