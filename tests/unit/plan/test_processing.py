"""Plans of processing jobs: what hosts get, under which names, and what AWS would say of the requests."""

from __future__ import annotations

import json

import pytest

from ift_sagemaker.data.sharding.order import Piece, WorkOrder
from ift_sagemaker.errors import RequestError
from ift_sagemaker.plan.plans import Place
from ift_sagemaker.plan.processing import Fleet, ProcessingPlan, path_of, plan_merge, plan_pieces
from ift_sagemaker.wire.program import Program, data_program
from ift_sagemaker.wire.template import PromptTemplate

PLACE = Place("us-east-1", "123456789012", "ours", "arn:aws:iam::123456789012:role/it")
PROGRAM = Program(b"program", "0" * 64)
SMALL, LARGE, HELD = "s3://rows/a.jsonl", "s3://rows/b/c.jsonl", "s3://held/t.jsonl"
STAMPS = {SMALL: ("one", 10), LARGE: ("two", 20), HELD: ("three", 5)}
ORDER = WorkOrder(
    "s3://rows/",
    (
        Piece(SMALL, path_of(SMALL), "alpaca"),
        Piece(LARGE, path_of(LARGE), "alpaca", PromptTemplate("{instruction}", "{output}")),
        Piece(HELD, path_of(HELD), "chat", held_out=True),
        Piece(SMALL, path_of(SMALL), "alpaca"),
    ),
    "openai",
    {"instruction": "question"},
    ("language",),
    1 << 20,
    ("s3://rows/none.jsonl",),
)


def _plan(order: WorkOrder = ORDER, fleet: Fleet | None = None, attempt: int = 1) -> ProcessingPlan:
    return plan_pieces("check", order, STAMPS, fleet or Fleet(2), PLACE, PROGRAM, attempt)


def test_an_order_comes_back_as_it_was_sent() -> None:
    assert WorkOrder.from_bytes(ORDER.to_bytes()) == ORDER


def test_requests_are_what_aws_takes() -> None:
    plan = _plan(fleet=Fleet(2, volume_kms_key="alias/mine", output_kms_key="alias/mine"))
    plan.check()
    merge = plan_merge(ORDER, plan, Fleet(2), PROGRAM)
    merge.check()
    assert merge.request["ProcessingResources"]["ClusterConfig"]["InstanceCount"] == 1
    assert plan.request["NetworkConfig"] == {"EnableNetworkIsolation": True}
    with pytest.raises(RequestError, match="InstanceType"):
        _plan(fleet=Fleet(2, "ml.none.large")).check()


def test_objects_are_dealt_out_by_bucket_the_largest_first_each_once() -> None:
    plan = _plan()
    inputs = {given["InputName"]: given["S3Input"] for given in plan.request["ProcessingInputs"]}
    contents = {PLACE.uri(upload.key): upload.source for upload in plan.uploads}
    dealt = [given for given in inputs.values() if given["S3DataType"] == "ManifestFile"]
    manifests = [json.loads(bytes(contents[given["S3Uri"]])) for given in dealt]
    assert sorted(manifests, key=len) == [
        [{"prefix": "s3://held/"}, "t.jsonl"],
        [{"prefix": "s3://rows/"}, "b/c.jsonl", "a.jsonl"],
    ]
    assert {given["S3DataDistributionType"] for given in dealt} == {"ShardedByS3Key"}
    for piece in ORDER.pieces:
        folder = f"/opt/ml/processing/input/{piece.path.partition('/')[0]}"
        assert folder in {given["LocalPath"] for given in dealt}
    assert {inputs[name]["S3DataDistributionType"] for name in ("program", "order")} == {"FullyReplicated"}


def test_the_same_work_has_the_same_name_whoever_does_it_and_other_work_another() -> None:
    name = _plan().name
    assert _plan(fleet=Fleet(1, "ml.c5.xlarge")).name == name
    assert _plan(attempt=2).name == f"{name}-2"
    changed = {**STAMPS, SMALL: ("another", 10)}
    others = {
        plan_pieces("check", ORDER, changed, Fleet(2), PLACE, PROGRAM).name,
        plan_pieces("convert", ORDER, STAMPS, Fleet(2), PLACE, PROGRAM).name,
        plan_pieces("check", ORDER, STAMPS, Fleet(2), PLACE, Program(b"", "1" * 64)).name,
        plan_merge(ORDER, _plan(), Fleet(), PROGRAM).name,
        plan_merge(ORDER, _plan(attempt=2), Fleet(), PROGRAM).name,
    }
    assert len(others | {name}) == 6


def test_the_program_for_data_brings_no_container_and_no_client() -> None:
    content = data_program().content
    assert b"ift_sagemaker/data/sharding/shards.py" in content
    assert b"ift_sagemaker/container" not in content
    assert b"ift_sagemaker/aws" not in content
