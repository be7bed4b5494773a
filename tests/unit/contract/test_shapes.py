from __future__ import annotations

from typing import Any

import pytest

from ift_sagemaker.contract import shapes
from ift_sagemaker.errors import ConfigError
from tests.unit.contract.requests import ACCEPTED, MODEL, TRAINING, changed

REFUSED: list[tuple[dict[str, Any], str]] = [
    (changed(TRAINING, TrainingJobName="a_b"), "TrainingJobName: 'a_b' does not match"),
    (changed(TRAINING, TrainingJobName="a.b"), "TrainingJobName: 'a.b' does not match"),
    (changed(TRAINING, TrainingJobName="ab\n"), "TrainingJobName: 'ab\\n' does not match"),
    (changed(TRAINING, TrainingJobName="éb"), "TrainingJobName: 'éb' does not match"),
    (changed(TRAINING, TrainingJobName="a" * 64), "TrainingJobName: 64 characters, allowed are at most 63"),
    (changed(TRAINING, TrainingJobName=""), "TrainingJobName"),
    (changed(TRAINING, TrainingJobName=None), 'Missing required parameter in input: "TrainingJobName"'),
    (changed(TRAINING, TrainingJobname="a"), 'Unknown parameter in input: "TrainingJobname"'),
    (changed(TRAINING, RoleArn="arn:aws:iam::12345678901٣:role/x"), "RoleArn"),
    (changed(TRAINING, HyperParameters={"a": "x" * 2501}), "HyperParameters.a: 2501 characters"),
    (changed(TRAINING, HyperParameters={"x" * 257: "a"}), "(key 'xxx"),
    (changed(TRAINING, HyperParameters={f"k{n}": "1" for n in range(101)}), "HyperParameters: 101 entries"),
    (changed(TRAINING, HyperParameters={"epoch": 2}), "HyperParameters.epoch"),
    (changed(TRAINING, Environment={"1 bad": "x"}), "Environment (key '1 bad'): '1 bad' does not match"),
    (changed(TRAINING, Environment={"A": "x" * 513}), "Environment.A: 513 characters"),
    (changed(TRAINING, OutputDataConfig__S3OutputPath="/x/y"), "OutputDataConfig.S3OutputPath: '/x/y'"),
    (changed(TRAINING, ResourceConfig__InstanceType="ml.zz"), "ResourceConfig.InstanceType: 'ml.zz'"),
    (changed(TRAINING, ResourceConfig__InstanceCount=-1), "ResourceConfig.InstanceCount"),
    (changed(TRAINING, StoppingCondition__MaxRuntimeInSeconds=0), "MaxRuntimeInSeconds"),
    (changed(TRAINING, StoppingCondition__MaxPendingTimeInSeconds=1799), "MaxPendingTimeInSeconds"),
    (changed(TRAINING, StoppingCondition__MaxPendingTimeInSeconds=2_419_201), "at most 2419200"),
    (
        changed(TRAINING, AlgorithmSpecification__ContainerArguments=["x" * 257]),
        "AlgorithmSpecification.ContainerArguments[0]: 257 characters, allowed are at most 256",
    ),
    (changed(TRAINING, InputDataConfig__0__InputMode="file"), "'file' is not one of Pipe, File, FastFile"),
    (changed(TRAINING, Tags=[{"Key": "k", "Value": "v"}] * 51), "Tags: 51 items"),
]


@pytest.mark.parametrize("operation", ACCEPTED)
def test_a_request_as_the_library_makes_it_has_no_violation(operation: str) -> None:
    assert shapes.violations("sagemaker", operation, ACCEPTED[operation]) == []


@pytest.mark.parametrize(("params", "text"), REFUSED, ids=[text[:50] for _, text in REFUSED])
def test_a_request_of_the_wrong_shape_is_named_with_its_path(params: dict[str, Any], text: str) -> None:
    found = shapes.violations("sagemaker", "CreateTrainingJob", params)
    assert len(found) == 1 or "RoleArn" in text or text == "TrainingJobName"
    assert any(text in violation for violation in found), found


def test_all_violations_of_a_request_are_reported_at_once() -> None:
    params = changed(TRAINING, TrainingJobName="a_b", HyperParameters={"a": "x" * 2501}, RoleArn=None)
    assert len(shapes.violations("sagemaker", "CreateTrainingJob", params)) == 3


def test_a_value_of_the_wrong_type_is_one_violation_and_no_crash() -> None:
    params = changed(TRAINING, InputDataConfig="x", ResourceConfig=[1], TrainingJobName=5)
    assert len(shapes.violations("sagemaker", "CreateTrainingJob", params)) == 3


def test_an_unlisted_instance_type_passes_only_where_the_caller_allows_newer_ones() -> None:
    params = changed(TRAINING, ResourceConfig__InstanceType="ml.g99.48xlarge")
    assert len(shapes.violations("sagemaker", "CreateTrainingJob", params)) == 1
    assert shapes.violations("sagemaker", "CreateTrainingJob", params, known_instances_only=False) == []
    malformed = changed(TRAINING, ResourceConfig__InstanceType="g99.48xlarge")
    assert shapes.violations("sagemaker", "CreateTrainingJob", malformed, known_instances_only=False)


def test_a_long_value_is_shortened_in_the_message() -> None:
    params = changed(MODEL, PrimaryContainer__Image="a b" * 80)
    (found,) = shapes.violations("sagemaker", "CreateModel", params)
    assert len(found) < 130


def test_a_body_over_six_mebibytes_is_named() -> None:
    largest = {"EndpointName": "e", "Body": b"x" * 6_291_456}
    assert shapes.violations("sagemaker-runtime", "InvokeEndpoint", largest) == []
    larger = {"EndpointName": "e", "Body": b"x" * 6_291_457}
    (found,) = shapes.violations("sagemaker-runtime", "InvokeEndpoint", larger)
    assert found == "Body: 6291457 bytes, allowed are at most 6291456"


def test_other_services_are_checked_too() -> None:
    assert shapes.violations("s3", "PutObject", {"Bucket": "b", "Key": "k", "Body": b""}) == []
    assert shapes.violations("s3", "PutObject", {"Bucket": "b", "Key": ""})
    assert shapes.violations("sts", "GetCallerIdentity", {"a": 1})


def test_unknown_names_are_a_config_error() -> None:
    with pytest.raises(ConfigError, match="no service 'sagemakr'"):
        shapes.violations("sagemakr", "CreateModel", {})
    with pytest.raises(ConfigError, match="no operation 'MakeModel'"):
        shapes.violations("sagemaker", "MakeModel", {})


def test_patterns_that_python_cannot_compile_are_known_and_few() -> None:
    skipped = shapes.skipped_patterns("sagemaker")
    assert {"TagKey", "TagValue", "TrainingRepositoryCredentialsProviderArn"} <= set(skipped)
    assert len(skipped) < 40


def test_of_the_requests_made_here_only_tags_catalogs_and_registry_credentials_have_a_skipped_pattern() -> (
    None
):
    used: set[str] = set()
    for operation in ACCEPTED:
        model = shapes.service_model("sagemaker").operation_model(operation)
        _collect(model.input_shape, used)
    assert used & set(shapes.skipped_patterns("sagemaker")) == {
        "AthenaCatalog",
        "TagKey",
        "TagValue",
        "TrainingRepositoryCredentialsProviderArn",
    }


def test_the_model_is_read_once() -> None:
    assert shapes.service_model("sagemaker") is shapes.service_model("sagemaker")


def _collect(shape: Any, names: set[str]) -> None:
    names.add(shape.name)
    inner = list(getattr(shape, "members", {}).values())
    inner += [getattr(shape, part) for part in ("member", "key", "value") if hasattr(shape, part)]
    for member in inner:
        _collect(member, names)
