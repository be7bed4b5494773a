"""Rows → plan → training job → evaluation → endpoint → answer, through the local AWS."""

from __future__ import annotations

from pathlib import Path

import pytest

from ift_sagemaker.data import InstructionDataset
from ift_sagemaker.errors import AttachError, ConfigError, JobError, TrainingJobFailed, TrainingJobStopped
from ift_sagemaker.plan.spec import Compute
from ift_sagemaker.session import Session
from ift_sagemaker.uploading import UploadProgress
from tests.e2e.conftest import MODEL, QUICK, soon


def test_rows_become_answers_and_nothing_is_left(
    session: Session, rows: InstructionDataset, tmp_path: Path
) -> None:
    train, test = rows.split(test_size=0.25, seed=0)
    plan = session.plan(MODEL, train, hyperparameters=QUICK)
    job = session.fine_tune(MODEL, train, hyperparameters=QUICK)
    assert job.name == plan.name
    assert job.wait(timeout=120).status == "Completed"

    description = job.description
    transitions = [entry["Status"] for entry in description["SecondaryStatusTransitions"]]
    assert transitions[0] == "Starting"
    assert transitions[-3:] == ["Training", "Uploading", "Completed"]
    assert description["TrainingTimeInSeconds"] >= 0
    metrics = {entry["MetricName"]: entry["Value"] for entry in description["FinalMetricDataList"]}
    assert metrics["step"] == metrics["total_steps"] == len(job.metrics())
    assert metrics["train_loss"] > 0
    assert "executed-image" in job.executed

    folder = job.download(tmp_path / "model")
    names = {path.name for path in folder.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "ift_model.json"} <= names

    evaluation = session.evaluate(job, test, max_new_tokens=8)
    result = evaluation.to_dict()
    assert set(result) == {"base", "tuned"}
    assert result["base"]["count"] == result["tuned"]["count"] == len(test)
    assert set(result["tuned"]["by_instruction"]) == {"Repeat the word"}
    assert result["tuned"]["loss"] < result["base"]["loss"], "one epoch lowers the held-out loss"

    with job.deploy() as endpoint:
        answer = endpoint.invoke(test.prompt(test[0]), max_tokens=5)
        assert answer.finish_reason in {"stop", "length"}
        assert answer.completion_tokens is not None
        assert answer.completion_tokens <= 5
        assert answer.prompt_tokens is not None
        pieces = list(endpoint.stream(test.prompt(test[0]), max_tokens=5))
        assert "".join(pieces) == answer.text
        soon(lambda: [found["EndpointName"] for found in session.endpoints()] == [endpoint.name])
        soon(lambda: any("serv" in line.message.lower() for line in endpoint.logs()))
    soon(lambda: not list(session.endpoints()))
    soon(lambda: not list(session.client.list_models("ift-")))
    soon(lambda: not list(session.client.list_endpoint_configs("ift-")))


def test_the_same_call_again_attaches_and_sends_nothing(session: Session, rows: InstructionDataset) -> None:
    first = session.fine_tune(MODEL, rows, hyperparameters=QUICK)
    sent: list[UploadProgress] = []
    session.on_upload = sent.append
    again = session.fine_tune(MODEL, rows, hyperparameters=QUICK)
    assert (again.name, again.attached) == (first.name, True)
    assert sent == []
    first.wait(timeout=120)
    soon(lambda: len(list(session.training_jobs())) == 1)

    other = session.fine_tune(MODEL, rows, hyperparameters={**QUICK, "seed": 11})
    assert other.name != first.name
    assert {progress.key.split("/")[1] for progress in sent} == {"data", "program", "weights"}
    assert all(progress.present for progress in sent), "all of it was there already"
    other.stop()


def test_the_same_run_under_another_role_is_refused(session: Session, rows: InstructionDataset) -> None:
    job = session.fine_tune(MODEL, rows, hyperparameters=QUICK)
    session.role = "arn:aws:iam::123456789012:role/another-role"
    with pytest.raises(AttachError, match="RoleArn"):
        session.fine_tune(MODEL, rows, hyperparameters=QUICK)
    session.role = None
    with pytest.raises(ConfigError, match="IFT_ROLE"):
        session.plan(MODEL, rows)
    session.role = job.refresh().description["RoleArn"]
    with pytest.raises(AttachError, match="EnableNetworkIsolation"):
        session.fine_tune(MODEL, rows, hyperparameters=QUICK, compute=Compute(network_isolation=False))
    job.stop()


def test_a_failed_run_says_why_and_is_tried_again_only_when_asked(session: Session) -> None:
    long = InstructionDataset.from_rows([{"instruction": "a" * 400, "output": "b"}] * 2)
    settings = {**QUICK, "max_input_length": 64}
    job = session.fine_tune(MODEL, long, hyperparameters=settings)
    with pytest.raises(TrainingJobFailed, match="max_input_length") as caught:
        job.wait(timeout=120)
    assert caught.value.failure_reason.startswith("AlgorithmError")
    assert any("max_input_length" in line for line in caught.value.log_tail)
    with pytest.raises(TrainingJobFailed, match=r"--retry"):
        session.fine_tune(MODEL, long, hyperparameters=settings)
    second = session.fine_tune(MODEL, long, hyperparameters=settings, retry=True)
    assert second.name == f"{job.name}-2"
    with pytest.raises(TrainingJobFailed):
        second.wait(timeout=120)
    with pytest.raises(JobError, match="Failed"):
        second.deploy()


def test_a_stopped_run_is_no_success_and_is_served_only_when_told(
    session: Session, rows: InstructionDataset
) -> None:
    job = session.fine_tune(MODEL, rows, hyperparameters={**QUICK, "epoch": 1000})
    for progress in job.watch():
        if any("ift_metrics" in line.message for line in progress.lines):
            job.stop()
            break
    with pytest.raises(TrainingJobStopped):
        job.wait(timeout=120)
    assert job.status == "Stopped"
    with pytest.raises(JobError, match="allow_unfinished"):
        job.deploy()
    with job.deploy(allow_unfinished=True) as endpoint:
        assert endpoint.invoke("Repeat the word\n\nx", max_tokens=2).completion_tokens is not None


def test_two_callers_at_once_start_one_job(session: Session, rows: InstructionDataset) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as pool:
        jobs = list(pool.map(lambda _: session.fine_tune(MODEL, rows, hyperparameters=QUICK), range(4)))
    assert {job.name for job in jobs} == {jobs[0].name}
    assert [job.attached for job in jobs].count(False) == 1
    jobs[0].stop()
    soon(lambda: len(list(session.training_jobs())) == 1)
