"""Route `container`: intent in, uploads and the exact request out."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ift_sagemaker.catalog.weights import Weights, WeightsFile
from ift_sagemaker.errors import ConfigError, RequestError, UnsupportedError
from ift_sagemaker.plan.plans import JobPlan, Place
from ift_sagemaker.plan.routes.container import (
    EvaluationInputs,
    Rows,
    TrainingInputs,
    TunedModel,
    plan_evaluation,
    plan_training,
)
from ift_sagemaker.plan.spec import Compute, FineTuneSpec, parse
from ift_sagemaker.wire.program import build, program

PLACE = Place("us-east-1", "123456789012", "bucket", "arn:aws:iam::123456789012:role/execution")
WEIGHTS = Weights("m", Path("/weights"), (WeightsFile("model.safetensors", 10, "a" * 64),), "b" * 64)
ROWS = Rows({"train.jsonl": b"{}\n", "template.json": b"{}"}, "c" * 64, 1)
SPEC = FineTuneSpec(model="smollm2-135m-instruct")
INPUTS = TrainingInputs(SPEC, WEIGHTS, program(), ROWS)


def _plan(**changes: Any) -> JobPlan:
    return plan_training(replace(INPUTS, **changes), PLACE)


def _compute(**values: Any) -> dict[str, Any]:
    return {"spec": FineTuneSpec(model=SPEC.model, compute=Compute(**values))}


def _channels(plan: JobPlan) -> dict[str, str]:
    return {
        channel["ChannelName"]: channel["DataSource"]["S3DataSource"]["S3Uri"]
        for channel in plan.request["InputDataConfig"]
    }


def test_the_request_passes_awss_shapes_and_rules() -> None:
    _plan().check()


def test_program_weights_and_rows_are_channels_named_by_their_content() -> None:
    channels = _channels(_plan())
    assert channels["training"] == f"s3://bucket/ift/data/{'c' * 64}/"
    assert channels["model"] == f"s3://bucket/ift/weights/smollm2-135m-instruct/{'b' * 64}/"
    assert channels["program"] == f"s3://bucket/ift/program/{program().sha256}/"


def test_every_channel_is_filled_by_an_upload() -> None:
    plan = _plan(validation=replace(ROWS, fingerprint="d" * 64))
    keys = [plan.place.uri(upload.key) for upload in plan.uploads]
    for name, uri in _channels(plan).items():
        assert any(key.startswith(uri) for key in keys), name


def test_output_and_checkpoints_carry_the_attempt() -> None:
    second = plan_training(INPUTS, PLACE, attempt=2)
    assert second.name.endswith("-2")
    assert second.request["CheckpointConfig"]["S3Uri"] == f"s3://bucket/ift/checkpoints/{second.name}/"
    assert second.fingerprint == _plan().fingerprint


@pytest.mark.parametrize(
    "change",
    [
        {"weights": replace(WEIGHTS, content_hash="e" * 64)},
        {"training": replace(ROWS, fingerprint="e" * 64)},
        {"validation": ROWS},
        {"spec": FineTuneSpec(model=SPEC.model, hyperparameters={"seed": 11})},
        {"program": replace(program(), sha256="e" * 64)},
    ],
    ids=["weights", "rows", "validation", "hyperparameters", "program"],
)
def test_what_decides_the_weights_changes_the_name(change: dict[str, Any]) -> None:
    assert _plan(**change).name != _plan().name


@pytest.mark.parametrize(
    "change",
    [
        _compute(instance_type="ml.g5.2xlarge"),
        _compute(max_runtime_in_seconds=3600),
        {"spec": FineTuneSpec(model=SPEC.model, tags={"team": "a"})},
        {"spec": FineTuneSpec(model=SPEC.model, hyperparameters={"epoch": 2, "learning_rate": "5e-4"})},
    ],
    ids=["instance", "runtime", "tags", "defaults spelled out"],
)
def test_what_does_not_decide_the_weights_keeps_the_name(change: dict[str, Any]) -> None:
    assert _plan(**change).name == _plan().name


def test_role_and_region_keep_the_name() -> None:
    elsewhere = Place("eu-central-1", "210987654321", "other", "arn:aws:iam::210987654321:role/other")
    assert plan_training(INPUTS, elsewhere).name == _plan().name


def test_hyperparameters_travel_as_strings_with_defaults_filled_in() -> None:
    sent = _plan().request["HyperParameters"]
    assert sent["merge_weights"] == "True"
    assert all(isinstance(value, str) for value in sent.values())


def test_a_wrong_hyperparameter_is_refused() -> None:
    with pytest.raises(ConfigError, match="did you mean epoch"):
        _plan(spec=FineTuneSpec(model=SPEC.model, hyperparameters={"epochs": 2}))


def test_volume_size_is_left_out_where_local_nvme_is_used() -> None:
    assert "VolumeSizeInGB" not in _plan().request["ResourceConfig"]
    assert _plan(**_compute(instance_type="ml.m5.xlarge")).request["ResourceConfig"]["VolumeSizeInGB"] == 50


def test_a_volume_key_on_local_nvme_is_refused_by_the_rules() -> None:
    with pytest.raises(RequestError, match="VolumeKmsKeyId"):
        _plan(**_compute(volume_kms_key="k")).check()


def test_spot_waits_at_least_as_long_as_it_runs() -> None:
    plan = _plan(**_compute(spot=True, max_runtime_in_seconds=3600))
    plan.check()
    assert plan.request["EnableManagedSpotTraining"] is True
    assert plan.request["StoppingCondition"]["MaxWaitTimeInSeconds"] == 7200
    with pytest.raises(RequestError, match="MaxWaitTimeInSeconds"):
        _plan(**_compute(spot=True, max_runtime_in_seconds=3600, max_wait_in_seconds=600)).check()


def test_network_and_keys_reach_the_request() -> None:
    compute = {
        "subnets": ("subnet-1",),
        "security_group_ids": ("sg-1",),
        "output_kms_key": "key",
        "network_isolation": False,
    }
    request = _plan(**_compute(**compute)).request
    assert request["VpcConfig"] == {"Subnets": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
    assert request["OutputDataConfig"]["KmsKeyId"] == "key"
    assert request["EnableNetworkIsolation"] is False


def test_accelerators_that_would_idle_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="8 NVIDIA"):
        _plan(**_compute(instance_type="ml.g5.48xlarge"))


def test_security_groups_without_subnets_are_refused() -> None:
    with pytest.raises(ConfigError, match="belong together"):
        parse(Compute, {"security_group_ids": ("sg-1",)})


def test_an_instance_type_aws_does_not_have_is_refused() -> None:
    with pytest.raises(RequestError, match=r"ml\.zz"):
        _plan(**_compute(instance_type="ml.zz")).check()


def test_the_cost_is_a_ceiling_and_says_where_the_price_is_from() -> None:
    cost = _plan(**_compute(max_runtime_in_seconds=3480)).cost
    assert cost.ceiling_usd == pytest.approx(1.408)
    assert "estimate" in str(cost)
    assert "as of" in str(cost)
    assert "no price known" in str(_plan(**_compute(instance_type="ml.c5.4xlarge")).cost)


def test_a_plan_prints_what_it_would_send() -> None:
    text = str(_plan())
    assert "CreateTrainingJob" in text
    assert "123456789012" in text
    assert json.loads(json.dumps(_plan().to_dict()))["uploads"][0]["bytes"] > 0
    assert "<pre>" in _plan()._repr_html_()


def test_an_evaluation_compares_the_jobs_artifact_with_its_base() -> None:
    tuned = TunedModel("job", "m", "s3://b/job/model.tar.gz", "s3://b/base/", Compute())
    plan = plan_evaluation(EvaluationInputs(tuned, ROWS, program(), {}), PLACE)
    plan.check()
    assert _channels(plan)["tuned"] == "s3://b/job/model.tar.gz"
    assert _channels(plan)["base"] == "s3://b/base/"
    assert plan.request["AlgorithmSpecification"]["ContainerArguments"] == ["evaluate"]
    assert plan.name.endswith("-eval")


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,79}", fullmatch=True))
def test_any_model_id_gives_a_request_aws_takes(model_id: str) -> None:
    plan_training(replace(INPUTS, spec=FineTuneSpec(model=model_id)), PLACE).check()


def test_every_wrong_field_of_a_specification_is_told_at_once() -> None:
    with pytest.raises(ConfigError, match=r"instance_count.*max_runtime") as caught:
        parse(Compute, {"instance_count": 0, "max_runtime_in_seconds": 1})
    assert caught.value.field == "instance_count"


def test_the_program_is_a_reproducible_zip_that_python_runs(tmp_path: Path) -> None:
    content = program().content
    assert build().content == content
    names = zipfile.ZipFile(BytesIO(content)).namelist()
    assert "ift_sagemaker/container/train.py" in names
    assert not [name for name in names if "/aws/" in name or "/local/" in name]
    path = tmp_path / "ift_program.pyz"
    path.write_bytes(content)
    run = subprocess.run([sys.executable, "-I", str(path)], check=False, capture_output=True, text=True)
    assert "train" in run.stdout + run.stderr
