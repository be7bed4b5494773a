"""The shipped policies grant what the library does, and nothing else."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import cfnlint
import pytest
import yaml
from botocore import xform_name
from botocore.session import get_session

from ift_sagemaker.aws.operations import (
    BUCKET,
    JOBS,
    JUMPSTART_NEEDS,
    KEY_NEEDS,
    OPERATIONS,
    ROLE_NEEDS,
    SERVED,
    TAGGED,
    Place,
    caller_needs,
)
from ift_sagemaker.aws.transfer import ABORT_RULE

ROOT = Path(__file__).parents[3]
TEMPLATE = ROOT / "infra" / "cloudformation" / "execution-role.yaml"
REGION, ACCOUNT, KEY = "eu-central-1", "123456789012", "arn:aws:kms:eu-central-1:123456789012:key/k"
NAMES = {
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::AccountId": ACCOUNT,
    "BucketName": "",
    "Bucket": f"sagemaker-{REGION}-{ACCOUNT}",
    "ExecutionRole": "execution",
    "Bucket.Arn": f"arn:aws:s3:::sagemaker-{REGION}-{ACCOUNT}",
    "ExecutionRole.Arn": f"arn:aws:iam::{ACCOUNT}:role/execution",
    "Key.Arn": KEY,
}
PLACE = Place("aws", REGION, ACCOUNT, NAMES["Bucket"], NAMES["ExecutionRole.Arn"])
OPTIONAL_EC2 = 9
ABSENT = object()


class _Loader(yaml.SafeLoader):
    """CloudFormation's short functions as {name: argument}."""


def _function(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        return {f"!{suffix}": loader.construct_scalar(node)}
    assert isinstance(node, yaml.SequenceNode)
    return {f"!{suffix}": loader.construct_sequence(node, deep=True)}


_Loader.add_multi_constructor("!", _function)


@cache
def _template() -> dict[str, Any]:
    found: dict[str, Any] = yaml.load(TEMPLATE.read_text("utf-8"), _Loader)  # noqa: S506 - a safe loader
    return found


def _resolved(value: Any, true: frozenset[str]) -> Any:
    """The value once CloudFormation has put parameters and conditions into it."""
    if isinstance(value, list):
        return [item for each in value if (item := _resolved(each, true)) is not ABSENT]
    if not isinstance(value, dict):
        return value
    if len(value) == 1 and next(iter(value)).startswith("!"):
        return _called(*next(iter(value.items())), true)
    found = {key: _resolved(each, true) for key, each in value.items()}
    return {key: each for key, each in found.items() if each is not ABSENT}


def _called(name: str, argument: Any, true: frozenset[str]) -> Any:
    if name == "!If":
        condition, yes, no = argument
        return _resolved(yes if condition in true else no, true)
    if name == "!Ref" and argument == "AWS::NoValue":
        return ABSENT
    if name == "!Sub":
        for key, text in NAMES.items():
            argument = argument.replace(f"${{{key}}}", text)
        return argument
    return NAMES[argument]


def _properties(resource: str, *true: str) -> dict[str, Any]:
    found: dict[str, Any] = _resolved(
        _template()["Resources"][resource]["Properties"], frozenset({"NamesNoBucket", *true})
    )
    return found


def _granted(resource: str, *true: str) -> set[tuple[str, str]]:
    """Every action on every resource that a policy of the template allows."""
    statements = _properties(resource, *true)["PolicyDocument"]["Statement"]
    assert all(one["Effect"] == "Allow" for one in statements)
    return {
        (action, where)
        for one in statements
        for action in _listed(one["Action"])
        for where in _listed(one["Resource"])
    }


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _needed(needs: Mapping[str, tuple[str, ...]]) -> set[tuple[str, str]]:
    return {
        (action, where)
        for on, actions in needs.items()
        for action in actions
        for where in PLACE.resources(on)
    }


def test_the_template_is_clean_to_cfn_lint() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("cfn-lint"), "--format", "json", TEMPLATE],
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, json.loads(done.stdout or "[]")) == (0, []), done.stderr


def test_the_caller_s_policy_grants_every_operation_that_is_called_and_nothing_else() -> None:
    assert _granted("CallerPolicy") == _needed(caller_needs())


def test_the_execution_role_grants_what_sagemaker_does_in_its_name_and_nothing_else() -> None:
    assert _granted("ExecutionPolicy") == _needed({**ROLE_NEEDS, **JUMPSTART_NEEDS})


def test_a_key_adds_its_own_use_alone() -> None:
    added = _granted("ExecutionPolicy", "MakesKey") - _granted("ExecutionPolicy")
    assert added == {(action, KEY) for action in KEY_NEEDS}
    caller = _granted("CallerPolicy", "MakesKey") - _granted("CallerPolicy")
    assert caller == {("kms:Decrypt", KEY), ("kms:GenerateDataKey", KEY)}


def test_a_vpc_adds_network_interfaces_alone() -> None:
    added = {action for action, _ in _granted("ExecutionPolicy", "RunsInVpc") - _granted("ExecutionPolicy")}
    assert len(added) == OPTIONAL_EC2
    assert all(action.startswith("ec2:") for action in added)


def test_the_role_is_passed_to_sagemaker_alone_and_taken_in_this_account_alone() -> None:
    passing = next(
        one
        for one in _properties("CallerPolicy")["PolicyDocument"]["Statement"]
        if "iam:PassRole" in _listed(one["Action"])
    )
    assert passing["Condition"] == {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    (trust,) = _properties("ExecutionRole")["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "sagemaker.amazonaws.com"}
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": ACCOUNT}}


def test_no_policy_has_a_star_for_an_action() -> None:
    for resource in ("CallerPolicy", "ExecutionPolicy"):
        assert not [action for action, _ in _granted(resource, "MakesKey", "RunsInVpc") if "*" in action]


def test_a_managed_policy_is_within_iam_s_size() -> None:
    """6,144 characters, white space not counted: the IAM quotas page."""
    document = _properties("CallerPolicy", "MakesKey")["PolicyDocument"]
    assert len(json.dumps(document, separators=(",", ":"))) < 6144


def test_the_bucket_is_private_encrypted_and_ends_unfinished_uploads() -> None:
    bucket = _properties("Bucket")
    assert bucket["BucketName"] == NAMES["Bucket"], "the name that the library takes by default"
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    (rule,) = bucket["LifecycleConfiguration"]["Rules"]
    assert rule["Id"] == ABORT_RULE["ID"]
    assert rule["AbortIncompleteMultipartUpload"] == ABORT_RULE["AbortIncompleteMultipartUpload"]
    for true, algorithm in (((), "AES256"), (("MakesKey",), "aws:kms")):
        (encryption,) = _properties("Bucket", *true)["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert encryption["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == algorithm
    assert _template()["Resources"]["Bucket"]["DeletionPolicy"] == "Retain"


def test_the_bucket_is_spoken_to_over_tls_alone() -> None:
    (only,) = _properties("BucketPolicy")["PolicyDocument"]["Statement"]
    assert (only["Effect"], only["Principal"], only["Action"]) == ("Deny", "*", "s3:*")
    assert only["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert only["Resource"] == [NAMES["Bucket.Arn"], f"{NAMES['Bucket.Arn']}/*"]


# -- the table of operations


SERVICES = tuple(dict.fromkeys(operation.service for operation in OPERATIONS))
SOURCES = [path for path in (ROOT / "ift_sagemaker" / "aws").glob("*.py") if path.name != "operations.py"]


def _names_in(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _spellings(service: str) -> dict[str, str]:
    """Operations of a service by each way that code spells them; single words say too little."""
    names = get_session().get_service_model(service).operation_names
    return {spelt: name for name in names for spelt in (name, xform_name(name)) if spelt != "search"}


def test_the_table_holds_every_operation_that_the_gateway_calls_and_nothing_else() -> None:
    written = {name for path in SOURCES for name in _names_in(ast.parse(path.read_text("utf-8")))}
    called = {
        (service, name)
        for service in SERVICES
        for spelt, name in _spellings(service).items()
        if spelt in written
    }
    assert called == {(operation.service, operation.name) for operation in OPERATIONS}


def test_the_gateway_speaks_to_no_service_that_the_table_lacks() -> None:
    asked = {
        argument.value
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "_client"
        for argument in node.args
        if isinstance(argument, ast.Constant)
    }
    assert asked == set(SERVICES)


@pytest.mark.parametrize(
    "operation",
    [each for each in OPERATIONS if each.service == "sagemaker"],
    ids=lambda operation: operation.name,
)
def test_an_action_is_on_the_resources_that_iam_knows_for_it(operation: Any) -> None:
    """By the Service Authorization Reference as cfn-lint carries it."""
    path = Path(cfnlint.__file__).parent / "data" / "AdditionalSpecs" / "Policies.json"
    actions = json.loads(path.read_text("utf-8"))["sagemaker"]["Actions"]
    known = set(actions[operation.name.lower()].get("Resources", ()))
    asked = {
        resource.split(":")[5].split("/")[0] for resource in PLACE.resources(operation.on) if resource != "*"
    }
    assert asked <= known
    assert not known or operation.on in (SERVED, TAGGED, JOBS) or asked == known


def test_a_resource_is_named_by_the_prefix_of_this_library() -> None:
    assert PLACE.resources(JOBS, "x") == [f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:training-job/ift-x"]
    assert PLACE.resources(BUCKET) == [NAMES["Bucket.Arn"]]
