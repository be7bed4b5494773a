"""IAM of the local AWS."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ift_sagemaker.local import boto3_session
from ift_sagemaker.local.state.settings import ROLE_ARN
from tests.unit.local.machine import refusal

TRUST = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "*"}]}
)
MANAGED = "arn:aws:iam::aws:policy/AmazonSageMakerFullAccess"


@pytest.fixture
def iam(tmp_path: Path) -> Any:
    return boto3_session(tmp_path).client("iam")


def test_the_execution_role_is_there_and_sagemaker_may_assume_it(iam: Any) -> None:
    role = iam.get_role(RoleName="ift-local")["Role"]
    assert role["Arn"] == ROLE_ARN
    statement = role["AssumeRolePolicyDocument"]["Statement"][0]
    assert statement["Principal"] == {"Service": "sagemaker.amazonaws.com"}
    assert statement["Action"] == "sts:AssumeRole"


def test_a_role_lives_from_its_creation_to_its_deletion(iam: Any) -> None:
    made = iam.create_role(
        RoleName="own", AssumeRolePolicyDocument=TRUST, Path="/team/", Tags=[{"Key": "a", "Value": "b"}]
    )["Role"]
    assert made["Arn"] == "arn:aws:iam::123456789012:role/team/own"
    assert iam.get_role(RoleName="own")["Role"]["Tags"] == [{"Key": "a", "Value": "b"}]
    assert (
        refusal(iam.create_role, RoleName="own", AssumeRolePolicyDocument=TRUST)[0] == "EntityAlreadyExists"
    )
    iam.delete_role(RoleName="own")
    with pytest.raises(iam.exceptions.NoSuchEntityException, match="role with name own cannot be found"):
        iam.get_role(RoleName="own")


def test_roles_are_listed_by_name_in_pages(iam: Any) -> None:
    for name in ("zebra", "adder", "moth"):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)
    pages = list(iam.get_paginator("list_roles").paginate(PaginationConfig={"PageSize": 1}))
    names = [role["RoleName"] for page in pages for role in page["Roles"]]
    assert names == ["adder", "ift-local", "moth", "zebra"]
    assert len(pages) == 4


def test_a_role_with_policies_cannot_be_deleted(iam: Any) -> None:
    iam.create_role(RoleName="own", AssumeRolePolicyDocument=TRUST)
    iam.attach_role_policy(RoleName="own", PolicyArn=MANAGED)
    assert refusal(iam.delete_role, RoleName="own")[0] == "DeleteConflict"
    iam.detach_role_policy(RoleName="own", PolicyArn=MANAGED)
    iam.put_role_policy(RoleName="own", PolicyName="inline", PolicyDocument=TRUST)
    assert refusal(iam.delete_role, RoleName="own")[0] == "DeleteConflict"
    iam.delete_role_policy(RoleName="own", PolicyName="inline")
    iam.delete_role(RoleName="own")


def test_policies_of_a_role_come_back_as_they_were_given(iam: Any) -> None:
    iam.attach_role_policy(RoleName="ift-local", PolicyArn=MANAGED)
    iam.put_role_policy(RoleName="ift-local", PolicyName="inline", PolicyDocument=TRUST)
    attached = iam.list_attached_role_policies(RoleName="ift-local")["AttachedPolicies"]
    assert attached == [{"PolicyName": "AmazonSageMakerFullAccess", "PolicyArn": MANAGED}]
    assert iam.list_role_policies(RoleName="ift-local")["PolicyNames"] == ["inline"]
    found = iam.get_role_policy(RoleName="ift-local", PolicyName="inline")
    assert found["PolicyDocument"] == json.loads(TRUST)
    assert iam.get_role(RoleName="ift-local")["Role"]["Arn"] == ROLE_ARN


def test_a_trust_policy_can_be_replaced(iam: Any) -> None:
    iam.update_assume_role_policy(RoleName="ift-local", PolicyDocument=TRUST)
    role = iam.get_role(RoleName="ift-local")["Role"]
    assert role["AssumeRolePolicyDocument"] == json.loads(TRUST)


def test_the_execution_role_of_the_settings_stays(iam: Any) -> None:
    assert refusal(iam.delete_role, RoleName="ift-local")[0] == "UnmodifiableEntity"


def test_a_policy_that_is_no_json_is_refused(iam: Any) -> None:
    code, _ = refusal(iam.create_role, RoleName="own", AssumeRolePolicyDocument="not json")
    assert code == "MalformedPolicyDocument"


def test_what_is_missing_is_named(iam: Any) -> None:
    for call, params in (
        (
            iam.attach_role_policy,
            {"RoleName": "ift-local", "PolicyArn": "arn:aws:iam::123456789012:policy/x"},
        ),
        (iam.detach_role_policy, {"RoleName": "ift-local", "PolicyArn": MANAGED}),
        (iam.get_role_policy, {"RoleName": "ift-local", "PolicyName": "x"}),
        (iam.delete_role_policy, {"RoleName": "ift-local", "PolicyName": "x"}),
        (iam.put_role_policy, {"RoleName": "nobody", "PolicyName": "x", "PolicyDocument": TRUST}),
        (iam.get_user, {"UserName": "somebody"}),
    ):
        assert refusal(call, **params)[0] == "NoSuchEntity"


def test_the_user_is_the_account_s_root(iam: Any) -> None:
    assert iam.get_user()["User"]["Arn"] == "arn:aws:iam::123456789012:root"


def test_everything_is_allowed_to_a_role_that_is_here(iam: Any) -> None:
    pages = iam.get_paginator("simulate_principal_policy").paginate(
        PolicySourceArn=ROLE_ARN,
        ActionNames=["s3:GetObject", "sagemaker:CreateModel"],
        ResourceArns=["*", "arn:aws:s3:::b"],
    )
    results = [result for page in pages for result in page["EvaluationResults"]]
    assert {result["EvalDecision"] for result in results} == {"allowed"}
    assert len(results) == 4


def test_nothing_is_said_of_a_role_that_is_not_here(iam: Any) -> None:
    code, message = refusal(
        iam.simulate_principal_policy,
        PolicySourceArn="arn:aws:iam::123456789012:role/nobody",
        ActionNames=["s3:GetObject"],
    )
    assert code == "NoSuchEntity"
    assert "nobody" in message


def test_a_misshapen_request_is_refused_with_its_field(tmp_path: Path) -> None:
    iam = boto3_session(tmp_path).client("iam")
    code, message = refusal(iam.get_role, RoleName="a b")
    assert code == "ValidationError"
    assert "RoleName" in message


def test_another_operation_of_iam_is_refused_by_name(iam: Any) -> None:
    with pytest.raises(ClientError, match="iam:CreateUser is not offered"):
        iam.create_user(UserName="me")
