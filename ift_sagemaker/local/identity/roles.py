"""IAM's roles. One is there from the start: the execution role of the settings, which SageMaker may assume.

Messages are IAM's own as its API reference and boto3's issue threads quote them.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from ift_sagemaker.local.identity.caller import Caller, Handler, root_of
from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.state.settings import Context
from ift_sagemaker.local.state.tags import merged

ROLE = "iam-role"
Role = dict[str, Any]

_DEFAULT_PAGE = 100
_SHOWN = (
    "Path",
    "RoleName",
    "RoleId",
    "Arn",
    "CreateDate",
    "Description",
    "MaxSessionDuration",
    "Tags",
)
_TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "sagemaker.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}


def find(context: Context, name: str) -> Role | None:
    """The role of that name, the one that is always there included."""
    return context.store.get(ROLE, name) or _given(context, name)


def require(context: Context, name: str) -> Role:
    """The role; a ServiceError NoSuchEntity where there is none."""
    role = find(context, name)
    if role is None:
        raise no_such_entity(f"The role with name {name} cannot be found.")
    return role


def change(context: Context, name: str, update: Callable[[Role], Role]) -> Role:
    """The role after `update`."""
    role = require(context, name)
    if role.get("_given"):
        _keep(context, {key: value for key, value in role.items() if key != "_given"})
    try:
        return context.store.update(ROLE, name, update)
    except KeyError:
        raise no_such_entity(f"The role with name {name} cannot be found.") from None


def _keep(context: Context, role: Role) -> None:
    try:
        context.store.insert(ROLE, role["RoleName"], role)
    except KeyError:  # somebody else was first
        return


def no_such_entity(message: str) -> ServiceError:
    return ServiceError("NoSuchEntity", message, 404)


def policy_document(text: str) -> str:
    """The document, checked to be a JSON object; a ServiceError MalformedPolicyDocument where it is not."""
    try:
        whole = isinstance(json.loads(text), dict)
    except ValueError:
        whole = False
    if not whole:
        raise ServiceError("MalformedPolicyDocument", "This policy contains invalid Json")
    return text


def encoded(document: str) -> str:
    """A policy document as IAM's answers carry it: percent-encoded (RFC 3986)."""
    return quote(document, safe="")


def _given(context: Context, name: str) -> Role | None:
    path, _, given = context.settings.role_arn.partition(":role")[2].rpartition("/")
    if name != given:
        return None
    role = _new(context, name, f"{path}/", json.dumps(_TRUST))
    return {
        **role,
        "CreateDate": 0.0,
        "Description": "Execution role of the local AWS; it enforces no policies",
        "_given": True,
    }


def _new(context: Context, name: str, path: str, trust: str) -> Role:
    arn = f"arn:aws:iam::{context.settings.account}:role{path}{name}"
    digest = base64.b32encode(hashlib.sha256(arn.encode()).digest()).decode()
    return {
        "Path": path,
        "RoleName": name,
        "RoleId": f"AROA{digest[:17]}",
        "Arn": arn,
        "CreateDate": context.clock(),
        "MaxSessionDuration": 3600,
        "_trust": trust,
        "_attached": {},
        "_inline": {},
    }


def shown(role: Role, *, listed: bool = False) -> Role:
    """The role as an answer shows it; ListRoles leaves tags out."""
    names = [name for name in _SHOWN if not (listed and name == "Tags")]
    found = {name: role[name] for name in names if role.get(name) not in (None, [])}
    return {**found, "AssumeRolePolicyDocument": encoded(role["_trust"])}


def create_role(context: Context, _: Caller, params: dict[str, Any]) -> dict[str, Any]:
    if params.get("PermissionsBoundary"):
        raise ServiceError(
            "UnsupportedOperation", "CreateRole with PermissionsBoundary: not offered yet by the local AWS"
        )
    name = params["RoleName"]
    trust = policy_document(params["AssumeRolePolicyDocument"])
    role = _new(context, name, params.get("Path", "/"), trust)
    role |= {key: params[key] for key in ("Description", "MaxSessionDuration") if key in params}
    role["Tags"] = merged((), params.get("Tags", []))
    if find(context, name) is not None:
        raise _taken(name)
    try:
        context.store.insert(ROLE, name, role)
    except KeyError:
        raise _taken(name) from None
    return {"Role": shown(role)}


def _taken(name: str) -> ServiceError:
    return ServiceError("EntityAlreadyExists", f"Role with name {name} already exists.", 409)


def get_role(context: Context, _: Caller, params: dict[str, Any]) -> dict[str, Any]:
    return {"Role": shown(require(context, params["RoleName"]))}


def list_roles(context: Context, _: Caller, params: dict[str, Any]) -> dict[str, Any]:
    kept = {role["RoleName"]: role for role in context.store.list(ROLE)}
    given = find(context, context.settings.role_arn.rpartition("/")[2])
    if given is not None:
        kept.setdefault(given["RoleName"], given)
    prefix = params.get("PathPrefix", "/")
    found = [kept[name] for name in sorted(kept) if kept[name]["Path"].startswith(prefix)]
    return page([shown(role, listed=True) for role in found], "Roles", "RoleName", params)


def page(rows: list[Role], member: str, name: str, params: dict[str, Any]) -> dict[str, Any]:
    """One page of rows in the order of their names; the Marker is the name of the last one shown."""
    after = params.get("Marker", "")
    left = [row for row in rows if row[name] > after]
    size = params.get("MaxItems", _DEFAULT_PAGE)
    cut = (
        {"IsTruncated": True, "Marker": left[size - 1][name]} if len(left) > size else {"IsTruncated": False}
    )
    return {member: left[:size], **cut}


def delete_role(context: Context, _: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """Removes a role without policies; the settings' own role stays."""
    name = params["RoleName"]
    role = require(context, name)
    if role["_attached"]:
        raise _conflict("Cannot delete entity, must detach all policies first.")
    if role["_inline"]:
        raise _conflict("Cannot delete entity, must delete policies first.")
    if role["Arn"] == context.settings.role_arn:
        raise ServiceError(
            "UnmodifiableEntity", f"{name} is the execution role that the local AWS always has"
        )
    context.store.delete(ROLE, name)
    return {}


def _conflict(message: str) -> ServiceError:
    return ServiceError("DeleteConflict", message, 409)


def update_assume_role_policy(context: Context, _: Caller, params: dict[str, Any]) -> dict[str, Any]:
    trust = policy_document(params["PolicyDocument"])
    change(context, params["RoleName"], lambda role: {**role, "_trust": trust})
    return {}


def get_user(context: Context, _: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """The account's root: the local AWS has no users."""
    if "UserName" in params:
        raise no_such_entity(f"The user with name {params['UserName']} cannot be found.")
    root = root_of(context)
    return {"User": {"Path": "/", "UserId": root.user_id, "Arn": root.arn, "CreateDate": 0.0}}


OPERATIONS: dict[str, Handler] = {
    "CreateRole": create_role,
    "GetRole": get_role,
    "ListRoles": list_roles,
    "DeleteRole": delete_role,
    "UpdateAssumeRolePolicy": update_assume_role_policy,
    "GetUser": get_user,
}
