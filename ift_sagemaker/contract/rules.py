"""What AWS demands of a request beyond its shapes, as a table: pre-flight for the SDK, law for the local AWS.

Every rule can be decided from the request alone and carries its source and the day it was read. Rules that
rest on general knowledge, or on the source of an SDK, refuse nothing: they are remarks. What rests on more
than the request stands in `state_rules`; in which words AWS refuses, in `wordings`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ift_sagemaker.contract.bedrock_rules import BEDROCK_RULES
from ift_sagemaker.contract.component_rules import COMPONENT_RULES
from ift_sagemaker.contract.hosting_rules import ENDPOINT_CONFIG_RULES, ENDPOINT_RULES, MODEL_RULES
from ift_sagemaker.contract.processing_rules import PROCESSING_RULES
from ift_sagemaker.contract.rule import Effect, Rule
from ift_sagemaker.contract.training_rules import TRAINING_RULES
from ift_sagemaker.contract.update_rules import UPDATE_RULES

RULES: tuple[Rule, ...] = (
    *TRAINING_RULES,
    *PROCESSING_RULES,
    *MODEL_RULES,
    *ENDPOINT_CONFIG_RULES,
    *ENDPOINT_RULES,
    *UPDATE_RULES,
    *COMPONENT_RULES,
    *BEDROCK_RULES,
)


def violations(operation: str, params: Mapping[str, Any]) -> list[str]:
    """Every rule that AWS would refuse `params` for, as text ending in the rule's id.

    Empty for operations without rules. A request of the wrong shape is read as far as it goes.
    """
    return _texts(operation, params, "refused")


def remarks(operation: str, params: Mapping[str, Any]) -> list[str]:
    """What AWS would accept and then not do, and what it may refuse; same form as `violations`."""
    return _texts(operation, params, "ignored", "doubtful")


def _texts(operation: str, params: Mapping[str, Any], *effects: Effect) -> list[str]:
    rules = [rule for rule in RULES if rule.operation == operation and rule.effect in effects]
    return [f"{found} [{rule.id}]" for rule in rules for found in rule.check(params)]
