"""A deployed model: ask it, watch it, delete it."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any, Self

from ift_sagemaker.aws.answers import texts
from ift_sagemaker.aws.client import AWSClient
from ift_sagemaker.aws.errors import absent, goes_on
from ift_sagemaker.aws.logs import LogLine, Rest
from ift_sagemaker.aws.retry import CONSISTENCY_IN_SECONDS, Patience
from ift_sagemaker.contract import names
from ift_sagemaker.errors import (
    AttachError,
    AWSError,
    ConfigError,
    CredentialsError,
    EndpointFailed,
    InvocationError,
    ResourceInUseError,
    ResourceNotFoundError,
    WaitTimeout,
)
from ift_sagemaker.plan.deployments.vllm import TAG_OWNER
from ift_sagemaker.plan.plans import DeploymentPlan
from ift_sagemaker.wire.rows import Message

IN_SERVICE = "InService"
DELETING = "Deleting"
IN_PROGRESS = frozenset({"Creating", "Updating", "SystemUpdating", "RollingBack", DELETING})
DELETE_PATIENCE_IN_SECONDS = 1800
"""AWS gives an endpoint half an hour and more to come up, and refuses to delete it until then."""
FAILED = frozenset({"Failed", "OutOfService", "UpdateRollbackFailed"})


@dataclass(frozen=True)
class Generation:
    """One answer. `finish_reason` is "stop" (the model ended) or "length" (it was cut at `max_tokens`)."""

    text: str
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Deletion:
    """What a delete took away, and what it could not (name and reason)."""

    deleted: tuple[str, ...] = ()
    survivors: tuple[tuple[str, str], ...] = ()


@dataclass
class Endpoint:
    """Handle of one endpoint: a name plus a client. It costs money until it is deleted.

    As a context manager it deletes on exit what this handle made, and nothing else.
    """

    name: str
    client: AWSClient = field(repr=False)
    patience: Patience = field(default_factory=Patience, repr=False)
    made: tuple[str, ...] = field(default=(), repr=False)
    """Kinds this handle created: "model", "endpoint-config", "endpoint"."""
    description: dict[str, Any] = field(default_factory=dict, repr=False)

    def refresh(self) -> Self:
        """The same handle with a fresh description; raises ResourceNotFoundError once it is deleted."""
        new = "endpoint" in self.made and not self.description
        ask = self.patience.find if new else self.patience.call
        try:
            self.description = ask(lambda: self.client.describe_endpoint(self.name))
        except ResourceNotFoundError as error:
            raise absent("endpoint", self.name, "ift endpoints list", error) from error
        return self

    @property
    def status(self) -> str:
        """As SageMaker spells it: Creating, InService, Updating, Deleting, Failed …"""
        if not self.description:
            self.refresh()
        return str(self.description["EndpointStatus"])

    def wait(self, timeout: float | None = None, on_status: Callable[[str], None] | None = None) -> Self:
        """Returns when the endpoint is InService.

        Raises EndpointFailed with the reason and last log lines, WaitTimeout after `timeout` seconds, or
        CredentialsError where the credentials end meanwhile, with how to return.
        """
        started = self.patience.clock()
        while True:
            status = self._looked()
            if on_status:
                on_status(status)
            if status == IN_SERVICE:
                return self
            if status in FAILED:
                raise self._failure(status)
            waited = self.patience.clock() - started
            if timeout is not None and waited >= timeout:
                raise WaitTimeout(
                    f"endpoint {self.name} is {status} after {waited:.0f} s; it goes on and is billed",
                    name=self.name,
                    status=status,
                    seconds=waited,
                )
            self.patience.pause()

    def _looked(self) -> str:
        try:
            return self.refresh().status
        except CredentialsError as error:
            attach = (
                f"session.endpoint({self.name!r}).wait(); `ift endpoints delete {self.name}` ends its bill"
            )
            raise goes_on(f"Endpoint {self.name}", attach, error) from error

    def _failure(self, status: str) -> EndpointFailed:
        reason = str(self.description.get("FailureReason", ""))
        tail: list[str] = []
        with suppress(AWSError):
            log = Rest(self.patience).read(self.client.endpoint_log(self.name))
            tail = [line.message for line in log][-20:]
        return EndpointFailed(
            f"endpoint {self.name} ended {status}: {reason}\n" + "\n".join(tail),
            name=self.name,
            status=status,
            failure_reason=reason,
            log_tail=tail,
        )

    def logs(self) -> Iterator[LogLine]:
        """The container's log so far."""
        yield from self.patience.call(self.client.endpoint_log(self.name).poll)

    def invoke(
        self,
        prompt: str | Sequence[Message | Mapping[str, str]],
        *,
        max_tokens: int = 256,
        temperature: float = 0.0,
        top_p: float = 1.0,
        stop: Sequence[str] = (),
        seed: int | None = None,
    ) -> Generation:
        """The model's answer to one prompt (a user turn) or to chat messages.

        `max_tokens` counts new tokens. `temperature` 0 is greedy. Raises InvocationError with the container's
        own status and text, ResourceNotFoundError when there is no such endpoint.
        """
        sampling = _sampling(max_tokens, temperature, top_p, stop, seed)
        body = {"messages": _messages(prompt), **sampling}
        reply = self.client.invoke_endpoint(self.name, json.dumps(body).encode())
        return read_chat_completion(self.name, reply.body)

    def stream(
        self,
        prompt: str | Sequence[Message | Mapping[str, str]],
        *,
        max_tokens: int = 256,
        temperature: float = 0.0,
        top_p: float = 1.0,
        stop: Sequence[str] = (),
        seed: int | None = None,
    ) -> Generator[str, None, None]:
        """The same answer as `invoke` gives, in pieces of text as the model makes them.

        Closing the generator, or leaving it, hangs up and ends the model's work. Raises as `invoke`; an error
        of the model in the middle of its answer is an InvocationError after the pieces that came.
        """
        sampling = _sampling(max_tokens, temperature, top_p, stop, seed)
        body = {"messages": _messages(prompt), **sampling, "stream": True}
        return self._texts(self.client.invoke_endpoint_stream(self.name, json.dumps(body).encode()))

    def _texts(self, parts: Generator[bytes, None, None]) -> Generator[str, None, None]:
        with closing(parts):
            yield from texts(self.name, parts)

    def delete(self) -> Deletion:
        """Takes away endpoint, configuration and model, in that order, and waits until the endpoint is gone.

        What is already gone counts as success. What could not be deleted is named in `survivors`, and so is
        what an endpoint that survived still needs. Raises nothing for it.
        """
        return self._delete(("endpoint", "endpoint-config", "model"))

    def delete_made(self) -> Deletion:
        """Takes away what this handle made, and nothing else; see `delete`."""
        return self._delete(self.made) if self.made else Deletion()

    def _behind(self) -> tuple[str, tuple[str, ...]]:
        """Names of configuration and models behind the endpoint; the derived ones where AWS tells none."""
        config, models = names.endpoint_config_name(self.name), (names.model_name(self.name),)
        with suppress(AWSError):
            config = str(self.refresh().description["EndpointConfigName"])
        with suppress(AWSError):
            found = self.patience.call(lambda: self.client.describe_endpoint_config(config))
            models = tuple(
                variant["ModelName"] for variant in found["ProductionVariants"] if "ModelName" in variant
            )
        return config, models

    def _delete(self, kinds: Sequence[str]) -> Deletion:
        config, models = self._behind()
        steps: list[tuple[str, str, Callable[[], None]]] = []
        if "endpoint" in kinds:
            steps.append(("endpoint", self.name, self._delete_endpoint))
        if "endpoint-config" in kinds:
            steps.append(("endpoint-config", config, lambda: self.client.delete_endpoint_config(config)))
        if "model" in kinds:
            steps += [("model", name, partial(self.client.delete_model, name)) for name in models]
        deleted: list[str] = []
        survivors: list[tuple[str, str]] = []
        for kind, name, step in steps:
            if any(survivor.startswith("endpoint ") for survivor, _ in survivors):
                survivors.append((f"{kind} {name}", "kept, since the endpoint needs it"))
                continue
            try:
                self.patience.call(step)
                deleted.append(f"{kind} {name}")
            except ResourceNotFoundError:
                continue
            except (AWSError, WaitTimeout) as error:
                survivors.append((f"{kind} {name}", str(error)))
        return Deletion(tuple(deleted), tuple(survivors))

    def _delete_endpoint(self) -> None:
        """Deletes and waits until it is gone; one in Creating or Updating can be deleted only afterwards."""
        deadline = self.patience.clock() + DELETE_PATIENCE_IN_SECONDS
        asked = False
        while True:
            try:
                status = self.refresh().status
            except ResourceNotFoundError:
                if asked:
                    return
                raise
            if status not in IN_PROGRESS:
                self.client.delete_endpoint(self.name)
                asked = True
            if self.patience.clock() >= deadline:
                raise WaitTimeout(
                    f"endpoint {self.name} is still {self.status} after {DELETE_PATIENCE_IN_SECONDS} s",
                    name=self.name,
                    status=self.status,
                    seconds=DELETE_PATIENCE_IN_SECONDS,
                )
            self.patience.pause()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        left = self.delete_made().survivors
        if left and error is not None:
            error.add_note(_still_billed(left))
        elif left:
            raise EndpointFailed(_still_billed(left), name=self.name, status="")


def _messages(prompt: str | Sequence[Message | Mapping[str, str]]) -> list[dict[str, Any]]:
    if not prompt:
        raise ConfigError(
            "no message to answer", field="prompt", value=prompt, allowed="text or chat messages"
        )
    return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else [dict(m) for m in prompt]


def _sampling(
    max_tokens: int, temperature: float, top_p: float, stop: Sequence[str], seed: int | None
) -> dict[str, Any]:
    body: dict[str, Any] = {"max_tokens": max_tokens, "temperature": temperature, "top_p": top_p}
    if stop:
        body["stop"] = list(stop)
    if seed is not None:
        body["seed"] = seed
    return body


def _still_billed(survivors: Sequence[tuple[str, str]]) -> str:
    what = "; ".join(f"{name}: {reason}" for name, reason in survivors)
    return f"not everything could be deleted, and what is left may be billed: {what}"


def read_chat_completion(endpoint: str, body: bytes) -> Generation:
    """The Generation in an OpenAI chat completion; raises InvocationError for any other answer."""
    try:
        answer = json.loads(body)
        choice = answer["choices"][0]
        usage = answer.get("usage") or {}
        return Generation(
            text=str(choice["message"]["content"] or ""),
            finish_reason=choice.get("finish_reason"),
            prompt_tokens=usage.get("prompt_tokens"),
            completion_tokens=usage.get("completion_tokens"),
        )
    except (ValueError, KeyError, IndexError, TypeError) as error:
        text = body.decode("utf-8", "replace")[:500]
        raise InvocationError(
            f"endpoint {endpoint} answered with something else than a chat completion: {text}",
            endpoint=endpoint,
            status_code=200,
            body=text,
        ) from error


def deploy(client: AWSClient, plan: DeploymentPlan, patience: Patience) -> Endpoint:
    """The endpoint of a plan: made, or attached to where the same one exists.

    Raises AttachError where one of that name serves something else. What this call made is taken away again
    when a later step fails; what it found, or another process made at the same time, is kept.
    """
    endpoint = Endpoint(plan.endpoint_name, client, patience)
    steps: tuple[tuple[str, _Create, Mapping[str, Any], _Same], ...] = (
        ("model", client.create_model, plan.create_model, _same_model),
        ("endpoint-config", client.create_endpoint_config, plan.create_endpoint_config, _same_config),
        ("endpoint", client.create_endpoint, plan.create_endpoint, _same_endpoint),
    )
    try:
        for kind, create, request, same in steps:
            there = patience.call(partial(same, client, plan))
            if there is None and _create(client, plan, patience, partial(create, request), same):
                endpoint.made = (kind, *endpoint.made)
    except BaseException as error:
        left = endpoint.delete_made().survivors
        if left:
            error.add_note(_still_billed(left))
        raise
    return endpoint


_Create = Callable[[Mapping[str, Any]], str]
_Same = Callable[[AWSClient, DeploymentPlan], str | None]


def _create(
    client: AWSClient, plan: DeploymentPlan, patience: Patience, create: Callable[[], str], same: _Same
) -> bool:
    """Whether what is there now is this plan's own making.

    Where the name was taken meanwhile, the owner's tag tells an earlier try of our own, whose answer was
    lost, from another process; what has the name and is not seen is new, or on its way out. AWS advises to
    try again where a part made just before is not seen yet:
    https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateEndpoint.html
    """
    deadline = patience.clock() + CONSISTENCY_IN_SECONDS
    while True:
        try:
            patience.call(create)
        except ResourceInUseError:
            arn = patience.call(partial(same, client, plan))
            if arn is not None:
                return client.tags(arn).get(TAG_OWNER) == plan.owner
            if patience.clock() >= deadline:
                raise
            patience.pause()
        except ResourceNotFoundError:
            if patience.clock() >= deadline:
                raise
            patience.pause()
        else:
            return True


def _same_model(client: AWSClient, plan: DeploymentPlan) -> str | None:
    try:
        there = client.describe_model(plan.create_model["ModelName"])
    except ResourceNotFoundError:
        return None
    asked = {key: value for key, value in plan.create_model.items() if key not in {"ModelName", "Tags"}}
    return _compared(f"model {plan.create_model['ModelName']}", there, asked, "ModelArn")


def _same_config(client: AWSClient, plan: DeploymentPlan) -> str | None:
    name = plan.create_endpoint_config["EndpointConfigName"]
    try:
        there = client.describe_endpoint_config(name)
    except ResourceNotFoundError:
        return None
    asked = {"ProductionVariants": plan.create_endpoint_config["ProductionVariants"]}
    return _compared(f"endpoint configuration {name}", there, asked, "EndpointConfigArn")


def _same_endpoint(client: AWSClient, plan: DeploymentPlan) -> str | None:
    try:
        there = client.describe_endpoint(plan.endpoint_name)
    except ResourceNotFoundError:
        return None
    if there["EndpointStatus"] == DELETING:
        return None
    if there["EndpointStatus"] in FAILED:
        raise AttachError(
            f"endpoint {plan.endpoint_name} exists and is {there['EndpointStatus']}: delete it first "
            f"(`ift endpoints delete {plan.endpoint_name}`)",
            name=plan.endpoint_name,
        )
    asked = {"EndpointConfigName": plan.create_endpoint["EndpointConfigName"]}
    return _compared(f"endpoint {plan.endpoint_name}", there, asked, "EndpointArn")


def _compared(what: str, found: Mapping[str, Any], asked: Mapping[str, Any], arn: str) -> str:
    """ARN of what was found. Raises AttachError where it lacks something that is asked."""
    differences = list(_differences("", found, asked))
    if differences:
        listing = "; ".join(f"{path} is {there!r}, asked {want!r}" for path, there, want in differences)
        raise AttachError(
            f"{what} exists and is another one: {listing}. Delete it, or deploy under another endpoint_name.",
            name=what.rpartition(" ")[2],
            differences=differences,
        )
    return str(found[arn])


def _differences(path: str, found: Any, asked: Any) -> Iterator[tuple[str, Any, Any]]:
    """Every place where something asked for is not so; what AWS adds of its own is no difference."""
    if isinstance(asked, Mapping) and isinstance(found, Mapping):
        for key, value in asked.items():
            yield from _differences(f"{path}.{key}".lstrip("."), found.get(key), value)
    elif isinstance(asked, list) and isinstance(found, list) and len(asked) == len(found):
        for index, (there, want) in enumerate(zip(found, asked, strict=True)):
            yield from _differences(f"{path}[{index}]", there, want)
    elif (found or None) != (asked or None):
        yield path, found, asked
