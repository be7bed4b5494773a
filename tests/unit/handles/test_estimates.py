"""Plans carry their estimate, limits reach the request, and a job tells what it has cost."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ift_sagemaker.catalog.prices import PriceBook
from ift_sagemaker.catalog.weights import describe
from ift_sagemaker.data import InstructionDataset
from ift_sagemaker.errors import CostLimitError
from ift_sagemaker.machine import LOOKS, measured_speed
from ift_sagemaker.plan.calibration import Calibration
from ift_sagemaker.plan.quantities import Range
from ift_sagemaker.plan.spec import Compute
from ift_sagemaker.plan.tokens import TokenCount
from ift_sagemaker.plan.workload import Training
from ift_sagemaker.session import Session
from ift_sagemaker.wire.hyperparameters import parse_hyperparameters, to_wire
from ift_sagemaker.wire.metrics import format_metrics
from tests.unit.handles.fakes import Clock, FakeAWS, job_plan
from tests.unit.handles.test_session import MODEL, ROWS, FakeWeights

MANY = InstructionDataset.from_rows([{"instruction": f"a{n} " * 300, "output": "b"} for n in range(2000)])
LIMITED = Compute(max_cost=1.0)


@pytest.fixture
def aws() -> FakeAWS:
    return FakeAWS()


@pytest.fixture
def session(aws: FakeAWS, tmp_path: Path) -> Session:
    (tmp_path / "config.json").write_text(
        json.dumps(
            {
                "num_hidden_layers": 30,
                "hidden_size": 576,
                "intermediate_size": 1536,
                "num_attention_heads": 9,
                "num_key_value_heads": 3,
                "vocab_size": 49152,
            }
        )
    )
    return Session(
        aws,  # type: ignore[arg-type]
        role="arn:aws:iam::123456789012:role/execution",
        weights=FakeWeights(describe(MODEL, tmp_path)),  # type: ignore[arg-type]
        patience=Clock().patience(),
    )


def _book(price: float) -> PriceBook:
    shipped = PriceBook.shipped()
    entry = shipped.prices["ml.g5.xlarge", "us-east-1"]
    changed = replace(entry, usd_per_hour=price, confidence="user")
    return replace(shipped, prices={**shipped.prices, ("ml.g5.xlarge", "us-east-1"): changed})


def test_a_plan_carries_its_estimate(session: Session) -> None:
    plan = job_plan(session, MODEL, MANY)
    assert plan.estimate is not None
    assert plan.estimate.subject.shape.stated
    assert plan.estimate.tokens.rows == 2000
    assert plan.to_dict()["estimate"]["usd"]["likely"] > 0
    assert "Estimate, not a quote" in plan._repr_html_()


def test_tokens_that_were_counted_go_before_the_estimate_of_them(session: Session) -> None:
    plan = job_plan(session, MODEL, ROWS, tokens=TokenCount.of_lengths([123], 1))
    assert plan.estimate is not None
    assert plan.estimate.tokens.total == 123


def test_held_out_rows_are_in_the_estimate(session: Session) -> None:
    alone, beside = (
        job_plan(session, MODEL, MANY).estimate,
        job_plan(session, MODEL, MANY, validation=MANY).estimate,
    )
    assert alone is not None
    assert beside is not None
    assert beside.flops.likely > alone.flops.likely


def test_the_price_of_a_plan_is_that_of_the_users_file(session: Session) -> None:
    session.prices = _book(10.0)
    plan = job_plan(session, MODEL, ROWS)
    assert plan.estimate is not None
    assert plan.cost.usd_per_hour == 10.0
    assert plan.cost.ceiling_usd == pytest.approx(plan.estimate.ceiling_usd, abs=0.01)


def test_without_a_limit_the_request_is_as_before(session: Session) -> None:
    plan = job_plan(session, MODEL, ROWS)
    assert plan.request["StoppingCondition"] == {"MaxRuntimeInSeconds": 4 * 3600}
    assert {tag["Key"] for tag in plan.request["Tags"]} == {"ift:fingerprint", "ift:kind", "ift:model-id"}


def test_a_limit_keeps_the_name_and_lowers_the_longest_run(session: Session, aws: FakeAWS) -> None:
    plan = job_plan(session, MODEL, ROWS, compute=LIMITED)
    assert plan.name == job_plan(session, MODEL, ROWS).name
    assert plan.estimate is not None
    seconds = plan.request["StoppingCondition"]["MaxRuntimeInSeconds"]
    assert seconds == int(3600 / 1.408) - plan.estimate.margin_seconds
    assert plan.cost.ceiling_usd is not None
    assert plan.cost.ceiling_usd <= 1.0
    job = session.fine_tune(MODEL, ROWS, compute=LIMITED)
    assert aws.jobs[job.name]["StoppingCondition"]["MaxRuntimeInSeconds"] == seconds


def test_nothing_is_sent_for_a_run_over_its_limit(session: Session, aws: FakeAWS) -> None:
    for compute in (Compute(max_cost=0.01), Compute(max_cost=5.0, instance_type="ml.p5.4xlarge")):
        with pytest.raises(CostLimitError):
            job_plan(session, MODEL, MANY, compute=compute)
        with pytest.raises(CostLimitError):
            session.fine_tune(MODEL, MANY, compute=compute)
    assert aws.calls == []
    assert aws.objects.sent == []


def test_a_users_price_makes_a_limit_possible(session: Session) -> None:
    eastern = PriceBook.shipped().prices["ml.g5.xlarge", "us-east-1"]
    stated = replace(eastern, instance_type="ml.p5.4xlarge", usd_per_hour=6.0, confidence="user")
    session.prices = PriceBook({("ml.p5.4xlarge", "us-east-1"): stated})
    plan = job_plan(session, MODEL, ROWS, compute=Compute(max_cost=5.0, instance_type="ml.p5.4xlarge"))
    assert plan.request["StoppingCondition"]["MaxRuntimeInSeconds"] < 3000


def test_attaching_to_a_run_that_is_there_needs_no_budget(session: Session) -> None:
    job = session.fine_tune(MODEL, ROWS)
    again = session.fine_tune(MODEL, ROWS, compute=Compute(max_cost=0.01))
    assert (again.name, again.attached) == (job.name, True)


def test_instance_types_are_offered_for_a_plan(session: Session) -> None:
    found = job_plan(session, MODEL, ROWS).estimate
    assert found is not None
    offers = session.offers(found)
    assert offers[0].usable
    assert not offers[-1].usable


def test_a_job_tells_its_cost_beside_the_estimate(session: Session, aws: FakeAWS) -> None:
    job = session.fine_tune(MODEL, ROWS)
    assert job.cost().usd is None
    arn = f"arn:aws:sagemaker:us-east-1:123456789012:training-job/{job.name}"
    aws.jobs[job.name].update(TrainingJobArn=arn, TrainingTimeInSeconds=900, BillableTimeInSeconds=900)
    cost = job.cost()
    assert cost.usd == round(900 * 1.408 / 3600, 2)
    assert cost.estimated_usd is not None
    assert not cost.billed, "its tags say that it ran on this machine"
    assert session.training_job(job.name).cost().estimated_usd is None


# -- a speed measured on this machine


def _finish(aws: FakeAWS, name: str, **changes: Any) -> None:
    aws.jobs[name] = {
        "TrainingJobName": name,
        "TrainingJobArn": f"arn:{name}",
        "TrainingJobStatus": "Completed",
        "TrainingTimeInSeconds": 60,
        "AlgorithmSpecification": {"ContainerArguments": ["train"]},
        "HyperParameters": to_wire(parse_hyperparameters({})),
        "Environment": {"IFT_MODEL_ID": MODEL},
        **changes,
    }


DEFAULT = Training.of_hyperparameters(parse_hyperparameters({}))


def test_the_newest_comparable_job_gives_the_machines_speed(aws: FakeAWS) -> None:
    aws.logs = [[format_metrics({"tokens_per_second": speed}) for speed in (100, 350, 351, 352)]]
    _finish(aws, f"ift-{MODEL}-0", Environment={"IFT_MODEL_ID": "another"})
    _finish(aws, f"ift-{MODEL}-1", TrainingJobStatus="Failed")
    _finish(aws, f"ift-{MODEL}-2", HyperParameters=to_wire(parse_hyperparameters({"peft_type": "None"})))
    assert measured_speed(aws, MODEL, DEFAULT) is None  # type: ignore[arg-type]
    _finish(aws, f"ift-{MODEL}-3")
    found = measured_speed(aws, MODEL, DEFAULT)  # type: ignore[arg-type]
    assert found is not None
    assert (found.job_name, found.tokens_per_second.likely) == (f"ift-{MODEL}-3", 351)


def test_only_a_few_jobs_are_looked_at(aws: FakeAWS) -> None:
    looks: list[dict[str, Any]] = []
    aws.on_describe = looks.append
    for number in range(3 * LOOKS):
        _finish(aws, f"ift-{MODEL}-{number}", Environment={})
    assert measured_speed(aws, MODEL, DEFAULT) is None  # type: ignore[arg-type]
    assert len(looks) == LOOKS


def test_only_a_session_of_this_machine_asks_for_its_speed(session: Session) -> None:
    plain = job_plan(session, MODEL, ROWS).estimate
    assert plain is not None
    assert not plain.target.local
    session.calibrate = lambda _client, _model, _training: Calibration("j", Range(1, 2, 3), 0.0, 5)
    local = job_plan(session, MODEL, ROWS).estimate
    assert local is not None
    assert local.here_seconds is not None
    assert "on this machine" in str(local)
