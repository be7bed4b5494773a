"""What this library asks of AWS, one method an intention."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import EventStreamError
from urllib3.exceptions import HTTPError

from ift_sagemaker.aws.account import Account
from ift_sagemaker.aws.errors import NO_CREDENTIALS, translated
from ift_sagemaker.aws.logs import LogTail
from ift_sagemaker.aws.reading import S3Files
from ift_sagemaker.aws.retry import Patience
from ift_sagemaker.aws.transfer import Objects
from ift_sagemaker.errors import (
    ConfigError,
    CredentialsError,
    InvocationError,
    ServiceUnavailableError,
)

TRAINING_LOG_GROUP = "/aws/sagemaker/TrainingJobs"
PROCESSING_LOG_GROUP = "/aws/sagemaker/ProcessingJobs"
INVOKE_TIMEOUT_IN_SECONDS = 75
"""SageMaker itself gives a container 60 seconds to answer."""
ENDPOINT_LOG_GROUP = "/aws/sagemaker/Endpoints"


@dataclass(frozen=True)
class Identity:
    """Who asks, and where."""

    account: str
    arn: str
    region: str

    @property
    def default_bucket(self) -> str:
        """The bucket that the SageMaker SDK makes and takes where none is named."""
        return f"sagemaker-{self.region}-{self.account}"


@dataclass(frozen=True)
class Reply:
    """One answer of an endpoint, as the container gave it."""

    body: bytes
    content_type: str


class AWSClient:
    """AWS for one boto3 session. Makes no call until the first method that needs one.

    Every method raises a subclass of AWSError when AWS refuses. The retry mode is pinned, so that a new
    default of botocore changes nothing here. `patience` bears throttled pages of a listing.
    """

    def __init__(
        self, boto_session: Any | None = None, *, region: str | None = None, patience: Patience | None = None
    ) -> None:
        with translated("an AWS session"):
            self._session = boto_session or boto3.Session()
        self._region = region
        self._patience = patience or Patience()
        self._clients: dict[str, Any] = {}
        self._identity: Identity | None = None
        self._lock = threading.RLock()

    # -- clients and identity

    def _client(self, service: str) -> Any:
        with self._lock:
            if service not in self._clients:
                with translated(f"a client for {service}"):
                    if self._session.get_credentials() is None:
                        raise CredentialsError(NO_CREDENTIALS)
                    self._clients[service] = self._session.client(
                        service, region_name=self.region, config=_config(service)
                    )
            return self._clients[service]

    @property
    def region(self) -> str:
        region = self._region or self._session.region_name
        if not region:
            raise ConfigError(
                "no AWS region configured: set AWS_REGION or pass region=",
                field="region",
                allowed="us-east-1, …",
            )
        return str(region)

    def identity(self) -> Identity:
        """Account and caller, asked of STS once."""
        with self._lock:
            if self._identity is None:
                client = self._client("sts")
                with translated("GetCallerIdentity"):
                    answer = client.get_caller_identity()
                self._identity = Identity(answer["Account"], answer["Arn"], self.region)
            return self._identity

    @property
    def objects(self) -> Objects:
        return Objects(lambda: self._client("s3"), self.identity().account)

    @property
    def files(self) -> S3Files:
        """S3 as the place that rows are read from."""
        return S3Files(lambda: self._client("s3"))

    @property
    def account(self) -> Account:
        """What the account has set up."""
        return Account(self._client, self.identity().account)

    # -- training jobs

    def create_training_job(self, request: Mapping[str, Any]) -> str:
        """ARN of the new job. It is billed from its start."""
        return self._ask("CreateTrainingJob", "TrainingJobArn", request)

    def describe_training_job(self, name: str) -> dict[str, Any]:
        return self._describe("DescribeTrainingJob", TrainingJobName=name)

    def stop_training_job(self, name: str) -> None:
        with translated("StopTrainingJob"):
            self._client("sagemaker").stop_training_job(TrainingJobName=name)

    def list_training_jobs(self, name_contains: str) -> Iterator[dict[str, Any]]:
        """Summaries, newest first, page by page."""
        return self._list(
            "list_training_jobs",
            "TrainingJobSummaries",
            NameContains=name_contains,
            SortBy="CreationTime",
            SortOrder="Descending",
        )

    def training_log(self, name: str) -> LogTail:
        return LogTail(lambda: self._client("logs"), TRAINING_LOG_GROUP, f"{name}/")

    # -- processing jobs

    def create_processing_job(self, request: Mapping[str, Any]) -> str:
        """ARN of the new job. It is billed from its start."""
        return self._ask("CreateProcessingJob", "ProcessingJobArn", request)

    def describe_processing_job(self, name: str) -> dict[str, Any]:
        return self._describe("DescribeProcessingJob", ProcessingJobName=name)

    def processing_log(self, name: str) -> LogTail:
        return LogTail(lambda: self._client("logs"), PROCESSING_LOG_GROUP, f"{name}/")

    # -- hosting

    def create_model(self, request: Mapping[str, Any]) -> str:
        return self._ask("CreateModel", "ModelArn", request)

    def create_endpoint_config(self, request: Mapping[str, Any]) -> str:
        return self._ask("CreateEndpointConfig", "EndpointConfigArn", request)

    def create_endpoint(self, request: Mapping[str, Any]) -> str:
        """ARN of the new endpoint. It is billed until it is deleted."""
        return self._ask("CreateEndpoint", "EndpointArn", request)

    def describe_model(self, name: str) -> dict[str, Any]:
        return self._describe("DescribeModel", ModelName=name)

    def describe_endpoint_config(self, name: str) -> dict[str, Any]:
        return self._describe("DescribeEndpointConfig", EndpointConfigName=name)

    def describe_endpoint(self, name: str) -> dict[str, Any]:
        return self._describe("DescribeEndpoint", EndpointName=name)

    def delete_model(self, name: str) -> None:
        with translated("DeleteModel"):
            self._client("sagemaker").delete_model(ModelName=name)

    def delete_endpoint_config(self, name: str) -> None:
        with translated("DeleteEndpointConfig"):
            self._client("sagemaker").delete_endpoint_config(EndpointConfigName=name)

    def delete_endpoint(self, name: str) -> None:
        with translated("DeleteEndpoint"):
            self._client("sagemaker").delete_endpoint(EndpointName=name)

    def list_endpoints(self, name_contains: str) -> Iterator[dict[str, Any]]:
        return self._list("list_endpoints", "Endpoints", NameContains=name_contains)

    def list_models(self, name_contains: str) -> Iterator[dict[str, Any]]:
        return self._list("list_models", "Models", NameContains=name_contains)

    def list_endpoint_configs(self, name_contains: str) -> Iterator[dict[str, Any]]:
        return self._list("list_endpoint_configs", "EndpointConfigs", NameContains=name_contains)

    def endpoint_log(self, name: str) -> LogTail:
        return LogTail(lambda: self._client("logs"), f"{ENDPOINT_LOG_GROUP}/{name}", "")

    def tags(self, arn: str) -> dict[str, str]:
        return {tag["Key"]: tag["Value"] for tag in self._list("list_tags", "Tags", ResourceArn=arn)}

    def invoke_endpoint(self, name: str, body: bytes) -> Reply:
        """The container's answer to one JSON body.

        Raises InvocationError with the container's own status and text when the model answers with an error.
        """
        answer = self._invoke("InvokeEndpoint", name, body, "application/json")
        with translated("InvokeEndpoint"):
            return Reply(answer["Body"].read(), str(answer.get("ContentType", "")))

    def invoke_endpoint_stream(self, name: str, body: bytes) -> Generator[bytes, None, None]:
        """The container's answer to one JSON body in the pieces in which it comes; closing it hangs up.

        Raises InvocationError, at once or between the pieces, when the model answers with an error.
        """
        operation = "InvokeEndpointWithResponseStream"
        answer = self._invoke(operation, name, body, "text/event-stream")
        return _parts(operation, name, answer["Body"])

    def _invoke(self, operation: str, name: str, body: bytes, accept: str) -> dict[str, Any]:
        client = self._client("sagemaker-runtime")
        call = getattr(client, _snake_case(operation))
        with translated(operation):
            try:
                answer: dict[str, Any] = call(
                    EndpointName=name, Body=body, ContentType="application/json", Accept=accept
                )
            except client.exceptions.ModelError as error:
                status = int(error.response.get("OriginalStatusCode", 500))
                text = str(error.response.get("OriginalMessage", error))
                raise InvocationError(
                    f"endpoint {name} answered {status}: {text[:500]}",
                    endpoint=name,
                    status_code=status,
                    body=text,
                ) from error
            return answer

    # -- shared

    def _ask(self, operation: str, key: str, request: Mapping[str, Any]) -> str:
        answer = self._call(operation, request)
        arn = answer.get(key)
        if not arn:
            # A proxy that answers 200 with a page of its own would otherwise pass as success.
            raise ServiceUnavailableError(f"{operation}: the answer has no {key}", operation=operation)
        return str(arn)

    def _describe(self, operation: str, **request: Any) -> dict[str, Any]:
        answer = self._call(operation, request)
        if "CreationTime" not in answer:
            raise ServiceUnavailableError(f"{operation}: the answer has no CreationTime", operation=operation)
        answer.pop("ResponseMetadata", None)
        return answer

    def _call(self, operation: str, request: Mapping[str, Any]) -> dict[str, Any]:
        client = self._client("sagemaker")
        method = getattr(client, _snake_case(operation))
        with translated(operation):
            answer: dict[str, Any] = method(**request)
        return answer

    def _list(self, method: str, key: str, **request: Any) -> Iterator[dict[str, Any]]:
        """Page by page to the last token; one may be empty, and one that is throttled is asked for again."""
        while True:
            page = self._patience.call(partial(self._page, method, request))
            yield from page.get(key, [])
            if not page.get("NextToken"):
                return
            request = {**request, "NextToken": page["NextToken"]}

    def _page(self, method: str, request: Mapping[str, Any]) -> dict[str, Any]:
        with translated(method):
            page: dict[str, Any] = getattr(self._client("sagemaker"), method)(**request)
        return page


def _parts(operation: str, name: str, stream: Any) -> Generator[bytes, None, None]:
    with closing(stream), translated(operation):
        try:
            for event in stream:
                if "PayloadPart" in event:
                    yield event["PayloadPart"]["Bytes"]
        except EventStreamError as error:
            told = error.response.get("Error", {})
            raise InvocationError(
                f"endpoint {name} stopped in the middle of its answer: {told.get('Message', error)}",
                endpoint=name,
                status_code=200,
                body=str(told.get("Code", "")),
            ) from error
        except HTTPError as error:  # botocore hands on what urllib3 raises while a stream is read
            raise ServiceUnavailableError(
                f"{operation}: the connection broke in the middle of the answer: {error}", operation=operation
            ) from error


def _config(service: str) -> Config:
    """The retry mode pinned; an invocation is never asked twice, since each asking makes the model answer."""
    if service == "sagemaker-runtime":
        return Config(
            retries={"mode": "standard", "total_max_attempts": 1},
            read_timeout=INVOKE_TIMEOUT_IN_SECONDS,
            user_agent_extra="ift-sagemaker",
        )
    return Config(retries={"mode": "standard", "total_max_attempts": 5}, user_agent_extra="ift-sagemaker")


def _snake_case(operation: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in operation).lstrip("_")
