"""STS: who the caller is, and credentials for a role.

The local AWS checks no signature, so any credentials work; those handed out here differ in one thing: who
uses them is told to be the role.
"""

from __future__ import annotations

import re
import secrets
from typing import Any

from ift_sagemaker.local.identity import roles
from ift_sagemaker.local.identity.caller import SESSION, Caller, Handler
from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.state.settings import Context

DEFAULT_ROLE_SESSION = 3600
DEFAULT_TOKEN_SESSION = 43_200
LONGEST_ROLE_SESSION = 43_200
"""The most that STS gives; a session's name is kept that long."""
_KEY_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_ROLE_ARN = re.compile(r"arn:aws[a-z-]*:iam::(?P<account>\d{12}):role/(?:.*/)?(?P<name>[^/]+)")


def get_caller_identity(context: Context, caller: Caller, _: dict[str, Any]) -> dict[str, Any]:
    return {"Arn": caller.arn, "UserId": caller.user_id, "Account": context.settings.account}


def assume_role(context: Context, caller: Caller, params: dict[str, Any]) -> dict[str, Any]:
    """Credentials whose owner is the role; a ServiceError AccessDenied for a role that is not here."""
    arn, session = params["RoleArn"], params["RoleSessionName"]
    role = _role_at(context, arn)
    if role is None:
        raise ServiceError(
            "AccessDenied",
            f"User: {caller.arn} is not authorized to perform: sts:AssumeRole on resource: {arn}",
            403,
        )
    user = {
        "Arn": f"arn:aws:sts::{context.settings.account}:assumed-role/{role['RoleName']}/{session}",
        "UserId": f"{role['RoleId']}:{session}",
    }
    credentials = _credentials(context, params.get("DurationSeconds", DEFAULT_ROLE_SESSION))
    context.store.forget(SESSION, context.clock() - LONGEST_ROLE_SESSION)
    # kept for its name alone: secret and token are never looked at again
    context.store.insert(SESSION, credentials["AccessKeyId"], user)
    return {
        "Credentials": credentials,
        "AssumedRoleUser": {"AssumedRoleId": user["UserId"], "Arn": user["Arn"]},
    }


def get_session_token(context: Context, _: Caller, params: dict[str, Any]) -> dict[str, Any]:
    return {"Credentials": _credentials(context, params.get("DurationSeconds", DEFAULT_TOKEN_SESSION))}


def _role_at(context: Context, arn: str) -> dict[str, Any] | None:
    found = _ROLE_ARN.fullmatch(arn)
    if found is None or found["account"] != context.settings.account:
        return None
    role = roles.find(context, found["name"])
    return role if role is not None and role["Arn"] == arn else None


def _credentials(context: Context, seconds: int) -> dict[str, Any]:
    return {
        "AccessKeyId": "ASIA" + "".join(secrets.choice(_KEY_LETTERS) for _ in range(16)),
        "SecretAccessKey": secrets.token_urlsafe(30),
        "SessionToken": secrets.token_urlsafe(48),
        "Expiration": context.clock() + seconds,
    }


OPERATIONS: dict[str, Handler] = {
    "GetCallerIdentity": get_caller_identity,
    "AssumeRole": assume_role,
    "GetSessionToken": get_session_token,
}
