"""Verdicts are made of facts alone: what is missing is told with what to add, what is unknown is no pass."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from ift_sagemaker.aws.account import Decision, RoleSeen
from ift_sagemaker.aws.client import Identity
from ift_sagemaker.aws.operations import Place
from ift_sagemaker.catalog import find
from ift_sagemaker.doctor import Facts, Unknown, examine
from ift_sagemaker.doctor.facts import ABSENT, DENIED, NOT_OFFERED, WRONG
from ift_sagemaker.doctor.permissions import CALLER_POLICY, ROLE_POLICY, TRUST_POLICY, general
from ift_sagemaker.doctor.report import MISSING, NOT_CHECKED, OK, WARNING, Check
from ift_sagemaker.plan.spec import Compute

ROLE = "arn:aws:iam::123456789012:role/service-role/execution"
PLACE = Place("aws", "us-east-1", "123456789012", "rows", ROLE)
TRUST = {
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "sagemaker.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ]
}
TYPE = Compute().instance_type
FINE = Facts(
    target="aws",
    instance_type=TYPE,
    endpoint_instance_type=TYPE,
    region="us-east-1",
    identity=Identity("123456789012", "arn:aws:iam::123456789012:user/me", "us-east-1"),
    caller="arn:aws:iam::123456789012:user/me",
    role_arn=ROLE,
    role=RoleSeen(ROLE, TRUST),
    needs_of_role=(Decision("s3:GetObject", "arn:aws:s3:::rows/doctor", allowed=True),),
    needs_of_caller=(
        Decision("iam:PassRole", ROLE, allowed=True),
        Decision("sagemaker:CreateTrainingJob", "arn:…/ift-doctor", allowed=True),
    ),
    bucket="rows",
    bucket_region="us-east-1",
    public_access=dict.fromkeys(
        ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
    ),
    lifecycle=({"Status": "Enabled", "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}},),
    quotas={f"{TYPE} for training job usage": 1, f"{TYPE} for endpoint usage": 2},
    image="an image",
    model=find("smollm2-135m-instruct"),
    road="container",
    weights_pulled=True,
)


def _check(name: str, **changes: Any) -> Check:
    return examine(replace(FINE, **changes), PLACE).check(name)


def test_nothing_is_missing_where_all_is_there() -> None:
    report = examine(FINE, PLACE)
    assert {check.state for check in report.checks} == {OK}
    assert (report.ready, report.policies()) == (True, {})


@pytest.mark.parametrize(
    ("name", "fact"),
    [
        ("execution role", "role"),
        ("role trust", "role"),
        ("pass the role", "needs_of_caller"),
        ("caller's permissions", "needs_of_caller"),
        ("role's permissions", "needs_of_role"),
        ("bucket", "bucket_region"),
        ("public access blocked", "public_access"),
        ("unfinished uploads", "lifecycle"),
        ("training quota", "quotas"),
        ("endpoint quota", "quotas"),
        ("AWS's image", "image"),
        ("model", "model"),
    ],
)
def test_what_the_service_does_not_offer_is_never_a_pass(name: str, fact: str) -> None:
    found = _check(name, **{fact: Unknown(NOT_OFFERED, "no such service")})
    assert (found.state, found.remedy or "") != (OK, "")
    assert found.state == NOT_CHECKED
    assert "no such service" in found.found


def test_a_quota_that_service_quotas_does_not_list_is_not_a_pass() -> None:
    assert _check("training quota", quotas={}).state == NOT_CHECKED


def test_a_quota_of_nothing_is_missing_and_named_as_aws_names_it() -> None:
    found = _check("training quota", quotas={f"{TYPE} for training job usage": 0.0})
    assert found.state == MISSING
    assert f"'{TYPE} for training job usage' is 0" in found.found


def test_spot_has_a_quota_of_its_own() -> None:
    found = _check("training quota", spot=True, quotas={f"{TYPE} for spot training job usage": 3.0})
    assert found.state == OK


def test_a_role_that_sagemaker_may_not_assume_gets_the_trust_statement() -> None:
    for trust in (
        {},
        {"Statement": {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}},
        {"Statement": [{**TRUST["Statement"][0], "Effect": "Deny"}]},
    ):
        report = examine(replace(FINE, role=RoleSeen(ROLE, trust)), PLACE)
        assert report.check("role trust").state == MISSING
        assert report.policies()[TRUST_POLICY]["Statement"] == TRUST["Statement"]


def test_a_trust_policy_with_several_services_and_one_statement_is_understood() -> None:
    trust = {
        "Statement": {
            "Effect": "Allow",
            "Principal": {"Service": ["ec2.amazonaws.com", "sagemaker.amazonaws.com"]},
            "Action": ["sts:AssumeRole", "sts:TagSession"],
        }
    }
    assert _check("role trust", role=RoleSeen(ROLE, trust)).state == OK


def test_a_role_named_without_its_path_is_told_by_its_whole_arn() -> None:
    found = _check("execution role", role_arn="arn:aws:iam::123456789012:role/execution")
    assert (found.state, ROLE in found.remedy) == (MISSING, True)


def test_who_may_not_pass_the_role_gets_the_statement_that_passes_it_to_sagemaker_alone() -> None:
    denied = (Decision("iam:PassRole", ROLE, allowed=False),)
    report = examine(replace(FINE, needs_of_caller=denied), PLACE)
    assert report.check("pass the role").state == MISSING
    assert report.policies()[CALLER_POLICY]["Statement"] == [
        {
            "Effect": "Allow",
            "Action": ["iam:PassRole"],
            "Resource": [ROLE],
            "Condition": {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}},
        }
    ]


def test_denied_actions_are_joined_into_one_statement_a_resource() -> None:
    denied = tuple(
        Decision(action, f"arn:aws:s3:::rows/{name}", allowed=False)
        for action, name in (("s3:PutObject", "doctor"), ("s3:GetObject", "doctor"))
    )
    logs = Decision(
        "logs:PutLogEvents",
        "arn:aws:logs:r:1:log-group:/aws/sagemaker/TrainingJobs:log-stream:doctor",
        allowed=False,
    )
    report = examine(replace(FINE, needs_of_role=(*denied, logs)), PLACE)
    assert report.policies()[ROLE_POLICY]["Statement"] == [
        {
            "Effect": "Allow",
            "Action": ["logs:PutLogEvents"],
            "Resource": ["arn:aws:logs:r:1:log-group:/aws/sagemaker/*"],
        },
        {
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:PutObject"],
            "Resource": ["arn:aws:s3:::rows/*"],
        },
    ]


def test_a_resource_that_is_no_example_stays_as_it_is() -> None:
    assert general(ROLE) == ROLE
    assert general("arn:aws:sagemaker:r:1:model/ift-doctor") == "arn:aws:sagemaker:r:1:model/ift-*"


def test_who_may_not_look_is_told_which_right_to_add() -> None:
    unknown = Unknown(DENIED, "AccessDenied", "SimulatePrincipalPolicy")
    report = examine(replace(FINE, needs_of_role=unknown), PLACE)
    assert report.check("role's permissions").state == NOT_CHECKED
    assert report.policies()[CALLER_POLICY]["Statement"][0]["Action"] == ["iam:SimulatePrincipalPolicy"]


def test_a_missing_default_bucket_is_made_by_the_first_run_and_a_named_one_is_not() -> None:
    absent = Unknown(ABSENT, "404")
    assert _check("bucket", bucket_region=absent).state == WARNING
    assert _check("bucket", bucket_region=absent, own_bucket=True).state == MISSING


def test_a_bucket_of_another_region_or_owner_is_missing() -> None:
    assert _check("bucket", bucket_region="eu-west-1").state == MISSING
    assert _check("bucket", bucket_region=Unknown(DENIED, "403")).state == MISSING


def test_a_bucket_without_a_block_or_a_rule_is_warned_of() -> None:
    assert _check("public access blocked", public_access={"BlockPublicAcls": True}).state == WARNING
    narrow = {
        "Status": "Enabled",
        "Filter": {"Prefix": "a/"},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
    }
    for rules in ((), (narrow,), ({**narrow, "Filter": {}, "Status": "Disabled"},)):
        assert _check("unfinished uploads", lifecycle=rules).state == WARNING


def test_a_gated_model_is_a_warning_with_its_terms() -> None:
    model = replace(find("smollm2-135m-instruct"), gated=True, eula="https://terms")
    found = _check("licence", model=model)
    assert (found.state, "https://terms" in found.found) == (WARNING, True)
    assert "--accept-eula" in found.remedy


def test_an_unknown_model_and_a_closed_road_are_missing() -> None:
    assert _check("model", model=Unknown(WRONG, "no model x")).state == MISSING
    assert _check("model", road=Unknown(WRONG, "gone since 2024")).state == MISSING


def test_a_price_nobody_knows_is_warned_of() -> None:
    assert _check("price of ml.x.large", prices={"ml.x.large": None}).state == WARNING


def test_without_a_role_nothing_about_it_passes() -> None:
    report = examine(replace(FINE, role_arn=None, role=Unknown("not asked")), None)
    states = [report.check(name).state for name in ("execution role", "role trust", "pass the role")]
    assert states == [MISSING, NOT_CHECKED, NOT_CHECKED]


def test_bad_credentials_are_missing_and_nothing_of_the_account_is_judged() -> None:
    report = examine(replace(FINE, identity=Unknown(DENIED, "expired")), None)
    assert report.check("identity").state == MISSING
    assert "bucket" not in {check.name for check in report.checks}


@pytest.mark.parametrize(
    ("runner", "state"), [("none: bwrap is required", MISSING), ("process", WARNING), ("bwrap", OK)]
)
def test_the_runner_of_this_machine_is_judged(runner: str, state: str) -> None:
    machine = {"root": "/r", "runner": runner, "engines": [], "free_bytes": 1, "running": {"j": "InProgress"}}
    report = examine(replace(FINE, target="local", machine=machine), PLACE)
    assert report.check("runner").state == state
    assert report.check("disk").state == WARNING
    assert "j (InProgress)" in report.check("what runs").found


def test_the_local_aws_s_word_on_permissions_is_said_to_tell_nothing_of_aws() -> None:
    assert "enforces no policies" in _check("role's permissions", target="local").found


def test_the_report_is_plain_data_text_and_a_page() -> None:
    report = examine(replace(FINE, role=RoleSeen("<b>", {})), PLACE)
    assert json.loads(json.dumps(report.to_dict()))["ready"] is False
    assert "add to the trust policy" in str(report)
    assert "<b>" not in report._repr_html_()
