"""IAM's policies of roles: kept as they are given, and never enforced.

SimulatePrincipalPolicy therefore answers what is true of the local AWS: whoever is here may do everything.
"""

from __future__ import annotations

from typing import Any

from ift_sagemaker.local.identity import roles
from ift_sagemaker.local.identity.caller import Caller, Handler
from ift_sagemaker.local.identity.roles import Role, no_such_entity
from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.state.settings import Context

_MANAGED = "arn:aws:iam::aws:policy/"


def attach_role_policy(context: Context, _: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """Notes one of AWS's own policies, of any name; the account itself has none."""
    arn = params["PolicyArn"]
    if not arn.startswith(_MANAGED):
        raise no_such_entity(f"Policy {arn} does not exist or is not attachable.")
    name = arn.rpartition("/")[2]

    def attach(role: Role) -> Role:
        return {**role, "_attached": {**role["_attached"], arn: name}}

    roles.change(context, params["RoleName"], attach)
    return {}


def detach_role_policy(context: Context, _: Caller, params: dict[str, Any]) -> dict[str, Any]:
    arn = params["PolicyArn"]

    def detach(role: Role) -> Role:
        if arn not in role["_attached"]:
            raise no_such_entity(f"Policy {arn} was not found.")
        return {**role, "_attached": {key: name for key, name in role["_attached"].items() if key != arn}}

    roles.change(context, params["RoleName"], detach)
    return {}


def list_attached_role_policies(context: Context, _: Caller, params: dict[str, Any]) -> dict[str, Any]:
    attached = roles.require(context, params["RoleName"])["_attached"]
    rows = [{"PolicyName": name, "PolicyArn": arn} for arn, name in attached.items()]
    return roles.page(
        sorted(rows, key=lambda row: str(row["PolicyName"])), "AttachedPolicies", "PolicyName", params
    )


def put_role_policy(context: Context, _: Caller, params: dict[str, Any]) -> dict[str, Any]:
    name, document = params["PolicyName"], roles.policy_document(params["PolicyDocument"])

    def put(role: Role) -> Role:
        return {**role, "_inline": {**role["_inline"], name: document}}

    roles.change(context, params["RoleName"], put)
    return {}


def get_role_policy(context: Context, _: Caller, params: dict[str, Any]) -> dict[str, Any]:
    role, policy = params["RoleName"], params["PolicyName"]
    inline = roles.require(context, role)["_inline"]
    if policy not in inline:
        raise _no_policy(policy)
    return {"RoleName": role, "PolicyName": policy, "PolicyDocument": roles.encoded(inline[policy])}


def delete_role_policy(context: Context, _: Caller, params: dict[str, Any]) -> dict[str, Any]:
    policy = params["PolicyName"]

    def delete(role: Role) -> Role:
        if policy not in role["_inline"]:
            raise _no_policy(policy)
        return {**role, "_inline": {key: text for key, text in role["_inline"].items() if key != policy}}

    roles.change(context, params["RoleName"], delete)
    return {}


def _no_policy(name: str) -> ServiceError:
    return no_such_entity(f"The role policy with name {name} cannot be found.")


def list_role_policies(context: Context, _: Caller, params: dict[str, Any]) -> dict[str, Any]:
    inline = roles.require(context, params["RoleName"])["_inline"]
    found = roles.page([{"name": name} for name in sorted(inline)], "PolicyNames", "name", params)
    return {**found, "PolicyNames": [row["name"] for row in found["PolicyNames"]]}


def simulate_principal_policy(context: Context, _: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """`allowed` for every action on every resource, where the principal is one of the account's.

    That is the truth here, not on AWS: the local AWS enforces no policies.
    """
    source = params["PolicySourceArn"]
    start = f"arn:aws:iam::{context.settings.account}:role/"
    role = roles.find(context, source.rpartition("/")[2]) if source.startswith(start) else None
    if role is None or role["Arn"] != source:
        raise no_such_entity(f"The role with arn {source} cannot be found.")
    results = [
        {"EvalActionName": action, "EvalResourceName": resource, "EvalDecision": "allowed"}
        for action in params["ActionNames"]
        for resource in params.get("ResourceArns") or ["*"]
    ]
    return {"EvaluationResults": results, "IsTruncated": False}


OPERATIONS: dict[str, Handler] = {
    "AttachRolePolicy": attach_role_policy,
    "DetachRolePolicy": detach_role_policy,
    "ListAttachedRolePolicies": list_attached_role_policies,
    "PutRolePolicy": put_role_policy,
    "GetRolePolicy": get_role_policy,
    "DeleteRolePolicy": delete_role_policy,
    "ListRolePolicies": list_role_policies,
    "SimulatePrincipalPolicy": simulate_principal_policy,
}
