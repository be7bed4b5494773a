"""Plans: plain data that says exactly what will be sent and asked. Printing one is the dry run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from typing import Any

from ift_sagemaker.catalog.prices import Price
from ift_sagemaker.contract import rules, shapes
from ift_sagemaker.errors import RequestError
from ift_sagemaker.plan import told
from ift_sagemaker.plan.budget import refuse_over_budget
from ift_sagemaker.plan.estimate import Estimate
from ift_sagemaker.plan.quantities import STOP_GRACE_IN_SECONDS
from ift_sagemaker.plan.spec import Compute

PREFIX = "ift"
"""Every object this library writes lies under this key prefix."""


@dataclass(frozen=True)
class Place:
    """Where a plan is to run: region, account, bucket and execution role."""

    region: str
    account: str
    bucket: str
    role: str

    def uri(self, key: str) -> str:
        return f"s3://{self.bucket}/{key}"


@dataclass(frozen=True)
class Upload:
    """One object, named by its content, so that it is sent once."""

    key: str
    sha256: str
    size: int
    source: Path | bytes = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        return {"key": self.key, "sha256": self.sha256, "bytes": self.size}


@dataclass(frozen=True)
class Cost:
    """What the job costs at most: price an hour times the longest run and what may be billed beyond it.

    An estimate, never a quote. Without an estimate of the run `margin_in_seconds` is the 120 seconds that a
    stop may take, and the upload after it is not in the sum.
    """

    usd_per_hour: float | None
    max_runtime_in_seconds: int
    source: str
    margin_in_seconds: int = STOP_GRACE_IN_SECONDS

    @classmethod
    def at(cls, price: Price | None, compute: Compute, margin: int = STOP_GRACE_IN_SECONDS) -> Cost:
        """Of all instances at the price of each, with `margin` seconds beyond the longest run."""
        each = None if price is None else price.usd_per_hour * compute.instance_count
        origin = "" if price is None else price.origin
        return cls(each, compute.max_runtime_in_seconds, origin, margin)

    @property
    def ceiling_usd(self) -> float | None:
        if self.usd_per_hour is None:
            return None
        return self.usd_per_hour * (self.max_runtime_in_seconds + self.margin_in_seconds) / 3600

    def __str__(self) -> str:
        if self.usd_per_hour is None or self.ceiling_usd is None:
            return "no price known for this instance type"
        return (
            f"{self.usd_per_hour:.3f} USD an hour, at most {self.ceiling_usd:.2f} USD until MaxRuntime "
            f"(estimate, not a quote; {self.source})"
        )


@dataclass(frozen=True)
class JobPlan:
    """One training or evaluation job: its uploads and the exact CreateTrainingJob request."""

    kind: str
    model_id: str
    fingerprint: str
    attempt: int
    place: Place
    uploads: tuple[Upload, ...] = field(repr=False)
    request: Mapping[str, Any] = field(repr=False)
    cost: Cost
    rows: int
    estimate: Estimate | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        return str(self.request["TrainingJobName"])

    def check(self) -> None:
        """Raises RequestError with everything that AWS would refuse, CostLimitError over budget."""
        refuse_violations("CreateTrainingJob", self.request)
        if self.estimate is not None:
            refuse_over_budget(self.estimate)

    def with_estimate(self, estimate: Estimate) -> JobPlan:
        """The same plan with its estimate, whose price (of this region, or the user's) is its price too."""
        cost = Cost.at(estimate.price, estimate.target.compute, estimate.margin_seconds)
        return replace(self, estimate=estimate, cost=cost)

    @property
    def remarks(self) -> list[str]:
        """What AWS takes and then ignores, and what may be refused but rests on no page we know."""
        return rules.remarks("CreateTrainingJob", self.request)

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "name": self.name,
            "fingerprint": self.fingerprint,
            "attempt": self.attempt,
            "rows": self.rows,
            "remarks": self.remarks,
            "uploads": [upload.to_dict() for upload in self.uploads],
            "request": dict(self.request),
            "usd_per_hour": self.cost.usd_per_hour,
            "ceiling_usd": self.cost.ceiling_usd,
            "estimate": None if self.estimate is None else self.estimate.to_dict(),
        }

    @property
    def summary(self) -> str:
        """What would run, where, and what it costs."""
        likely = self.estimate.usd if self.estimate else None
        cost = f"likely {likely.likely:.2f} USD ({likely.low:.2f} to {likely.high:.2f}); " if likely else ""
        lines = [
            f"{self.kind} job {self.name}",
            "  (planned: nothing was started)",
            told.line("model", f"{self.model_id}, {self.rows} rows"),
            told.where(self.place, self.request),
            told.line("cost", f"{cost}{self.cost}"),
            *(told.line("note", remark) for remark in self.remarks),
        ]
        return "\n".join(lines)

    @property
    def details(self) -> str:
        """The uploads and the exact request."""
        lines = [
            *told.uploads(self.uploads, self.place.bucket),
            *told.requests([("CreateTrainingJob", self.request)]),
        ]
        return "\n".join(lines)

    def __str__(self) -> str:
        return f"{self.summary}\n{self.details}"

    def _repr_html_(self) -> str:
        table = "" if self.estimate is None else self.estimate._repr_html_()
        return f"{table}<pre>{escape(str(self))}</pre>"


@dataclass(frozen=True)
class DeploymentPlan:
    """One endpoint: the three requests in the order AWS needs them."""

    endpoint_name: str
    create_model: Mapping[str, Any] = field(repr=False)
    create_endpoint_config: Mapping[str, Any] = field(repr=False)
    create_endpoint: Mapping[str, Any] = field(repr=False)
    usd_per_hour: float | None
    owner: str
    """Token of who deploys; what was made carries it as a tag."""

    def check(self) -> None:
        refuse_violations("CreateModel", self.create_model)
        refuse_violations("CreateEndpointConfig", self.create_endpoint_config)
        refuse_violations("CreateEndpoint", self.create_endpoint)

    def to_dict(self) -> dict[str, Any]:
        return {
            "endpoint_name": self.endpoint_name,
            "usd_per_hour": self.usd_per_hour,
            "CreateModel": dict(self.create_model),
            "CreateEndpointConfig": dict(self.create_endpoint_config),
            "CreateEndpoint": dict(self.create_endpoint),
        }

    def __str__(self) -> str:
        price = "no price known" if self.usd_per_hour is None else f"{self.usd_per_hour:.3f} USD an hour"
        requests = json.dumps(self.to_dict(), indent=2, ensure_ascii=False)
        return f"endpoint {self.endpoint_name} ({price} until it is deleted)\n{requests}"


def refuse_violations(operation: str, request: Mapping[str, Any]) -> None:
    """Raises RequestError when botocore's shapes or AWS's further rules refuse the request."""
    found = [*shapes.violations("sagemaker", operation, request), *rules.violations(operation, request)]
    if found:
        raise RequestError(operation, found)


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items())]
