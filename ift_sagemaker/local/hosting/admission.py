"""Who may ask an endpoint, and which of its variants answers."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from ift_sagemaker.local.hosting import document as endpoint_document
from ift_sagemaker.local.hosting import traffic
from ift_sagemaker.local.hosting.revival import as_it_is
from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.state.resources import ENDPOINT, Document, not_offered_yet
from ift_sagemaker.local.state.settings import Context
from ift_sagemaker.local.supervision.folders import Workplace

PREFIX = "x-amzn-sagemaker-"
_REFUSED = ("target-model", "target-container-hostname", "enable-explanations", "inference-component")
_LOOKS = 20
_PAUSE = 0.005


@dataclass
class Admission:
    """A variant of a fleet that does not end while this is held; leave it by `release`."""

    endpoint: Document
    variant: Document
    passage: traffic.Passage

    @property
    def port(self) -> int:
        return int(self.variant["port"])

    def release(self) -> None:
        self.passage.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def in_service(context: Context, name: str) -> Document:
    """The endpoint; a ServiceError where there is none that answers."""
    found = context.store.get(ENDPOINT, name)
    endpoint = as_it_is(context, found) if found else None
    if endpoint is None:
        raise refused(f"Endpoint {name} of account {context.settings.account} not found.")
    if endpoint["EndpointStatus"] not in endpoint_document.ANSWERING:
        raise refused(
            f"Endpoint {name} of account {context.settings.account} is not in service"
            f" (its status is {endpoint['EndpointStatus']})."
        )
    return endpoint


def refuse_parts(operation: str, headers: Mapping[str, str]) -> None:
    """A ServiceError where a header asks for a part of an endpoint that the local AWS does not have."""
    for header in _REFUSED:
        if headers.get(PREFIX + header):
            raise not_offered_yet(f"{operation} with {header}")


def admit(context: Context, name: str, target: str = "") -> Admission:
    """A variant to ask: `target`, or one drawn by the variants' weights.

    Raises:
        ServiceError: no endpoint in service, no such variant, or none that answers just now.
    """
    home = Workplace.of(context.store.root, ENDPOINT, name).home
    for _ in range(_LOOKS):
        fleet = in_service(context, name)["_fleet"]
        passage = traffic.enter(traffic.gate(home, fleet["number"]))
        if passage is None:  # an update has just moved the traffic, or the endpoint is being deleted
            time.sleep(_PAUSE)
            continue
        try:
            # once more: only a fleet that is named after the passage was had is sure to stay
            endpoint = in_service(context, name)
            if endpoint["_fleet"]["number"] == fleet["number"]:
                return Admission(endpoint, choose(endpoint, target), passage)
        except BaseException:
            passage.release()
            raise
        passage.release()
    raise unavailable(name)


def choose(endpoint: Document, target: str) -> Document:
    """The variant that answers. A ServiceError where there is none of that name, or none has a port now."""
    variants = endpoint["_fleet"]["variants"]
    if endpoint["_fleet"]["async"]:
        # AWS's own words are not known
        raise refused(f"Endpoint {endpoint['EndpointName']} is asynchronous; ask it by InvokeEndpointAsync")
    if target:
        variants = [variant for variant in variants if variant["name"] == target]
        if not variants:
            raise refused(f"Variant {target} not found for Request")
    ready = [variant for variant in variants if variant["port"] is not None]
    weighted = ready if target else [variant for variant in ready if variant["weight"] > 0]
    if not weighted:
        raise unavailable(endpoint["EndpointName"])
    if len(weighted) == 1:
        return dict(weighted[0])
    drawn = random.choices(weighted, [variant["weight"] for variant in weighted])  # noqa: S311 - traffic
    return dict(drawn[0])


def unavailable(name: str) -> ServiceError:
    return ServiceError("ServiceUnavailable", f"The container of endpoint {name} is starting again", 503)


def refused(message: str) -> ServiceError:
    """What SageMaker Runtime calls a ValidationError."""
    return ServiceError("ValidationError", message)
