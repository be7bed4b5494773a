"""The application: routing, checks before any handler, printed answers, and the same over HTTP."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.request import urlopen
from wsgiref.simple_server import WSGIRequestHandler, make_server
from wsgiref.validate import validator

import boto3
import pytest
from botocore.exceptions import ClientError

from ift_sagemaker.contract.shapes import service_model
from ift_sagemaker.errors import ConfigError
from ift_sagemaker.local import boto3_session
from ift_sagemaker.local.context import create_context
from ift_sagemaker.local.door.app import create_app
from ift_sagemaker.local.door.json_services import SERVICES, check, output_shape, printed
from ift_sagemaker.local.protocol.errors import ServiceError, disk_full
from ift_sagemaker.local.state.resources import split_s3
from ift_sagemaker.local.state.settings import Context, LocalSettings


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Context]:
    made = create_context(LocalSettings(root=tmp_path / "root"))
    yield made
    made.store.close()


class Wire:
    """Sends bare HTTP requests to the application."""

    def __init__(self, context: Context) -> None:
        self._application = create_app(context)

    def send(
        self, method: str, path: str, body: bytes = b"", query: str = "", **variables: str
    ) -> tuple[int, dict[str, str], bytes]:
        answered: dict[str, Any] = {}

        def start(status: str, headers: list[tuple[str, str]]) -> None:
            answered.update(status=int(status[:3]), headers=dict(headers))

        environ = {
            "REQUEST_METHOD": method,
            "PATH_INFO": path.encode().decode("latin-1"),
            "QUERY_STRING": query,
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_HOST": "127.0.0.1:4566",
            "wsgi.input": io.BytesIO(body),
            **variables,
        }
        content = b"".join(self._application(environ, start))
        return answered["status"], answered["headers"], content

    def s3(
        self, method: str, path: str, body: bytes = b"", query: str = "", **variables: str
    ) -> tuple[int, bytes]:
        credential = "AWS4-HMAC-SHA256 Credential=KEY/20260101/us-east-1/s3/aws4_request, Signature=x"
        status, _, content = self.send(method, path, body, query, HTTP_AUTHORIZATION=credential, **variables)
        return status, content

    def target(self, target: str, body: bytes) -> tuple[int, dict[str, Any]]:
        status, _, content = self.send("POST", "/", body, HTTP_X_AMZ_TARGET=target)
        return status, json.loads(content)


@pytest.fixture
def wire(context: Context) -> Wire:
    context.objects.create_bucket("bkt")
    return Wire(context)


# JSON services


@pytest.mark.parametrize(
    ("target", "body", "code"),
    [
        ("Logs_20140328.CreateLogGroup", b"{", "SerializationException"),
        ("Logs_20140328.CreateLogGroup", b"[]", "SerializationException"),
        ("Logs_20140328.CreateLogGroup", b"{}", "ValidationException"),
        ("Logs_20140328.CreateLogGroup", b'{"logGroupName": "a b"}', "ValidationException"),
        ("Logs_20140328.CreateLogGroup", b'{"logGroupName": "a", "extra": 1}', "ValidationException"),
        ("Logs_20140328.NoSuchThing", b"{}", "UnsupportedOperation"),
        ("Elsewhere.DoIt", b"{}", "UnsupportedOperation"),
        ("nonsense", b"{}", "UnsupportedOperation"),
    ],
)
def test_a_bad_request_is_refused_in_json_with_its_code(
    wire: Wire, target: str, body: bytes, code: str
) -> None:
    status, answer = wire.target(target, body)
    assert (status, answer["__type"]) == (400, code)
    assert answer["message"]


def test_every_violation_is_told_at_once() -> None:
    with pytest.raises(ServiceError, match=r"2 validation errors detected: .*; .*"):
        check("logs", "CreateLogGroup", {"logGroupName": "a b", "logGroupClass": "NONE"})


def test_rules_beyond_the_shapes_are_law_for_sagemaker() -> None:
    request = {
        "ModelName": "m",
        "ExecutionRoleArn": "arn:aws:iam::123456789012:role/ift-local",
        "PrimaryContainer": {"Image": "image"},
        "Containers": [{"Image": "image"}],
    }
    with pytest.raises(ServiceError) as raised:
        check("sagemaker", "CreateModel", request)
    assert raised.value.code == "ValidationException"
    assert "validation error" not in raised.value.message


def _training(instance: str) -> dict[str, Any]:
    return {
        "TrainingJobName": "job",
        "RoleArn": "arn:aws:iam::123456789012:role/ift-local",
        "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
        "OutputDataConfig": {"S3OutputPath": "s3://bkt/out"},
        "ResourceConfig": {"InstanceType": instance, "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
    }


def test_an_instance_type_newer_than_botocore_is_taken_and_a_malformed_one_is_not() -> None:
    check("sagemaker", "CreateTrainingJob", _training("ml.z99.48xlarge"))
    with pytest.raises(ServiceError, match=r"ml\.z99_48"):
        check("sagemaker", "CreateTrainingJob", _training("ml.z99_48"))


@pytest.mark.parametrize("uri", ["https://s3.amazonaws.com/bkt/key?X-Amz-Signature=0123", "bkt/key"])
def test_an_address_of_another_form_is_not_offered_and_its_text_is_not_told(uri: str) -> None:
    with pytest.raises(ServiceError, match="in place of s3://") as raised:
        split_s3(uri)
    assert raised.value.code == "UnsupportedOperation"
    assert "key" not in raised.value.message
    assert uri.startswith("https") is ("https://" in raised.value.message)


def test_answers_hold_known_members_only_and_no_empty_structures() -> None:
    shape = output_shape("sagemaker", "DescribeTrainingJob")
    document = {
        "TrainingJobName": "j",
        "CreationTime": datetime(2026, 1, 1, tzinfo=UTC),
        "LastModifiedTime": 1.5,
        "_pid": 7,
        "Unknown": 1,
        "VpcConfig": {},
        "OutputDataConfig": {"_private": 1},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": None},
        "HyperParameters": {"_tuning_objective_metric": "x"},
        "SecondaryStatusTransitions": [{"Status": "Starting", "_x": 1, "StartTime": 2.0}],
        "InputDataConfig": [],
    }
    assert printed(shape, document) == {
        "TrainingJobName": "j",
        "CreationTime": 1767225600.0,
        "LastModifiedTime": 1.5,
        "ResourceConfig": {"InstanceType": "ml.m5.large"},
        "HyperParameters": {"_tuning_objective_metric": "x"},
        "SecondaryStatusTransitions": [{"Status": "Starting", "StartTime": 2.0}],
        "InputDataConfig": [],
    }


@pytest.mark.parametrize("service", ["sagemaker", "logs"])
def test_every_offered_operation_is_one_of_botocores(service: str) -> None:
    offered = import_module(dict(SERVICES.values())[service]).OPERATIONS
    assert set(offered) <= set(service_model(service).operation_names)


# services that are not there


@pytest.mark.parametrize(
    ("service", "call"),
    [
        ("iam", "list_users"),
        ("ec2", "describe_instances"),
        ("dynamodb", "list_tables"),
        ("lambda", "list_functions"),
        ("route53", "list_hosted_zones"),
        ("cloudwatch", "list_metrics"),
        ("ecr", "describe_repositories"),
        ("sagemaker", "list_apps"),
    ],
)
def test_every_other_service_is_refused_in_its_own_protocol(tmp_path: Path, service: str, call: str) -> None:
    client = boto3_session(tmp_path).client(service)
    with pytest.raises(ClientError, match="not offered by the local AWS") as raised:
        getattr(client, call)()
    assert raised.value.response["Error"]["Code"] == "UnsupportedOperation"
    assert raised.value.response["ResponseMetadata"]["RetryAttempts"] == 0


def test_smithys_cbor_clients_get_a_refusal_they_can_read(wire: Wire) -> None:
    status, headers, body = wire.send("POST", "/service/X/operation/Y", HTTP_SMITHY_PROTOCOL="rpc-v2-cbor")
    assert (status, headers["Content-Type"]) == (400, "application/cbor")
    assert body.startswith(b"\xa2\x79\x00\x06__type\x79\x00\x14UnsupportedOperation")


def test_every_kind_of_invocation_finds_its_way_and_an_unknown_one_is_refused_by_name(
    tmp_path: Path, wire: Wire
) -> None:
    runtime = boto3_session(tmp_path).client("sagemaker-runtime")
    for call, params in (
        (runtime.invoke_endpoint, {"Body": b"{}"}),
        (runtime.invoke_endpoint_with_response_stream, {"Body": b"{}"}),
        (runtime.invoke_endpoint_async, {"InputLocation": "s3://b/k"}),
    ):
        with pytest.raises(ClientError, match="Endpoint e of account 123456789012 not found"):
            call(EndpointName="e", **params)
    status, _, body = wire.send(
        "POST",
        "/endpoints/e/invocations-bidirectional-stream",
        HTTP_AUTHORIZATION="AWS4-HMAC-SHA256 Credential=a/20261123/us-east-1/sagemaker/aws4_request",
    )
    assert status == 400
    assert b"InvokeEndpointWithBidirectionalStream is not offered" in body


# the wire of S3


def aws_chunked(*chunks: bytes, trailer: bytes = b"") -> bytes:
    framed = b"".join(b"%x;chunk-signature=ab\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return framed + b"0;chunk-signature=ab\r\n" + trailer + b"\r\n"


STREAMING = {"HTTP_X_AMZ_CONTENT_SHA256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"}


def test_signed_chunks_of_other_clients_are_undone(wire: Wire, context: Context) -> None:
    assert wire.s3("PUT", "/bkt/k", aws_chunked(b"ab", b"c" * 70_000), **STREAMING)[0] == 200
    stored = context.objects.get("bkt", "k")
    assert stored is not None
    assert stored.path.read_bytes() == b"ab" + b"c" * 70_000


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"5\r\nab", b"IncompleteBody"),
        (b"5\r\nabcdefg\r\n0\r\n\r\n", b"InvalidChunkSizeError"),
        (b"zz\r\nab\r\n", b"InvalidChunkSizeError"),
        (b"-5\r\nab\r\n", b"InvalidChunkSizeError"),
        (b"2\r\nab\r\n", b"IncompleteBody"),
        (b"0" * 20_000, b"IncompleteBody"),
        (b"", b"IncompleteBody"),
    ],
)
def test_a_broken_chunked_body_is_refused_and_leaves_nothing(
    wire: Wire, context: Context, body: bytes, code: bytes
) -> None:
    status, answer = wire.s3("PUT", "/bkt/k", body, **STREAMING)
    assert status == 400
    assert b"<Code>" + code in answer
    assert context.objects.get("bkt", "k") is None


@pytest.mark.parametrize(
    ("trailer", "code"),
    [(b"", b"MalformedTrailerError"), (b"x-amz-checksum-crc32:AAAAAA==\r\n", b"BadDigest")],
)
def test_a_promised_trailer_must_come_and_be_right(
    wire: Wire, context: Context, trailer: bytes, code: bytes
) -> None:
    body = aws_chunked(b"hello", trailer=trailer)
    variables = {"HTTP_CONTENT_ENCODING": "aws-chunked", "HTTP_X_AMZ_TRAILER": "x-amz-checksum-crc32"}
    status, answer = wire.s3("PUT", "/bkt/k", body, **variables)
    assert status == 400
    assert b"<Code>" + code in answer
    assert context.objects.get("bkt", "k") is None


def test_a_body_shorter_than_its_length_is_refused(wire: Wire, context: Context) -> None:
    status, answer = wire.s3("PUT", "/bkt/k", b"abc", CONTENT_LENGTH="10")
    assert (status, b"IncompleteBody" in answer) == (400, True)
    assert context.objects.get("bkt", "k") is None


def test_decoded_bytes_must_be_as_many_as_announced(wire: Wire, context: Context) -> None:
    variables = {**STREAMING, "HTTP_X_AMZ_DECODED_CONTENT_LENGTH": "7"}
    status, answer = wire.s3("PUT", "/bkt/k", aws_chunked(b"hello"), **variables)
    assert (status, b"IncompleteBody" in answer) == (400, True)
    assert context.objects.get("bkt", "k") is None


def test_a_signed_sha256_of_other_bytes_is_refused(wire: Wire) -> None:
    status, answer = wire.s3("PUT", "/bkt/k", b"abc", HTTP_X_AMZ_CONTENT_SHA256="0" * 64)
    assert (status, b"XAmzContentSHA256Mismatch" in answer) == (400, True)


@pytest.mark.parametrize(
    "document",
    [
        b"<Delete><Object>",
        b"no xml",
        b"<Delete/>",
        b'<!DOCTYPE d [<!ENTITY a "aaaa">]><Delete><Object><Key>&a;</Key></Object></Delete>',
        b"<Delete><Object></Object></Delete>",
    ],
)
def test_an_xml_body_that_s3_would_not_take_is_refused(wire: Wire, document: bytes) -> None:
    import base64
    import hashlib

    digest = base64.b64encode(hashlib.md5(document).digest()).decode()  # noqa: S324 - Content-MD5
    status, answer = wire.s3("POST", "/bkt", document, "delete", HTTP_CONTENT_MD5=digest)
    assert (status, b"MalformedXML" in answer) == (400, True)


def test_delete_objects_without_any_checksum_is_refused(wire: Wire) -> None:
    document = b"<Delete><Object><Key>k</Key></Object></Delete>"
    status, answer = wire.s3("POST", "/bkt", document, "delete")
    assert (status, b"InvalidRequest" in answer) == (400, True)


@pytest.mark.parametrize(
    ("path", "query"), [("/bkt/\udcff", ""), ("/bkt", "max-keys=many"), ("/bkt", "max-keys=-1")]
)
def test_nonsense_in_an_address_is_a_refusal_not_a_failure(wire: Wire, path: str, query: str) -> None:
    variables = {"PATH_INFO": "/bkt/\xff"} if "\udcff" in path else {}
    status, _ = wire.s3("GET", "/bkt", b"", query, **variables)
    assert status == 400


def test_answers_to_head_have_no_body_even_when_they_refuse(wire: Wire) -> None:
    assert wire.s3("HEAD", "/bkt/none") == (404, b"")


# failures inside


def test_a_failure_inside_is_an_internal_failure_that_names_itself(
    wire: Wire, context: Context, caplog: pytest.LogCaptureFixture
) -> None:
    with context.store.transaction() as connection:
        connection.execute("DROP TABLE buckets")
    status, answer = wire.s3("GET", "/bkt")
    assert status == 500
    assert b"InternalFailure" in answer
    assert b"no such table" in answer
    assert "failed inside the local AWS" in caplog.text


def test_a_full_disk_reaches_the_client_as_such_and_is_not_retried() -> None:
    assert disk_full("/x").status not in (500, 502, 503, 504)


# settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("IFT_LOCAL_RUNNER", "vagrant"),
        ("IFT_LOCAL_MEMORY", "much"),
        ("IFT_LOCAL_MEMORY", "8"),
        ("IFT_LOCAL_CPUS", "0"),
        ("IFT_LOCAL_CPUS", "two"),
        ("IFT_LOCAL_REQUIRE", "everything"),
        ("IFT_LOCAL_JOB_SLOTS", "0"),
        ("IFT_LOCAL_ENDPOINT_SLOTS", "many"),
        ("IFT_LOCAL_STOP_GRACE", "nan"),
        ("IFT_LOCAL_STOP_GRACE", "-1"),
    ],
)
def test_a_setting_that_is_not_allowed_is_named(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=name):
        LocalSettings.from_environment({name: value, "IFT_LOCAL_ROOT": "/nowhere"})


def test_an_argument_goes_before_its_variable(tmp_path: Path) -> None:
    environment = {"IFT_LOCAL_ROOT": "/nowhere", "IFT_LOCAL_REGION": "eu-west-1", "IFT_LOCAL_JOB_SLOTS": "3"}
    settings = LocalSettings.from_environment(environment, root=tmp_path, region="eu-west-2")
    assert (settings.root, settings.region, settings.job_slots) == (tmp_path, "eu-west-2", 3)
    assert settings.arn("sagemaker", "model/m") == "arn:aws:sagemaker:eu-west-2:123456789012:model/m"


# the same application over HTTP


class Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the class's
        pass


@pytest.fixture
def address(context: Context) -> Iterator[str]:
    application: Any = validator(create_app(context))
    server = make_server("127.0.0.1", 0, application, handler_class=Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_over_http_the_same_application_serves_s3_and_sts(address: str) -> None:
    session = boto3.Session("key", "secret", region_name="us-east-1")
    s3, sts = (session.client(name, endpoint_url=address) for name in ("s3", "sts"))
    s3.create_bucket(Bucket="bkt")
    s3.put_object(Bucket="bkt", Key="a b", Body=io.BytesIO(b"x" * 100_000))
    found = s3.get_object(Bucket="bkt", Key="a b", Range="bytes=10-19")
    assert found["Body"].read() == b"x" * 10
    assert [item["Key"] for item in s3.list_objects_v2(Bucket="bkt")["Contents"]] == ["a b"]
    assert sts.get_caller_identity()["Account"] == "123456789012"
    url = s3.generate_presigned_url("get_object", {"Bucket": "bkt", "Key": "a b"})
    with urlopen(url) as answer:  # noqa: S310 - loopback
        assert answer.read() == b"x" * 100_000
    s3.delete_object(Bucket="bkt", Key="a b")
    with pytest.raises(ClientError, match="Not Found"):
        s3.head_object(Bucket="bkt", Key="a b")
    s3.close()
    sts.close()
