"""Verdicts on who may do what, with the IAM statements that are lacking. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ift_sagemaker.aws.account import Decision, RoleSeen
from ift_sagemaker.aws.operations import LOGS, PASSED_TO, Place, statement
from ift_sagemaker.doctor.facts import ABSENT, DENIED, NOT_ASKED, Facts, Unknown
from ift_sagemaker.doctor.report import MISSING, NOT_CHECKED, OK, Check

CALLER_POLICY = "a policy of the caller"
ROLE_POLICY = "a policy of the execution role"
TRUST_POLICY = "the trust policy of the execution role"
PASSING = "iam:PassRole"
TRUST_STATEMENT: Mapping[str, Any] = {
    "Effect": "Allow",
    "Principal": {"Service": PASSED_TO},
    "Action": "sts:AssumeRole",
}
_READING = {
    "GetRole": "iam:GetRole",
    "SimulatePrincipalPolicy": "iam:SimulatePrincipalPolicy",
    "list_service_quotas": "servicequotas:ListServiceQuotas",
    "list_aws_default_service_quotas": "servicequotas:ListAWSDefaultServiceQuotas",
    "GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
}


def not_checked(name: str, unknown: Unknown) -> Check:
    """A fact that could not be had is never a pass; where a right is lacking, the statement gives it."""
    action = _READING.get(unknown.operation)
    if unknown.kind == DENIED and action:
        return Check(
            name,
            NOT_CHECKED,
            f"the caller may not look ({action})",
            "add the statement below to have it checked",
            (statement([action], ["*"]),),
            CALLER_POLICY,
        )
    why = f"{unknown.kind}: {unknown.why}" if unknown.why else unknown.kind
    return Check(name, NOT_CHECKED, why)


def role_exists(facts: Facts) -> Check:
    if not facts.role_arn:
        return Check(
            "execution role",
            MISSING,
            "no execution role is named",
            "make one (docs/how-to/set-up-aws.md) and name it: --role, IFT_ROLE, or `role:` in the file",
        )
    if isinstance(facts.role, Unknown):
        if facts.role.kind == ABSENT:
            return Check(
                "execution role",
                MISSING,
                f"there is no role {facts.role_arn}",
                "make it (docs/how-to/set-up-aws.md), or name another",
            )
        return not_checked("execution role", facts.role)
    if facts.role.arn != facts.role_arn:
        return Check(
            "execution role",
            MISSING,
            f"its ARN is {facts.role.arn}, not {facts.role_arn}",
            f"name it by its whole ARN: --role {facts.role.arn}",
        )
    return Check("execution role", OK, facts.role_arn)


def trust(facts: Facts) -> Check:
    if isinstance(facts.role, Unknown):
        return not_checked("role trust", facts.role)
    if trusts_sagemaker(facts.role):
        return Check("role trust", OK, f"{PASSED_TO} may assume it")
    return Check(
        "role trust",
        MISSING,
        f"the trust policy does not let {PASSED_TO} assume it",
        "add the statement below to the role's trust policy",
        (dict(TRUST_STATEMENT),),
        TRUST_POLICY,
    )


def trusts_sagemaker(role: RoleSeen) -> bool:
    """Whether a statement lets SageMaker assume the role; its conditions are not weighed."""
    return any(_is_trust(one) for one in _listed(role.trust.get("Statement")))


def _is_trust(one: Any) -> bool:
    if not isinstance(one, Mapping) or one.get("Effect") != "Allow":
        return False
    principal = one.get("Principal")
    services = _listed(principal.get("Service")) if isinstance(principal, Mapping) else []
    actions = {str(action).lower() for action in _listed(one.get("Action"))}
    return PASSED_TO in services and bool(actions & {"sts:assumerole", "sts:*", "*"})


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def may_pass(facts: Facts, place: Place | None) -> Check:
    decisions = facts.needs_of_caller
    if isinstance(decisions, Unknown):
        return not_checked("pass the role", decisions)
    asked = [one for one in decisions if one.action.lower() == PASSING.lower()]
    if place is None or not asked:
        return not_checked("pass the role", Unknown(NOT_ASKED, "no execution role is named"))
    if all(one.allowed for one in asked):
        return Check("pass the role", OK, f"the caller may pass it to {PASSED_TO}")
    return Check(
        "pass the role",
        MISSING,
        "the caller may not pass the execution role to SageMaker",
        "add the statement below",
        (statement([PASSING], [place.role]),),
        CALLER_POLICY,
    )


def caller_may(facts: Facts) -> Check:
    name = "caller's permissions"
    if isinstance(facts.needs_of_caller, Unknown):
        return not_checked(name, facts.needs_of_caller)
    asked = [one for one in facts.needs_of_caller if one.action.lower() != PASSING.lower()]
    return _granted(name, asked, CALLER_POLICY, facts.target)


def role_may(facts: Facts) -> Check:
    name = "role's permissions"
    if isinstance(facts.needs_of_role, Unknown):
        return not_checked(name, facts.needs_of_role)
    return _granted(name, facts.needs_of_role, ROLE_POLICY, facts.target)


def _granted(name: str, asked: Iterable[Decision], policy: str, target: str) -> Check:
    decisions = list(asked)
    denied = [one for one in decisions if not one.allowed]
    if not decisions:
        return not_checked(name, Unknown(NOT_ASKED))
    actions = {one.action for one in denied}
    if not denied:
        count = len({one.action for one in decisions})
        note = (
            "the local AWS enforces no policies, so this tells nothing of AWS"
            if target == "local"
            else "policies of resources are not weighed"
        )
        return Check(name, OK, f"all {count} actions that a run needs ({note})")
    return Check(
        name,
        MISSING,
        f"{len(actions)} denied: {', '.join(sorted(actions))}",
        "add the statements below, or look for what denies them (an explicit Deny, a permissions boundary, "
        "the organisation)",
        tuple(_statements(denied)),
        policy,
    )


def _statements(denied: Iterable[Decision]) -> list[dict[str, Any]]:
    """One statement a set of resources; an example's name is turned back into the star it stood for."""
    by_action: dict[str, set[str]] = {}
    for one in denied:
        by_action.setdefault(one.action, set()).add(general(one.resource))
    by_resources: dict[tuple[str, ...], list[str]] = {}
    for action, resources in by_action.items():
        by_resources.setdefault(tuple(sorted(resources)), []).append(action)
    return [statement(actions, resources) for resources, actions in sorted(by_resources.items())]


EXAMPLE = "doctor"
"""In an ARN that a policy is asked about, where the policy itself has a star."""
LOG_EXAMPLE = "TrainingJobs:log-stream:doctor"


def example_of(on: str) -> str:
    """The example for a kind of resource; a policy may name a group of logs, so that is a real one."""
    return LOG_EXAMPLE if on == LOGS else EXAMPLE


def general(resource: str) -> str:
    """The ARN of which the one asked about is an example."""
    for example in (LOG_EXAMPLE, EXAMPLE):
        if resource.endswith((f"/{example}", f"-{example}")):
            return resource.removesuffix(example) + "*"
    return resource
