"""What may refuse a request, and what may only be remarked."""

from __future__ import annotations

import pytest

from ift_sagemaker.contract import rules
from ift_sagemaker.contract.rule import Rule
from tests.unit.contract.requests import CHANNEL, changed
from tests.unit.contract.test_rules import BY_ID, CASES, COUNTED, GROUPS, SERVERLESS_JOB, resources


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.id)
def test_a_rule_refuses_only_on_what_aws_or_a_public_thread_says(rule: Rule) -> None:
    unproven = "general knowledge" in rule.source or "SDK" in rule.source
    assert not (unproven and rule.effect == "refused")


@pytest.mark.parametrize(
    "rule_id",
    [
        "training.checkpoint-path",
        "training.file-system-vpc",
        "training.one-gated-mechanism",
        "training.model-channel-file",
        "endpointconfig.weights-positive",
        "endpointconfig.scaling-range",
        "model.source-names-unique",
    ],
)
def test_a_doubtful_rule_refuses_nothing_and_is_a_remark(rule_id: str) -> None:
    operation, fired = BY_ID[rule_id].operation, CASES[rule_id].fired
    assert BY_ID[rule_id].effect == "doubtful"
    assert rules.violations(operation, fired) == []
    assert any(text.endswith(f"[{rule_id}]") for text in rules.remarks(operation, fired))


def test_a_serverless_job_reads_its_model_channel_as_it_likes() -> None:
    channel = changed(CHANNEL, ContentType="application/x-sagemaker-model", InputMode=None)
    job = {**SERVERLESS_JOB, "InputDataConfig": [channel]}
    assert rules.violations("CreateTrainingJob", job) == []
    assert rules.remarks("CreateTrainingJob", job) == []


@pytest.mark.parametrize("field", ["InstanceType", "InstanceGroups", "InstancePlacementConfig"])
def test_instance_preferences_stand_alone(field: str) -> None:
    others = {
        "InstanceType": "ml.g5.xlarge",
        "InstanceGroups": GROUPS,
        "InstancePlacementConfig": {"EnableMultipleJobs": True},
    }
    (found,) = rules.violations(
        "CreateTrainingJob", resources(InstancePreferences=COUNTED, **{field: others[field]})
    )
    assert f"ResourceConfig.{field} does not go with InstancePreferences" in found
