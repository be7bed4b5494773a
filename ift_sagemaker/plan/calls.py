"""The plan of a route that is not our own: uploads, and the exact requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

from ift_sagemaker.contract import rules, shapes
from ift_sagemaker.errors import RequestError
from ift_sagemaker.plan import told
from ift_sagemaker.plan.plans import Cost, Place, Upload

STARTED = ("jumpstart",)
"""Routes of such plans that this library starts."""


@dataclass(frozen=True)
class Call:
    """One request: `service` as boto3 names it."""

    service: str
    operation: str
    params: Mapping[str, Any] = field(repr=False)

    def violations(self) -> list[str]:
        """What shapes and rules would refuse."""
        shaped = shapes.violations(self.service, self.operation, self.params)
        return [*shaped, *rules.violations(self.operation, self.params)]


@dataclass(frozen=True)
class RoutePlan:
    """One tuning job on a route: what is uploaded, then the calls in their order.

    `cost` is None where no price of the service is known; of what a service does with the rows too little is
    known for an `estimate`. `files` are what an export writes; nothing is sent, so there is no `place`.
    """

    route: str
    model_id: str
    name: str
    fingerprint: str
    place: Place | None
    uploads: tuple[Upload, ...] = field(repr=False)
    calls: tuple[Call, ...] = field(repr=False)
    rows: int
    notes: tuple[str, ...] = ()
    cost: Cost | None = None
    estimate: None = None
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    @property
    def request(self) -> Mapping[str, Any]:
        """What CreateTrainingJob is asked; raises KeyError where the route asks for no training job."""
        return self.call("CreateTrainingJob")

    def call(self, operation: str) -> Mapping[str, Any]:
        """The parameters of the call of that operation; raises KeyError where there is none."""
        for call in self.calls:
            if call.operation == operation:
                return call.params
        raise KeyError(operation)

    def check(self) -> None:
        """Raises RequestError for the first call that AWS's shapes or rules would refuse."""
        for call in self.calls:
            if found := call.violations():
                raise RequestError(call.operation, found)

    @property
    def remarks(self) -> list[str]:
        """The plan's own notes, and what AWS takes and ignores or may refuse."""
        said = [text for call in self.calls for text in rules.remarks(call.operation, call.params)]
        return [*self.notes, *said]

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": "plan",
            "route": self.route,
            "model": self.model_id,
            "name": self.name,
            "fingerprint": self.fingerprint,
            "rows": self.rows,
            "remarks": self.remarks,
            "uploads": [upload.to_dict() for upload in self.uploads],
            "files": {name: len(content) for name, content in self.files.items()},
            "requests": [
                {"service": call.service, "operation": call.operation, "parameters": dict(call.params)}
                for call in self.calls
            ],
            "usd_per_hour": self.cost.usd_per_hour if self.cost else None,
            "ceiling_usd": self.cost.ceiling_usd if self.cost else None,
        }

    @property
    def summary(self) -> str:
        """What would run, where, and what it costs."""
        state = "files alone: nothing was sent"
        if self.calls:
            state = "planned: nothing was started, and this library does not start it yet"
        if self.route in STARTED:
            state = "planned: nothing was started; `fine_tune` and `ift train` start it"
        lines = [
            f"{self.route} job {self.name}",
            f"  ({state})",
            told.line("model", f"{self.model_id}, {self.rows} rows"),
        ]
        if self.place is not None:
            lines.append(told.where(self.place, self.calls[-1].params if self.calls else {}))
            lines.append(told.line("cost", str(self.cost or "no price known")))
        lines += [told.line("note", remark) for remark in self.remarks]
        return "\n".join(lines)

    @property
    def details(self) -> str:
        """The uploads or files, and the exact requests."""
        lines = [] if self.place is None else told.uploads(self.uploads, self.place.bucket)
        if self.files:
            lines.append(told.line("files", f"{len(self.files)}, as they would be written"))
        lines += [told.file(name, len(content)) for name, content in self.files.items()]
        lines += told.requests((f"{call.service} {call.operation}", call.params) for call in self.calls)
        return "\n".join(lines)

    def __str__(self) -> str:
        return f"{self.summary}\n{self.details}"

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"
