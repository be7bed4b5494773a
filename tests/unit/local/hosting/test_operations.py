"""Models, endpoint configurations and endpoints through boto3: real supervisors, real servers."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.unit.local.conftest import SUPERVISOR
from tests.unit.local.machine import (
    BUCKET,
    SERVER,
    SERVER_IMAGE,
    LocalAWS,
    Settle,
    archive,
    processes_of,
    refusal,
)

Make = Callable[..., LocalAWS]
ROLE = "arn:aws:iam::123456789012:role/ift-local"
VLLM = "763104351884.dkr.ecr.us-east-1.amazonaws.com/vllm:server-sagemaker-cuda-v2.6"


def kill(root: Path, wanted: Callable[[bytes], bool]) -> int:
    found = [pid for pid, command in processes_of(root) if wanted(command)]
    for pid in found:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return len(found)


def test_an_endpoint_comes_into_service_and_is_deleted_without_a_trace(either_aws: LocalAWS) -> None:
    either_aws.host()
    assert either_aws.endpoint()["EndpointStatus"] == "Creating"
    endpoint = either_aws.settled()
    assert endpoint["EndpointStatus"] == "InService", either_aws.endpoint_log()
    (variant,) = endpoint["ProductionVariants"]
    assert (variant["CurrentInstanceCount"], variant["CurrentWeight"]) == (1, 1.0)
    assert variant["DeployedImages"][0]["SpecifiedImage"] == SERVER_IMAGE
    either_aws.sagemaker.delete_endpoint(EndpointName="end")
    gone = ("ValidationException", f'Could not find endpoint "{endpoint["EndpointArn"]}".')
    describe = either_aws.sagemaker.describe_endpoint
    assert Settle().until(lambda: either_aws.store.get("endpoint", "end") is None)
    assert refusal(describe, EndpointName="end") == gone
    assert list((either_aws.root / "endpoints").iterdir()) == []
    assert Settle(2).until(lambda: not processes_of(either_aws.root))


def test_an_endpoint_that_is_being_deleted_says_so(aws: LocalAWS) -> None:
    stubborn = """
import os, signal, time
signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.6), os._exit(0)))
"""
    aws.host(script=stubborn + SERVER)
    assert aws.settled()["EndpointStatus"] == "InService"
    aws.sagemaker.delete_endpoint(EndpointName="end")
    assert aws.endpoint()["EndpointStatus"] == "Deleting"
    assert Settle().until(lambda: aws.store.get("endpoint", "end") is None)


def test_an_endpoint_in_the_making_cannot_be_deleted(aws: LocalAWS) -> None:
    aws.host(Environment={"PING": "503"})
    code, message = refusal(aws.sagemaker.delete_endpoint, EndpointName="end")
    assert (code, message.startswith("Cannot update in-progress endpoint")) == ("ValidationException", True)


def test_a_server_that_ends_before_it_is_healthy_fails_the_endpoint_with_its_last_lines(
    either_aws: LocalAWS,
) -> None:
    either_aws.host(script="print('no such weights')\nraise SystemExit(1)")
    endpoint = either_aws.settled()
    assert endpoint["EndpointStatus"] == "Failed"
    assert "did not pass the ping health check" in endpoint["FailureReason"]
    assert endpoint["FailureReason"].endswith("Last lines: no such weights")
    assert either_aws.endpoint_log()[-1] == "no such weights"
    either_aws.sagemaker.delete_endpoint(EndpointName="end")
    assert Settle().until(lambda: either_aws.sagemaker.list_endpoints()["Endpoints"] == [])


def test_a_server_that_dies_is_restarted_once_and_then_given_up(aws: LocalAWS) -> None:
    aws.host()
    aws.settled()
    first = aws.store.get("endpoint", "end")
    assert first is not None
    assert kill(aws.root, lambda command: b"server.py" in command) == 1
    again = Settle().until(lambda: restarted(aws, first["_programs"][0]["pid"]))
    assert again, aws.endpoint()
    assert aws.endpoint()["EndpointStatus"] == "InService"
    kill(aws.root, lambda command: b"server.py" in command)
    assert Settle().until(lambda: aws.endpoint()["EndpointStatus"] == "Failed")
    assert "exit code 137, again" in aws.endpoint()["FailureReason"]


def restarted(aws: LocalAWS, before: int) -> bool:
    found = aws.store.get("endpoint", "end")
    return bool(found and found["_fleet"]["variants"][0]["port"] and found["_programs"][0]["pid"] != before)


def test_an_endpoint_whose_supervisor_is_killed_is_failed_and_can_be_deleted(either_aws: LocalAWS) -> None:
    either_aws.host()
    assert either_aws.settled()["EndpointStatus"] == "InService"
    kill(either_aws.root, lambda command: SUPERVISOR in command)
    assert Settle().until(lambda: either_aws.endpoint()["EndpointStatus"] == "Failed")
    assert either_aws.endpoint()["FailureReason"].startswith(
        "InternalServerError: the supervisor of this end"
    )
    assert Settle(3).until(lambda: not processes_of(either_aws.root))
    either_aws.sagemaker.delete_endpoint(EndpointName="end")
    assert either_aws.sagemaker.list_endpoints()["Endpoints"] == []


def test_a_deletion_is_finished_even_where_the_supervisor_died_over_it(aws: LocalAWS) -> None:
    aws.host()
    aws.settled()
    kill(aws.root, lambda command: SUPERVISOR in command)
    Settle(3).until(lambda: not processes_of(aws.root))
    aws.store.update("endpoint", "end", lambda found: {**found, "EndpointStatus": "Deleting"})
    assert aws.sagemaker.list_endpoints()["Endpoints"] == []
    assert list((aws.root / "endpoints").iterdir()) == []


def test_a_model_of_plain_files_is_served_from_its_prefix(either_aws: LocalAWS) -> None:
    either_aws.put("plain/server.py", SERVER)
    either_aws.register_server()
    source = {"S3Uri": f"s3://{BUCKET}/plain/", "S3DataType": "S3Prefix", "CompressionType": "None"}
    either_aws.create_model("end", ModelDataUrl=None, ModelDataSource={"S3DataSource": source})
    either_aws.create_config("end")
    either_aws.sagemaker.create_endpoint(EndpointName="end", EndpointConfigName="end")
    assert either_aws.settled()["EndpointStatus"] == "InService", either_aws.endpoint_log()


def test_a_damaged_model_archive_fails_the_endpoint_and_says_which(aws: LocalAWS) -> None:
    aws.register_server()
    whole = archive({"server.py": os.urandom(5000)})
    aws.put("models/end/model.tar.gz", whole[: len(whole) // 2])
    aws.create_model("end")
    aws.create_config("end")
    aws.sagemaker.create_endpoint(EndpointName="end", EndpointConfigName="end")
    reason = aws.settled()["FailureReason"]
    assert reason.startswith(f'Failed to extract model data archive from URL "s3://{BUCKET}/models/end')


def test_a_model_archive_that_is_gone_fails_the_endpoint(aws: LocalAWS) -> None:
    aws.register_server()
    aws.put("models/end/model.tar.gz", archive({}))
    aws.create_model("end")
    aws.create_config("end")
    aws.objects.delete(BUCKET, "models/end/model.tar.gz")
    aws.sagemaker.create_endpoint(EndpointName="end", EndpointConfigName="end")
    assert aws.settled()["FailureReason"].startswith("Failed to download model data from URL")


def test_an_endpoint_waits_for_a_slot(make_aws: Make) -> None:
    aws = make_aws(runner="process", endpoint_slots=1)
    aws.host("first")
    assert aws.settled("first")["EndpointStatus"] == "InService"
    aws.host("second")
    assert not Settle(0.5).until(lambda: aws.endpoint("second")["EndpointStatus"] != "Creating")
    aws.sagemaker.delete_endpoint(EndpointName="first")
    assert aws.settled("second")["EndpointStatus"] == "InService"


def test_duplicates_and_unknown_names_are_refused_in_the_words_of_aws(aws: LocalAWS) -> None:
    aws.put("models/end/model.tar.gz", archive({}))
    aws.register_server()
    aws.create_model("end")
    aws.create_config("end")
    client, arn = aws.sagemaker, "arn:aws:sagemaker:us-east-1:123456789012:"
    variant = {"VariantName": "v", "InitialInstanceCount": 1, "InstanceType": "ml.m5.xlarge"}
    cases: list[tuple[Callable[..., object], dict[str, Any], str]] = [
        (
            client.create_model,
            {"ModelName": "end", "PrimaryContainer": {"Image": SERVER_IMAGE}, "ExecutionRoleArn": ROLE},
            f'Cannot create already existing model "{arn}model/end".',
        ),
        (
            client.create_endpoint_config,
            {"EndpointConfigName": "end", "ProductionVariants": [{**variant, "ModelName": "end"}]},
            f'Cannot create already existing endpoint configuration "{arn}endpoint-config/end".',
        ),
        (
            client.create_endpoint_config,
            {"EndpointConfigName": "new", "ProductionVariants": [{**variant, "ModelName": "other"}]},
            f'Could not find model "{arn}model/other".',
        ),
        (
            client.create_endpoint,
            {"EndpointName": "new", "EndpointConfigName": "other"},
            f'Could not find endpoint configuration "{arn}endpoint-config/other".',
        ),
        (client.describe_model, {"ModelName": "other"}, f'Could not find model "{arn}model/other".'),
        (client.delete_model, {"ModelName": "other"}, f'Could not find model "{arn}model/other".'),
        (
            client.delete_endpoint_config,
            {"EndpointConfigName": "other"},
            f'Could not find endpoint configuration "{arn}endpoint-config/other".',
        ),
        (
            client.delete_endpoint,
            {"EndpointName": "other"},
            f'Could not find endpoint "{arn}endpoint/other".',
        ),
    ]
    for call, params, message in cases:
        assert refusal(call, **params) == ("ValidationException", message)


def test_an_endpoint_name_is_taken_while_the_endpoint_is_there(aws: LocalAWS) -> None:
    aws.host()
    code, message = refusal(aws.sagemaker.create_endpoint, EndpointName="end", EndpointConfigName="end")
    assert code == "ValidationException"
    assert message.startswith("Cannot create already existing endpoint")


def test_model_and_configuration_are_described_listed_tagged_and_deleted(aws: LocalAWS) -> None:
    aws.put("models/end/model.tar.gz", archive({}))
    aws.create_model("end", Image=VLLM, Environment={"SM_VLLM_MAX_MODEL_LEN": "512"})
    aws.create_config("end", ContainerStartupHealthCheckTimeoutInSeconds=60)
    model = aws.sagemaker.describe_model(ModelName="end")
    assert model["PrimaryContainer"]["Environment"] == {"SM_VLLM_MAX_MODEL_LEN": "512"}
    config = aws.sagemaker.describe_endpoint_config(EndpointConfigName="end")
    assert config["ProductionVariants"][0]["ContainerStartupHealthCheckTimeoutInSeconds"] == 60
    assert [item["ModelName"] for item in aws.sagemaker.list_models()["Models"]] == ["end"]
    listed = aws.sagemaker.list_endpoint_configs(NameContains="EN")["EndpointConfigs"]
    assert [item["EndpointConfigArn"] for item in listed] == [config["EndpointConfigArn"]]
    tags = aws.sagemaker.list_tags(ResourceArn=model["ModelArn"])["Tags"]
    assert [tag["Key"] for tag in tags] == ["ift:executed-image"]
    aws.sagemaker.add_tags(ResourceArn=config["EndpointConfigArn"], Tags=[{"Key": "a", "Value": "b"}])
    assert aws.sagemaker.list_tags(ResourceArn=config["EndpointConfigArn"])["Tags"] == [
        {"Key": "a", "Value": "b"}
    ]
    aws.sagemaker.delete_tags(ResourceArn=config["EndpointConfigArn"], TagKeys=["a"])
    assert aws.sagemaker.list_tags(ResourceArn=config["EndpointConfigArn"])["Tags"] == []
    aws.sagemaker.delete_endpoint_config(EndpointConfigName="end")
    aws.sagemaker.delete_model(ModelName="end")
    assert aws.sagemaker.list_models()["Models"] == []


def test_tags_of_something_unknown_are_refused(aws: LocalAWS) -> None:
    for arn in (
        "arn:aws:sagemaker:us-east-1:123456789012:model/other",
        "arn:aws:sagemaker:eu-west-1:123456789012:model/other",
        "arn:aws:sagemaker:us-east-1:123456789012:notebook-instance/other",
    ):
        assert refusal(aws.sagemaker.list_tags, ResourceArn=arn)[0] == "ValidationException"


def test_model_data_that_is_not_there_is_refused_at_creation(aws: LocalAWS) -> None:
    container = {"Image": VLLM, "ModelDataUrl": "s3://nowhere/model.tar.gz"}
    refused = refusal(
        aws.sagemaker.create_model, ModelName="m", PrimaryContainer=container, ExecutionRoleArn=ROLE
    )
    assert refused == ("ValidationException", "Could not find model data at s3://nowhere/model.tar.gz.")


@pytest.mark.parametrize(
    ("container", "words"),
    [
        ({"Image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/other:1"}, "has no local container"),
        ({"Image": VLLM, "Mode": "MultiModel"}, "MultiModel"),
        ({"ModelPackageName": "package"}, "without PrimaryContainer.Image"),
    ],
)
def test_models_that_cannot_be_hosted_are_refused_by_name(
    aws: LocalAWS, container: dict[str, Any], words: str
) -> None:
    code, message = refusal(
        aws.sagemaker.create_model, ModelName="m", PrimaryContainer=container, ExecutionRoleArn=ROLE
    )
    assert code == "UnsupportedOperation"
    assert words in message


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"InitialInstanceCount": 2}, "on 2 instances"),
        ({"CoreDumpConfig": {"DestinationS3Uri": "s3://bucket/dump"}}, "CoreDumpConfig"),
        (
            {
                "InitialInstanceCount": None,
                "InstanceType": None,
                "ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 1},
            },
            "ServerlessConfig",
        ),
    ],
)
def test_variants_that_cannot_be_hosted_are_refused_by_name(
    aws: LocalAWS, change: dict[str, Any], words: str
) -> None:
    whole = {
        "VariantName": "v",
        "ModelName": "m",
        "InitialInstanceCount": 1,
        "InstanceType": "ml.m5.xlarge",
        **change,
    }
    variant = {name: value for name, value in whole.items() if value is not None}
    code, message = refusal(
        aws.sagemaker.create_endpoint_config, EndpointConfigName="c", ProductionVariants=[variant]
    )
    assert code == "UnsupportedOperation"
    assert words in message
