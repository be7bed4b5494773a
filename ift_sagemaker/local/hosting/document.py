"""An endpoint as DescribeEndpoint shows it, and every way in which it changes. Pure.

A fleet is what one endpoint configuration puts to work: one program a variant. `_fleet` is the one that
answers, `_next` the one that an update brings up beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ift_sagemaker.local.running.images import LocalContainer
from ift_sagemaker.local.state.resources import MAX_REASON, Document
from ift_sagemaker.local.state.settings import LocalSettings

SUPERVISED = ("Creating", "InService", "Updating", "Deleting")
IN_PROGRESS = ("Creating", "Updating", "RollingBack", "SystemUpdating")
ANSWERING = ("InService", "Updating", "SystemUpdating")
WAITING_FOR_A_SUPERVISOR = "SystemUpdating"
DEFAULT_STARTUP_TIMEOUT = 600.0
MAX_REVIVALS = 5

Ports = Mapping[str, int | None]


def log_group(name: str) -> str:
    """The log group of an endpoint."""
    return f"/aws/sagemaker/Endpoints/{name}"


@dataclass(frozen=True)
class Served:
    """One variant of a configuration, its model, and what runs in its image's place."""

    variant: Document
    model: Document
    container: LocalContainer


def new_fleet(number: int, config: Document, served: Iterable[Served], now: float) -> Document:
    """All that serving needs, so model and configuration may be deleted meanwhile."""
    return {
        "number": number,
        "config": config["EndpointConfigName"],
        "async": config.get("AsyncInferenceConfig"),
        "variants": [_in_fleet(number, one, now) for one in served],
    }


def _in_fleet(number: int, one: Served, now: float) -> Document:
    name = one.variant["VariantName"]
    return {
        "name": name,
        "weight": one.variant["InitialVariantWeight"],
        "container": dict(one.model["PrimaryContainer"]),
        "command": list(one.container.command),
        "image": [one.container.image, one.container.replaces_entrypoint],
        "executed": one.container.executed,
        "startup_timeout": one.variant.get("ContainerStartupHealthCheckTimeoutInSeconds")
        or DEFAULT_STARTUP_TIMEOUT,
        "log_stream": f"{name}/i-local{int(now * 1000):x}{number:x}",
        "port": None,
    }


def with_weights(fleet: Document, weights: Mapping[str, float]) -> Document:
    """The fleet with the weights of those variants that are named."""
    variants = [
        {**variant, "weight": weights.get(variant["name"], variant["weight"])}
        for variant in fleet["variants"]
    ]
    return {**fleet, "variants": variants}


def weights_of(endpoint: Document) -> dict[str, float]:
    """The weight of every variant that answers, by name."""
    return {variant["name"]: variant["weight"] for variant in endpoint["_fleet"]["variants"]}


def new_endpoint(
    request: Mapping[str, Any], arn: str, now: float, settings: LocalSettings, fleet: Document
) -> Document:
    """The document of an endpoint that was just asked for."""
    deployment = request.get("DeploymentConfig")
    return {
        "EndpointName": request["EndpointName"],
        "EndpointArn": arn,
        "EndpointConfigName": request["EndpointConfigName"],
        "EndpointStatus": "Creating",
        "CreationTime": now,
        "LastModifiedTime": now,
        "ProductionVariants": [
            {**_summary(variant, now), "VariantStatus": [{"Status": "Creating", "StartTime": now}]}
            for variant in fleet["variants"]
        ],
        **_asynchronous(fleet),
        **({"LastDeploymentConfig": deployment} if deployment else {}),
        "_tags": [dict(tag) for tag in request.get("Tags", [])],
        "_settings": settings.recorded(),
        "_fleet": fleet,
    }


def _asynchronous(fleet: Document) -> Document:
    return {"AsyncInferenceConfig": fleet["async"]}


def _summary(variant: Document, now: float, *, running: int = 0) -> Document:
    image = {
        "SpecifiedImage": variant["container"]["Image"],
        # AWS resolves a tag to a digest here; we tell what answers in the image's place
        "ResolvedImage": _as_image(variant["executed"]),
        "ResolutionTime": now,
    }
    return {
        "VariantName": variant["name"],
        "DeployedImages": [image],
        "CurrentWeight": variant["weight"],
        "DesiredWeight": variant["weight"],
        "CurrentInstanceCount": running,
        "DesiredInstanceCount": 1,
    }


def _as_image(executed: str) -> str:
    return re.sub(r"\s+", "-", executed)[:255]


def _with_ports(fleet: Document, ports: Ports) -> Document:
    variants = [{**variant, "port": ports.get(variant["name"])} for variant in fleet["variants"]]
    return {**fleet, "variants": variants}


def _summaries(endpoint: Document, running: int) -> list[Document]:
    return [
        {
            **{name: value for name, value in summary.items() if name != "VariantStatus"},
            "CurrentInstanceCount": running,
        }
        for summary in endpoint["ProductionVariants"]
    ]


def in_service(endpoint: Document, ports: Ports, now: float) -> Document:
    """The endpoint once every variant of its first fleet is healthy on a loopback port."""
    status = endpoint["EndpointStatus"]
    if status != "Creating" and (status != "Updating" or "_next" in endpoint):
        return serving(endpoint, ports)
    return {
        **endpoint,
        "EndpointStatus": "InService",
        "ProductionVariants": _summaries(endpoint, 1),
        "LastModifiedTime": now,
        "_fleet": _with_ports(endpoint["_fleet"], ports),
    }


def serving(endpoint: Document, ports: Ports) -> Document:
    """The endpoint with the ports its variants answer on now; None for one that starts again."""
    if endpoint["EndpointStatus"] not in ANSWERING:
        return endpoint
    return {**endpoint, "_fleet": _with_ports(endpoint["_fleet"], ports)}


def updating(endpoint: Document, fleet: Document, deployment: Document | None, now: float) -> Document:
    """The endpoint while a new fleet comes up; what an earlier update failed of is forgotten, as on AWS."""
    pending = {
        "EndpointConfigName": fleet["config"],
        "ProductionVariants": [
            {**_summary(variant, now), "VariantStatus": [{"Status": "Creating", "StartTime": now}]}
            for variant in fleet["variants"]
        ],
        "StartTime": now,
    }
    left = _without(endpoint, "FailureReason")
    return {
        **left,
        "EndpointStatus": "Updating",
        "LastModifiedTime": now,
        "PendingDeploymentSummary": pending,
        "_next": {"fleet": fleet, "deployment": deployment},
    }


def updated(endpoint: Document, ports: Ports, now: float) -> Document:
    """The endpoint once traffic goes to the new fleet."""
    if endpoint["EndpointStatus"] != "Updating" or "_next" not in endpoint:
        return endpoint
    following = endpoint["_next"]
    fleet = _with_ports(following["fleet"], ports)
    left = _without(endpoint, "_next", "PendingDeploymentSummary", "LastDeploymentConfig")
    return {
        **left,
        "EndpointConfigName": fleet["config"],
        "EndpointStatus": "InService",
        "ProductionVariants": [_summary(variant, now, running=1) for variant in fleet["variants"]],
        "LastModifiedTime": now,
        **_asynchronous(fleet),
        **({"LastDeploymentConfig": following["deployment"]} if following["deployment"] else {}),
        "_fleet": fleet,
    }


def rolled_back(endpoint: Document, reason: str, now: float) -> Document:
    """The endpoint once its update has failed: in service with the old configuration, and told why.

    Reported in aws-controllers-k8s/sagemaker-controller, pull request 7, and
    hashicorp/terraform-provider-aws, thread 39099.
    """
    if endpoint["EndpointStatus"] != "Updating":
        return endpoint
    left = _without(endpoint, "_next", "PendingDeploymentSummary")
    return {
        **left,
        "EndpointStatus": "InService",
        "FailureReason": reason[:MAX_REASON],
        "LastModifiedTime": now,
    }


def reweighted(endpoint: Document, weights: Mapping[str, float], now: float) -> Document:
    """The endpoint with other weights; nothing has to be started for it, so it stays in service."""
    fleet = with_weights(endpoint["_fleet"], weights)
    summaries = [
        {**summary, "CurrentWeight": variant["weight"], "DesiredWeight": variant["weight"]}
        for summary, variant in zip(endpoint["ProductionVariants"], fleet["variants"], strict=True)
    ]
    return {**endpoint, "ProductionVariants": summaries, "LastModifiedTime": now, "_fleet": fleet}


def failed(endpoint: Document, reason: str, now: float) -> Document:
    """The endpoint once it is lost; one that is being deleted stays so."""
    if endpoint["EndpointStatus"] == "Deleting":
        return endpoint
    left = _without(endpoint, "_next", "PendingDeploymentSummary", "_closed")
    return {
        **left,
        "EndpointStatus": "Failed",
        "FailureReason": reason[:MAX_REASON],
        "ProductionVariants": _summaries(endpoint, 0),
        "LastModifiedTime": now,
        "_fleet": _with_ports(endpoint["_fleet"], {}),
    }


def closed(endpoint: Document) -> Document:
    """The endpoint about to fail: nothing is accepted any more, so all that was can be told."""
    return {**endpoint, "_closed": True}


def accepts(endpoint: Document) -> bool:
    """Whether an asynchronous request may be put into the endpoint's queue."""
    return endpoint["EndpointStatus"] in ANSWERING and "_closed" not in endpoint


def is_to_be_revived(endpoint: Document) -> bool:
    """Whether a new supervisor is to take over: an asynchronous endpoint holds requests it has accepted."""
    return (
        bool(endpoint["_fleet"]["async"])
        and endpoint["EndpointStatus"] in ("InService", "Updating")
        and endpoint.get("_revivals", 0) < MAX_REVIVALS
    )


def interrupted(endpoint: Document, reason: str, now: float) -> Document:
    """An asynchronous endpoint whose supervisor died; it waits for another one, without an update."""
    left = _without(endpoint, "_next", "PendingDeploymentSummary", "_closed")
    return {
        **left,
        "EndpointStatus": WAITING_FOR_A_SUPERVISOR,
        "FailureReason": reason[:MAX_REASON],
        "LastModifiedTime": now,
        "_fleet": _with_ports(endpoint["_fleet"], {}),
        "_programs": [],
        "_revivals": endpoint.get("_revivals", 0) + 1,
    }


def revived(endpoint: Document) -> Document:
    """The endpoint under its new supervisor, until it is healthy again."""
    if endpoint["EndpointStatus"] != WAITING_FOR_A_SUPERVISOR:
        return endpoint
    return {**endpoint, "EndpointStatus": "Updating"}


def deleting(endpoint: Document, now: float) -> Document:
    """The endpoint as DeleteEndpoint leaves it for its supervisor."""
    return {
        **endpoint,
        "EndpointStatus": "Deleting",
        "LastModifiedTime": now,
        "_fleet": _with_ports(endpoint["_fleet"], {}),
    }


def _without(endpoint: Document, *names: str) -> Document:
    return {name: value for name, value in endpoint.items() if name not in names}
