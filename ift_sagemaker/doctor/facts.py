"""What was found out, as plain values, and what could not be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ift_sagemaker.aws.account import Decision, RoleSeen
from ift_sagemaker.aws.client import Identity
from ift_sagemaker.catalog.models import FoundationModel
from ift_sagemaker.catalog.prices import Price

ABSENT, DENIED, NOT_OFFERED, UNREACHABLE, NOT_ASKED, WRONG = (
    "absent",
    "denied",
    "not offered here",
    "unreachable",
    "not asked",
    "wrong",
)


@dataclass(frozen=True)
class Unknown:
    """A fact that is not known: `kind` is one of the above, `why` AWS's words or ours."""

    kind: str
    why: str = ""
    operation: str = ""


@dataclass(frozen=True)
class Facts:
    """Everything a verdict rests on. An Unknown stands wherever a value could not be had.

    `caller` is the ARN that policies hang on (the role of an assumed role). `needs_of_role` and
    `needs_of_caller` are what the policies were asked for, with the answers.
    """

    target: str
    instance_type: str
    endpoint_instance_type: str
    spot: bool = False
    kms_key: str | None = None
    region: str | Unknown = Unknown(NOT_ASKED)
    identity: Identity | Unknown = Unknown(NOT_ASKED)
    caller: str = ""
    role_arn: str | None = None
    role: RoleSeen | Unknown = Unknown(NOT_ASKED)
    needs_of_role: tuple[Decision, ...] | Unknown = Unknown(NOT_ASKED)
    needs_of_caller: tuple[Decision, ...] | Unknown = Unknown(NOT_ASKED)
    bucket: str = ""
    own_bucket: bool = False
    """Whether the bucket was named, so that it is not made when missing."""
    bucket_region: str | Unknown = Unknown(NOT_ASKED)
    public_access: Mapping[str, bool] | Unknown = Unknown(NOT_ASKED)
    lifecycle: tuple[Mapping[str, Any], ...] | Unknown = Unknown(NOT_ASKED)
    quotas: Mapping[str, float] | Unknown = Unknown(NOT_ASKED)
    image: str | Unknown = Unknown(NOT_ASKED)
    model: FoundationModel | Unknown = Unknown(NOT_ASKED)
    road: str | Unknown = Unknown(NOT_ASKED)
    """The route by which the model is tuned today."""
    weights_pulled: bool = False
    prices: Mapping[str, Price | None] = field(default_factory=dict)
    machine: Mapping[str, Any] | Unknown = Unknown(NOT_ASKED)
    """Of the local AWS: runner, engines, free bytes, what runs."""
