"""Looking reads only, and what AWS refuses becomes a fact of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from click.testing import CliRunner

from ift_sagemaker import connect, local
from ift_sagemaker.aws.account import Account
from ift_sagemaker.aws.operations import OPERATIONS
from ift_sagemaker.cli.tree import ift
from ift_sagemaker.doctor.report import MISSING, NOT_CHECKED, OK, WARNING
from ift_sagemaker.local.health import health
from ift_sagemaker.local.state.settings import LocalSettings
from ift_sagemaker.plan.spec import Compute
from ift_sagemaker.session import Session

MODEL = "smollm2-135m-instruct"
LLAMA = "meta-textgeneration-llama-2-7b"


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    root = tmp_path / "aws"
    yield {"IFT_LOCAL_ROOT": str(root), "IFT_CONFIG": str(tmp_path / "none"), "IFT_TARGET": "local"}
    local.reset(root)


@pytest.fixture
def session(tmp_path: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Session:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return connect("local")


def test_the_local_aws_is_looked_at_without_a_change_and_with_known_operations(session: Session) -> None:
    asked: set[str] = set()
    events = session.client._session.events
    events.register("before-call", lambda model, **_: asked.add(model.name))
    report = session.doctor(MODEL)
    reads = {operation.name for operation in OPERATIONS if operation.reads}
    assert asked <= reads
    assert {"GetRole", "SimulatePrincipalPolicy", "HeadBucket", "ListServiceQuotas"} <= asked
    assert not list(session.training_jobs())
    assert report.ready


def test_the_local_aws_passes_nothing_that_it_does_not_offer(session: Session) -> None:
    report = session.doctor()
    assert report.check("bucket").state == WARNING
    assert report.check("training quota").state == NOT_CHECKED
    assert "not offered" in report.check("training quota").found
    bucket = f"sagemaker-us-east-1-{session.client.identity().account}"
    session.client.objects.ensure_bucket(bucket, "us-east-1")
    report = session.doctor()
    assert (report.check("bucket").state, report.check("unfinished uploads").state) == (OK, OK)
    assert report.check("public access blocked").state == NOT_CHECKED


def test_a_role_that_is_not_there_is_missing(session: Session) -> None:
    session.role = "arn:aws:iam::123456789012:role/nobody"
    report = session.doctor()
    assert report.check("execution role").state == MISSING
    assert report.check("role's permissions").state == NOT_CHECKED
    assert not report.ready


def test_a_role_named_without_its_arn_is_told_by_it_and_nothing_is_raised(session: Session) -> None:
    session.role = "ift-local"
    report = session.doctor()
    assert report.check("execution role").state == MISSING
    assert "arn:aws:iam::123456789012:role/ift-local" in report.check("execution role").remedy
    assert report.check("role's permissions").state == OK


def test_a_role_that_trusts_another_service_is_found_out(session: Session) -> None:
    trust = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}}]}
    iam = session.client._client("iam")
    made = iam.create_role(RoleName="other", AssumeRolePolicyDocument=json.dumps(trust))
    session.role = made["Role"]["Arn"]
    assert session.doctor().check("role trust").state == MISSING


def test_the_command_exits_0_where_nothing_is_missing_and_3_where_something_is(
    environment: dict[str, str],
) -> None:
    def run(*words: str) -> Any:
        return CliRunner().invoke(ift, ["doctor", *words], env=environment)

    fine = run("--json")
    assert fine.exit_code == 0, fine.stderr
    assert json.loads(fine.stdout)["ready"] is True
    lacking = run("--role", "arn:aws:iam::123456789012:role/nobody", "--json")
    assert lacking.exit_code == 3
    assert json.loads(lacking.stdout)["counts"]["missing"] == 1
    assert run("--model", "no-such-model").exit_code == 3
    assert "not checked" in run().stdout


def test_health_tells_the_machine_and_makes_no_state(tmp_path: Path) -> None:
    settings = LocalSettings(root=tmp_path / "none", runner="process")
    found = health(settings, engine_works=lambda name: name == "podman")
    assert (found["runner"], found["engines"], found["running"]) == ("process", ["podman"], {})
    assert found["free_bytes"] > 0
    assert not settings.root.exists()


# -- an account on AWS, by recorded answers


def _stubbed(*services: str) -> tuple[Account, dict[str, Stubber]]:
    session = boto3.Session("k", "s", region_name="us-east-1")
    clients = {name: session.client(name) for name in services}
    stubs = {name: Stubber(client) for name, client in clients.items()}
    for stub in stubs.values():
        stub.activate()
    return Account(clients.__getitem__, "123456789012"), stubs


def test_quotas_that_were_never_changed_are_taken_from_the_defaults() -> None:
    account, stubs = _stubbed("service-quotas")
    quotas = stubs["service-quotas"]
    asked = {"ServiceCode": "sagemaker", "MaxResults": 100}
    quotas.add_response("list_service_quotas", {"Quotas": [], "NextToken": "t"}, asked)
    changed = {"QuotaName": "a for training job usage", "Value": 4.0}
    quotas.add_response("list_service_quotas", {"Quotas": [changed]}, {**asked, "NextToken": "t"})
    defaults = [{"QuotaName": "a for training job usage", "Value": 0.0}, {"QuotaName": "b", "Value": 2.0}]
    quotas.add_response("list_aws_default_service_quotas", {"Quotas": defaults}, asked)
    found = account.quotas(["a for training job usage", "b", "c"])
    assert found == {"a for training job usage": 4.0, "b": 2.0}


def test_policies_are_asked_page_by_page_as_if_the_role_were_passed_to_sagemaker() -> None:
    account, stubs = _stubbed("iam")

    def page(action: str, decision: str, **more: Any) -> dict[str, Any]:
        result = {"EvalActionName": action, "EvalResourceName": "*", "EvalDecision": decision}
        return {"EvaluationResults": [result], **more}

    context = [
        {
            "ContextKeyName": "iam:PassedToService",
            "ContextKeyValues": ["sagemaker.amazonaws.com"],
            "ContextKeyType": "string",
        }
    ]
    asked = {
        "PolicySourceArn": "arn:aws:iam::123456789012:role/r",
        "ActionNames": ["s3:GetObject", "s3:PutObject"],
        "ResourceArns": ["*"],
        "ContextEntries": context,
    }
    simulate = "simulate_principal_policy"
    stubs["iam"].add_response(simulate, page("s3:GetObject", "allowed", IsTruncated=True, Marker="m"), asked)
    stubs["iam"].add_response(simulate, page("s3:PutObject", "implicitDeny"), {**asked, "Marker": "m"})
    found = account.simulate("arn:aws:iam::123456789012:role/r", ["s3:PutObject", "s3:GetObject"], ["*"])
    assert [(one.action, one.allowed) for one in found] == [("s3:GetObject", True), ("s3:PutObject", False)]


@pytest.mark.parametrize(
    ("method", "code", "ask"),
    [
        (
            "get_public_access_block",
            "NoSuchPublicAccessBlockConfiguration",
            lambda account: account.public_access_block("b"),
        ),
        (
            "get_bucket_lifecycle_configuration",
            "NoSuchLifecycleConfiguration",
            lambda account: account.lifecycle_rules("b"),
        ),
    ],
)
def test_a_bucket_without_a_configuration_is_told_from_one_that_is_not_there(
    method: str, code: str, ask: Callable[[Account], object]
) -> None:
    from ift_sagemaker.errors import ResourceNotFoundError

    account, stubs = _stubbed("s3")
    stubs["s3"].add_client_error(method, code, http_status_code=404)
    assert not ask(account)
    stubs["s3"].add_client_error(method, "NoSuchBucket", http_status_code=404)
    with pytest.raises(ResourceNotFoundError):
        ask(account)


class _AccountOf:
    """An AWS account whose caller has assumed a role below a path, and may not look at everything."""

    region = "eu-central-1"

    def __init__(self) -> None:
        self.principals: set[str] = set()

    def identity(self) -> Any:
        from ift_sagemaker.aws.client import Identity

        arn = "arn:aws:sts::210987654321:assumed-role/Admin/me@example.org"
        return Identity("210987654321", arn, self.region)

    @property
    def account(self) -> Any:
        return self

    def role(self, name: str) -> Any:
        from ift_sagemaker.aws.account import RoleSeen

        return RoleSeen(f"arn:aws:iam::210987654321:role/aws-reserved/{name}", {})

    def simulate(self, principal: str, actions: Any, resources: Any) -> list[Any]:
        from ift_sagemaker.aws.account import Decision

        self.principals.add(principal)
        return [Decision(action, each, allowed=True) for action in actions for each in resources]

    def _denied(self, *_: Any) -> Any:
        from ift_sagemaker.errors import AccessDeniedError

        raise AccessDeniedError("no", operation="list_service_quotas")

    bucket_region = public_access_block = lifecycle_rules = quotas = _denied


def test_an_assumed_role_is_asked_about_by_the_role_s_own_arn(session: Session) -> None:
    account = _AccountOf()
    session.client = account  # type: ignore[assignment]
    session.role, session.machine = "arn:aws:iam::210987654321:role/aws-reserved/run", None
    report = session.doctor(compute=Compute(output_kms_key="1234"), endpoint_instance_type="ml.g6.xlarge")
    assert account.principals == {
        "arn:aws:iam::210987654321:role/aws-reserved/Admin",
        "arn:aws:iam::210987654321:role/aws-reserved/run",
    }
    assert report.check("training quota").state == NOT_CHECKED
    assert "servicequotas:ListServiceQuotas" in json.dumps(report.policies())
    assert report.check("price of ml.g6.xlarge").state in (OK, WARNING)


@pytest.mark.parametrize(("model_id", "is_asked"), [(MODEL, False), (LLAMA, True)])
def test_the_role_is_asked_about_jumpstarts_buckets_for_its_models_alone(
    session: Session, model_id: str, is_asked: bool
) -> None:
    resources: list[str] = []
    events = session.client._session.events
    events.register(
        "provide-client-params.iam.SimulatePrincipalPolicy",
        lambda params, **_: resources.extend(params["ResourceArns"]),
    )
    session.doctor(model_id)
    assert ("arn:aws:s3:::jumpstart-private-cache-prod-us-east-1" in resources) is is_asked
