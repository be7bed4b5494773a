"""AddTags, ListTags, DeleteTags: tags live in the documents of their resources."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ift_sagemaker.local.state.paging import Listing, listed
from ift_sagemaker.local.state.resources import KINDS, Document, arn_of, invalid, missing, require
from ift_sagemaker.local.state.settings import Context

MAX_TAGS = 50
RUNNER_TAG = "ift:local-runner"
IMAGE_TAG = "ift:executed-image"
_PAGE = 50

Tag = dict[str, str]
_LISTING = Listing("Tags", "Key", ("Key", "Value"), order="Ascending")


def merged(there: Iterable[Tag], new: Iterable[Mapping[str, str]]) -> list[Tag]:
    """Tags with the new ones added; a key that is there gets the new value."""
    by_key = {tag["Key"]: dict(tag) for tag in there} | {tag["Key"]: dict(tag) for tag in new}
    return list(by_key.values())


def add_tags(context: Context, params: dict[str, Any]) -> dict[str, Any]:
    def change(document: Document) -> Document:
        tags = merged(document.get("_tags", []), params["Tags"])
        if len(tags) > MAX_TAGS:
            raise invalid(f"A resource has at most {MAX_TAGS} tags, here are {len(tags)}")
        return {**document, "_tags": tags}

    return {"Tags": _update(context, params["ResourceArn"], change)["_tags"]}


def delete_tags(context: Context, params: dict[str, Any]) -> dict[str, Any]:
    keys = set(params["TagKeys"])

    def change(document: Document) -> Document:
        return {**document, "_tags": [tag for tag in document.get("_tags", []) if tag["Key"] not in keys]}

    _update(context, params["ResourceArn"], change)
    return {}


def list_tags(context: Context, params: dict[str, Any]) -> dict[str, Any]:
    tags = require(context, *_resource(context, params["ResourceArn"])).get("_tags", [])
    wanted = {"SortBy": "Name", "MaxResults": _PAGE, **params}
    return listed(tags, wanted, _LISTING)


def _update(context: Context, arn: str, change: Any) -> Document:
    kind, name = _resource(context, arn)
    try:
        return context.store.update(kind, name, change)
    except KeyError:
        raise missing(context, kind, name) from None


def _resource(context: Context, arn: str) -> tuple[str, str]:
    """Kind and name in an ARN; a ServiceError where it is not one of this account and region."""
    kind, _, name = arn.rpartition(":")[2].partition("/")
    if kind not in KINDS or arn != arn_of(context, kind, name):
        raise invalid(f"The ARN {arn} names no taggable resource of this account and region")
    return kind, name


OPERATIONS = {"AddTags": add_tags, "DeleteTags": delete_tags, "ListTags": list_tags}
