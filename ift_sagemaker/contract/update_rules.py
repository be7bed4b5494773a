"""What UpdateEndpoint demands beyond its shape."""

from __future__ import annotations

from collections.abc import Iterator

from ift_sagemaker.contract import hosting_checks as hosting
from ift_sagemaker.contract.rule import Check, Effect, Request, Rule, is_true, present
from ift_sagemaker.contract.shared_rules import MODEL

OPERATION = "UpdateEndpoint"
_KNOWN = "general knowledge"
_READ = "2026-11-23"


def excluded_without_retained(params: Request) -> Iterator[str]:
    given = present(params, ("ExcludeRetainedVariantProperties",))
    if given and not is_true(params, "RetainAllVariantProperties"):
        yield "ExcludeRetainedVariantProperties acts only where RetainAllVariantProperties is true"


def one_deployment_source(params: Request) -> Iterator[str]:
    if present(params, ("DeploymentConfig",)) and is_true(params, "RetainDeploymentConfig"):
        yield "DeploymentConfig and RetainDeploymentConfig: the last deployment's configuration, or a new one"


def _rule(name: str, sentence: str, source: str, function: Check, effect: Effect = "refused") -> Rule:
    return Rule(f"update.{name}", OPERATION, sentence, source, _READ, function, effect)


UPDATE_RULES: tuple[Rule, ...] = (
    _rule(
        "one-update-policy",
        "A deployment has one update policy.",
        f"{MODEL}: DeploymentConfig.BlueGreenUpdatePolicy",
        hosting.one_update_policy,
    ),
    _rule(
        "deployment-timeout",
        "The deployment's timeout is over its waiting times.",
        f"{MODEL}: BlueGreenUpdatePolicy.MaximumExecutionTimeoutInSeconds",
        hosting.deployment_timeout,
    ),
    _rule(
        "traffic-step",
        "CANARY needs CanarySize, LINEAR needs LinearStepSize.",
        _KNOWN,
        hosting.traffic_step,
        "doubtful",
    ),
    _rule(
        "excluded-without-retained",
        "Properties are excluded from being retained only where all are retained.",
        f"{MODEL}: UpdateEndpointInput.ExcludeRetainedVariantProperties",
        excluded_without_retained,
        "ignored",
    ),
    _rule(
        "one-deployment-source",
        "An update brings its own deployment configuration or keeps the last.",
        _KNOWN,
        one_deployment_source,
        "doubtful",
    ),
)
