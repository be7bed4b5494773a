"""Who sends a request: the account's root, or the session of a role that was assumed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ift_sagemaker.local.protocol.request import Request
from ift_sagemaker.local.state.settings import Context

SESSION = "sts-session"
_ACCESS_KEY = re.compile(r"Credential=(?P<key>[^/,]+)/")


@dataclass(frozen=True)
class Caller:
    """`arn` and `user_id` as GetCallerIdentity tells them."""

    arn: str
    user_id: str


Handler = Callable[[Context, Caller, dict[str, Any]], dict[str, Any]]


def root_of(context: Context) -> Caller:
    """The account's root, as whom everybody calls who has not assumed a role."""
    account = context.settings.account
    return Caller(f"arn:aws:iam::{account}:root", account)


def caller_of(context: Context, request: Request) -> Caller:
    """The sender, by the access key of the signature, which itself is not checked."""
    signed = request.query.get("X-Amz-Credential", "")
    text = f"Credential={signed}" if signed else request.headers.get("authorization", "")
    found = _ACCESS_KEY.search(text)
    session = context.store.get(SESSION, found["key"]) if found else None
    return Caller(session["Arn"], session["UserId"]) if session else root_of(context)
