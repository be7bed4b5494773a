"""Collaborators for the handles: a clock that obeys, and an AWS account in two dictionaries."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ift_sagemaker.aws.client import Identity, Reply
from ift_sagemaker.aws.logs import LogLine
from ift_sagemaker.aws.retry import Patience
from ift_sagemaker.aws.upload import Sending, Sent
from ift_sagemaker.data.sending.outgoing import Outgoing
from ift_sagemaker.errors import ResourceInUseError, ResourceNotFoundError
from ift_sagemaker.plan.plans import JobPlan
from ift_sagemaker.session import Session


@dataclass
class Clock:
    """Time that passes when somebody sleeps, and then at once."""

    now: float = 0.0
    slept: list[float] = field(default_factory=list)
    on_sleep: Callable[[], None] | None = None

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept.append(seconds)
        if self.on_sleep:
            self.on_sleep()

    def patience(self, budget: float = 300.0) -> Patience:
        return Patience(10.0, budget, lambda: self.now, self.sleep, jitter=lambda: 0.5)


@dataclass
class FakeLog:
    """A log whose every poll gives the next batch."""

    batches: list[list[str]]
    error: Exception | None = None

    def poll(self) -> list[LogLine]:
        if self.error:
            raise self.error
        lines = self.batches.pop(0) if self.batches else []
        return [LogLine("algo-1", index, text) for index, text in enumerate(lines)]


@dataclass
class FakeObjects:
    """S3 as a dictionary."""

    content: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    sent: list[str] = field(default_factory=list)
    buckets: set[str] = field(default_factory=set)
    on_bucket: Callable[[], None] = lambda: None
    owner: str = ""

    def of(self, owner: str) -> FakeObjects:
        self.owner = owner
        return self

    def send(
        self,
        bucket: str,
        key: str,
        item: Outgoing,
        *,
        sending: Sending,
        patience: Patience,
        on_bytes: Callable[[int], None],
    ) -> Sent:
        if self.content.get(f"s3://{bucket}/{key}", (b"", ""))[1] == item.sha256:
            return Sent(present=True)
        content = item.source if isinstance(item.source, bytes) else item.source.read_bytes()
        self.content[f"s3://{bucket}/{key}"] = (content, item.sha256)
        self.sent.append(key)
        on_bytes(len(content))
        return Sent(present=False, sent=len(content))

    def get(self, uri: str, target: Path, progress: Any = None) -> None:
        target.write_bytes(self.content[uri][0])

    def ensure_bucket(self, bucket: str, region: str) -> None:
        self.buckets.add(bucket)
        self.on_bucket()


def archive(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as packed:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            packed.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


class FakeAWS:
    """Stands where AWSClient stands; records every change it was asked for in `calls`."""

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.hosting: dict[str, dict[str, dict[str, Any]]] = {
            "model": {},
            "endpoint-config": {},
            "endpoint": {},
        }
        self.objects = FakeObjects()
        self.logs: list[list[str]] = []
        self.log_error: Exception | None = None
        self.before_create: Callable[[str], None] = lambda _: None
        self.calls: list[str] = []
        self.job_tags = {"ift:executed-image": "process", "other": "x"}
        self.refuse: dict[str, Exception] = {}
        self.bodies: list[dict[str, Any]] = []
        self.reply = b""
        self.parts: list[bytes] = []
        self.new_status = "InService"
        self.refuse_describe_config: Exception | None = None
        self.on_describe: Callable[[dict[str, Any]], None] = lambda _: None

    def _change(self, operation: str, name: str) -> None:
        self.calls.append(f"{operation} {name}")
        if operation in self.refuse:
            raise self.refuse[operation]

    def identity(self) -> Identity:
        return Identity("123456789012", "arn:aws:iam::123456789012:user/me", "us-east-1")

    # training

    def create_training_job(self, request: Mapping[str, Any]) -> str:
        name = request["TrainingJobName"]
        self._change("CreateTrainingJob", name)
        if name in self.jobs:
            raise ResourceInUseError("taken")
        self.jobs[name] = {
            **json.loads(json.dumps(request)),
            "TrainingJobArn": f"arn:{name}",
            "TrainingJobStatus": "InProgress",
        }
        return f"arn:{name}"

    def describe_training_job(self, name: str) -> dict[str, Any]:
        if name not in self.jobs:
            raise ResourceNotFoundError(f"no job {name}")
        self.on_describe(self.jobs[name])
        return dict(self.jobs[name])

    def stop_training_job(self, name: str) -> None:
        self._change("StopTrainingJob", name)
        self.jobs[name]["TrainingJobStatus"] = "Stopping"

    def list_training_jobs(self, name_contains: str) -> Iterator[dict[str, Any]]:
        return (job for name, job in self.jobs.items() if name_contains in name)

    def training_log(self, name: str) -> FakeLog:
        return FakeLog(list(self.logs), self.log_error)

    def endpoint_log(self, name: str) -> FakeLog:
        return FakeLog(list(self.logs))

    def tags(self, arn: str) -> dict[str, str]:
        for kind in self.hosting.values():
            for found in kind.values():
                if found.get("Arn") == arn:
                    return {tag["Key"]: tag["Value"] for tag in found["Tags"]}
        return self.job_tags

    # hosting

    def _create(self, kind: str, operation: str, name: str, request: Mapping[str, Any]) -> str:
        self.before_create(operation)
        self._change(operation, name)
        if name in self.hosting[kind]:
            raise ResourceInUseError("taken")
        arn = f"arn:{kind}/{name}"
        arns = {"ModelArn": arn, "EndpointConfigArn": arn, "EndpointArn": arn, "Arn": arn}
        self.hosting[kind][name] = {**request, **arns}
        return arn

    def _find(self, kind: str, name: str) -> dict[str, Any]:
        if name not in self.hosting[kind]:
            raise ResourceNotFoundError(f"no {kind} {name}")
        return self.hosting[kind][name]

    def create_model(self, request: Mapping[str, Any]) -> str:
        return self._create("model", "CreateModel", request["ModelName"], request)

    def create_endpoint_config(self, request: Mapping[str, Any]) -> str:
        name = request["EndpointConfigName"]
        return self._create("endpoint-config", "CreateEndpointConfig", name, request)

    def create_endpoint(self, request: Mapping[str, Any]) -> str:
        described = {**request, "EndpointStatus": self.new_status}
        return self._create("endpoint", "CreateEndpoint", request["EndpointName"], described)

    def describe_model(self, name: str) -> dict[str, Any]:
        return dict(self._find("model", name))

    def describe_endpoint_config(self, name: str) -> dict[str, Any]:
        if self.refuse_describe_config:
            raise self.refuse_describe_config
        return dict(self._find("endpoint-config", name))

    def describe_endpoint(self, name: str) -> dict[str, Any]:
        found = self._find("endpoint", name)
        self.on_describe(found)
        return dict(found)

    def _delete(self, kind: str, operation: str, name: str) -> None:
        self._find(kind, name)
        self._change(operation, name)
        del self.hosting[kind][name]

    def delete_model(self, name: str) -> None:
        self._delete("model", "DeleteModel", name)

    def delete_endpoint_config(self, name: str) -> None:
        self._delete("endpoint-config", "DeleteEndpointConfig", name)

    def delete_endpoint(self, name: str) -> None:
        self._delete("endpoint", "DeleteEndpoint", name)

    def list_endpoints(self, name_contains: str) -> Iterator[dict[str, Any]]:
        return (found for name, found in self.hosting["endpoint"].items() if name_contains in name)

    def invoke_endpoint(self, name: str, body: bytes) -> Reply:
        self._find("endpoint", name)
        self.bodies.append(json.loads(body))
        return Reply(self.reply, "application/json")

    def invoke_endpoint_stream(self, name: str, body: bytes) -> Generator[bytes, None, None]:
        self._find("endpoint", name)
        self.bodies.append(json.loads(body))
        return self._parts()

    def _parts(self) -> Generator[bytes, None, None]:
        try:
            yield from self.parts
        finally:
            self.calls.append("hung up")


def job_plan(session: Session, *arguments: Any, **options: Any) -> JobPlan:
    """The plan of a model of our own route."""
    plan = session.plan(*arguments, **options)
    assert isinstance(plan, JobPlan)
    return plan
