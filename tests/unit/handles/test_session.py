"""A session executes plans: each object sent once, one job a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from ift_sagemaker.catalog.weights import Weights, describe
from ift_sagemaker.data import InstructionDataset
from ift_sagemaker.errors import (
    AttachError,
    ConfigError,
    JobError,
    ModelNotFoundError,
    ResourceInUseError,
    UnsupportedError,
    WeightsError,
)
from ift_sagemaker.plan.calls import RoutePlan
from ift_sagemaker.plan.plans import JobPlan
from ift_sagemaker.plan.spec import Customization
from ift_sagemaker.session import Session
from ift_sagemaker.uploading import UploadProgress
from tests.unit.handles.fakes import Clock, FakeAWS

MODEL = "smollm2-135m-instruct"
LLAMA = "meta-textgeneration-llama-2-7b"
ROWS = InstructionDataset.from_rows([{"instruction": "a", "output": "b"}])
TEN = InstructionDataset.from_rows([{"instruction": f"a{n}", "output": "b"} for n in range(10)])


class FakeWeights:
    """Weights that are there, or have to be pulled first."""

    def __init__(self, weights: Weights, present: bool = True) -> None:
        self.weights, self.present, self.pulled = weights, present, 0

    def find(self, model_id: str) -> Weights | None:
        return self.weights if self.present else None

    def pull(self, model_id: str, progress: Callable[[str], None] | None = None) -> Weights:
        self.pulled += 1
        return self.weights


@pytest.fixture
def weights(tmp_path: Path) -> FakeWeights:
    (tmp_path / "config.json").write_text("{}")
    return FakeWeights(describe(MODEL, tmp_path))


@pytest.fixture
def aws() -> FakeAWS:
    return FakeAWS()


@pytest.fixture
def session(aws: FakeAWS, weights: FakeWeights) -> Session:
    return Session(
        aws,  # type: ignore[arg-type]
        role="arn:aws:iam::123456789012:role/execution",
        weights=weights,  # type: ignore[arg-type]
        patience=Clock().patience(),
    )


def test_planning_sends_nothing(session: Session, aws: FakeAWS) -> None:
    plan = session.plan(MODEL, ROWS)
    assert plan.place is not None
    assert plan.place.bucket == "sagemaker-us-east-1-123456789012"
    assert aws.calls == []
    assert aws.objects.sent == []


def test_an_export_is_planned_without_role_and_account(session: Session, aws: FakeAWS) -> None:
    session.role = None
    plan = session.plan("gpt-4.1-2025-04-14", TEN)
    assert isinstance(plan, RoutePlan)
    assert (plan.place, list(plan.files)) == (None, ["train.jsonl"])


def test_how_to_tune_is_never_silently_ignored(session: Session) -> None:
    with pytest.raises(UnsupportedError, match="DPO"):
        session.plan(MODEL, ROWS, customization=Customization(technique="DPO"))
    with pytest.raises(ConfigError, match="peft_type=None"):
        session.plan(MODEL, ROWS, customization=Customization(full=True))


def test_planning_fetches_no_weights_and_says_how_to(session: Session, weights: FakeWeights) -> None:
    weights.present = False
    with pytest.raises(WeightsError, match="ift models pull"):
        session.plan(MODEL, ROWS)
    assert weights.pulled == 0


def test_a_run_sends_what_is_missing_and_starts_one_job(session: Session, aws: FakeAWS) -> None:
    job = session.fine_tune(MODEL, ROWS)
    assert aws.calls == [f"CreateTrainingJob {job.name}"]
    manifest = str(job.data_manifest).rpartition("/")[2]
    assert sorted(key.rpartition("/")[2] for key in aws.objects.sent) == [
        manifest,
        "config.json",
        "ift_program.pyz",
        "template.json",
        "train.jsonl",
    ]
    assert aws.objects.buckets == {"sagemaker-us-east-1-123456789012"}


def test_what_is_there_already_is_not_sent_again(session: Session, aws: FakeAWS) -> None:
    session.fine_tune(MODEL, ROWS)
    aws.objects.sent.clear()
    seen: list[UploadProgress] = []
    session.on_upload = seen.append
    session.fine_tune(MODEL, ROWS, hyperparameters={"seed": 1})
    assert aws.objects.sent == []
    assert seen
    assert all(progress.present for progress in seen)


def test_the_same_run_attaches(session: Session, aws: FakeAWS) -> None:
    first = session.fine_tune(MODEL, ROWS)
    aws.calls.clear()
    again = session.fine_tune(MODEL, ROWS)
    assert (again.name, again.attached, aws.calls) == (first.name, True, [])


def test_weights_are_fetched_after_everything_else_was_checked(
    session: Session, weights: FakeWeights
) -> None:
    weights.present = False
    with pytest.raises(ModelNotFoundError, match=MODEL):
        session.fine_tune("smollm2-135m-instrct", ROWS)
    with pytest.raises(ConfigError):
        session.fine_tune(MODEL, ROWS, hyperparameters={"epoch": 0})
    session.role, role = None, session.role
    with pytest.raises(ConfigError, match="IFT_ROLE"):
        session.fine_tune(MODEL, ROWS)
    session.role = role
    assert weights.pulled == 0
    session.fine_tune(MODEL, ROWS)
    assert weights.pulled == 1


def test_another_network_or_key_is_another_run_to_its_owner(session: Session, aws: FakeAWS) -> None:
    job = session.fine_tune(MODEL, ROWS)
    aws.jobs[job.name]["VpcConfig"] = {"Subnets": ["s"], "SecurityGroupIds": ["g"]}
    with pytest.raises(AttachError, match="VpcConfig") as caught:
        session.fine_tune(MODEL, ROWS)
    assert caught.value.differences[0][0] == "VpcConfig"


@pytest.mark.parametrize("status", ["Failed", "Stopped"])
def test_a_run_that_did_not_end_well_starts_again_only_when_asked(
    status: str, session: Session, aws: FakeAWS
) -> None:
    job = session.fine_tune(MODEL, ROWS)
    aws.jobs[job.name].update(TrainingJobStatus=status, FailureReason="out of memory")
    with pytest.raises(JobError, match=r"out of memory.*--retry") as caught:
        session.fine_tune(MODEL, ROWS)
    assert caught.value.status == status
    second = session.fine_tune(MODEL, ROWS, retry=True)
    assert second.name == f"{job.name}-2"
    assert session.fine_tune(MODEL, ROWS).name == second.name, "the living attempt is the one to attach to"


def test_a_race_for_the_name_ends_in_one_job(session: Session, aws: FakeAWS) -> None:
    plan = session.plan(MODEL, ROWS)
    assert isinstance(plan, JobPlan)
    aws.create_training_job(plan.request)
    found = aws.jobs.pop(plan.name)
    aws.refuse["CreateTrainingJob"] = ResourceInUseError("taken")
    aws.objects.on_bucket = lambda: aws.jobs.update({plan.name: found})
    assert session.fine_tune(MODEL, ROWS).attached


def test_a_bucket_of_the_users_own_is_never_made(session: Session, aws: FakeAWS) -> None:
    session.bucket = "mine"
    session.fine_tune(MODEL, ROWS)
    assert aws.objects.buckets == set()


def test_no_role_says_where_one_can_come_from(session: Session) -> None:
    session.role = None
    with pytest.raises(ConfigError, match="IFT_ROLE"):
        session.plan(MODEL, ROWS)


@pytest.mark.parametrize("model_id", [MODEL, "huggingface-reasoning-qwen3-06b"])
@pytest.mark.parametrize(
    ("field", "value"), [("role", "nonsense"), ("role", "arn:aws:iam::1:role/x"), ("bucket", "Bad_Bucket!")]
)
def test_what_is_no_role_or_bucket_is_refused_by_name_on_every_route(
    session: Session, model_id: str, field: str, value: str
) -> None:
    setattr(session, field, value)
    with pytest.raises(ConfigError, match=f"{field} '{value}' is none") as caught:
        session.plan(model_id, ROWS)
    assert caught.value.field == field


def test_a_model_of_another_route_is_planned_by_it_with_its_rows_in_its_form(
    session: Session, aws: FakeAWS, tmp_path: Path
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"instruction": "a", "output": "b"}\n')
    plan = session.plan("huggingface-reasoning-qwen3-06b", path, hyperparameters={"lora_rank": 8})
    assert isinstance(plan, RoutePlan)
    assert plan.route == "serverless"
    assert [upload.source for upload in plan.uploads] == [b'{"prompt":"a","completion":"b"}\n']
    gated = "meta-textgeneration-llama-2-7b"
    with pytest.raises(ConfigError, match="accept_eula"):
        session.plan(gated, ROWS)
    accepted = session.plan(gated, ROWS, customization=Customization(accept_eula=True))
    assert isinstance(accepted, RoutePlan)
    assert {upload.key.rpartition("/")[2] for upload in accepted.uploads} == {"train.jsonl", "template.json"}


def test_held_out_rows_get_a_channel_of_their_own(session: Session) -> None:
    held_out = InstructionDataset.from_rows([{"instruction": "c", "output": "d"}])
    plan = session.plan("huggingface-reasoning-qwen3-06b", ROWS, validation=held_out)
    assert isinstance(plan, RoutePlan)
    channels = plan.call("CreateTrainingJob")["InputDataConfig"]
    assert [channel["ChannelName"] for channel in channels] == ["train", "validation"]


@pytest.mark.parametrize(
    "model_id", ["huggingface-reasoning-qwen3-06b", "amazon.nova-micro-v1:0:128k", "gpt-4.1-2025-04-14"]
)
def test_a_route_that_nothing_here_runs_is_refused_before_anything_is_sent(
    session: Session, aws: FakeAWS, weights: FakeWeights, model_id: str
) -> None:
    with pytest.raises(UnsupportedError, match="planned and not run yet"):
        session.fine_tune(model_id, ROWS)
    assert weights.pulled == 0
    assert not aws.objects.sent


def test_a_jumpstart_job_is_asked_for_exactly_as_it_was_planned(session: Session, aws: FakeAWS) -> None:
    how = Customization(accept_eula=True)
    plan = session.plan(LLAMA, ROWS, customization=how)
    job = session.fine_tune(LLAMA, ROWS, customization=how)
    assert isinstance(plan, RoutePlan)
    assert {field: aws.jobs[job.name][field] for field in plan.request} == plan.request
    assert sorted(aws.objects.sent) == sorted(upload.key for upload in plan.uploads)
    assert session.fine_tune(LLAMA, ROWS, customization=how).attached
    assert job.model_id == LLAMA
    with pytest.raises(ConfigError, match="accept_eula"):
        session.fine_tune(LLAMA, ROWS)


def test_a_stand_in_is_refused_on_aws_before_anything_is_sent(session: Session, aws: FakeAWS) -> None:
    how = Customization(accept_eula=True)
    with pytest.raises(UnsupportedError, match="AWS has the model's own weights"):
        session.fine_tune(LLAMA, ROWS, customization=how, stand_in=MODEL)
    assert not aws.objects.sent


def test_the_base_of_a_jumpstart_job_on_aws_is_not_compared(session: Session, aws: FakeAWS) -> None:
    job = session.fine_tune(LLAMA, ROWS, customization=Customization(accept_eula=True))
    ended = {"ModelArtifacts": {"S3ModelArtifacts": "s3://b/m.tar.gz"}, "TrainingJobStatus": "Completed"}
    aws.jobs[job.name] |= ended
    with pytest.raises(UnsupportedError, match="for stand-ins alone"):
        session.evaluate(job.name, ROWS)
    assert aws.calls == [f"CreateTrainingJob {job.name}"]


def test_the_sessions_day_decides_which_roads_are_open(session: Session) -> None:
    claude = "anthropic.claude-3-haiku-20240307-v1:0:200k"
    for call in (session.plan, session.fine_tune):
        with pytest.raises(UnsupportedError, match="2026-09-10"):
            call(claude, ROWS)
    earlier = replace(session, today=lambda: date(2026, 1, 1))
    with pytest.raises(ConfigError, match="tuned in us-west-2"):
        earlier.plan(
            claude, InstructionDataset.from_rows([{"instruction": str(n), "output": "b"} for n in range(40)])
        )
