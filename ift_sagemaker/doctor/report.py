"""The verdicts, typed, as plain data, as text and for notebooks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from html import escape
from typing import Any

OK, WARNING, MISSING, NOT_CHECKED = "ok", "warning", "missing", "not checked"
STATES = (OK, WARNING, MISSING, NOT_CHECKED)


@dataclass(frozen=True)
class Check:
    """One verdict. `found` says what is so or why it is not known, `remedy` what to do.

    `statements` are IAM statements to add, `goes_into` the policy they belong to.
    """

    name: str
    state: str
    found: str
    remedy: str = ""
    statements: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    goes_into: str = ""


@dataclass(frozen=True)
class DoctorReport:
    """Every check, in the order in which a run needs them."""

    target: str
    checks: tuple[Check, ...]

    @property
    def missing(self) -> tuple[Check, ...]:
        """What a run would fail of."""
        return tuple(check for check in self.checks if check.state == MISSING)

    @property
    def ready(self) -> bool:
        """Whether nothing that was looked at is missing."""
        return not self.missing

    def check(self, name: str) -> Check:
        """The verdict of that name; raises KeyError where there is none."""
        for check in self.checks:
            if check.name == name:
                return check
        raise KeyError(name)

    def policies(self) -> dict[str, dict[str, Any]]:
        """The policy document to add, by where it goes."""
        found: dict[str, list[Mapping[str, Any]]] = {}
        for check in self.checks:
            if check.statements:
                found.setdefault(check.goes_into, []).extend(check.statements)
        return {
            place: {"Version": "2012-10-17", "Statement": [dict(one) for one in statements]}
            for place, statements in found.items()
        }

    def counts(self) -> dict[str, int]:
        return {state: sum(check.state == state for check in self.checks) for state in STATES}

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "target": self.target,
            "ready": self.ready,
            "counts": self.counts(),
            "checks": [{**asdict(check), "statements": list(check.statements)} for check in self.checks],
            "policies": self.policies(),
        }

    @property
    def summary(self) -> str:
        return ", ".join(f"{count} {state}" for state, count in self.counts().items() if count)

    def __str__(self) -> str:
        lines = [f"{self.target}: {self.summary}"]
        for check in self.checks:
            lines.append(f"{check.state:<12} {check.name}: {check.found}")
            if check.remedy:
                lines.append(f"{'':<12} -> {check.remedy}")
        return "\n".join([*lines, *self.policy_lines()])

    def policy_lines(self) -> list[str]:
        """The documents of `policies`, each below where it goes."""
        return [
            line
            for place, document in self.policies().items()
            for line in (f"add to {place}:", json.dumps(document, indent=2))
        ]

    def _repr_html_(self) -> str:
        rows = "".join(
            "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in _cells(check)) + "</tr>"
            for check in self.checks
        )
        head = "".join(f"<th>{name}</th>" for name in ("state", "check", "found", "what to do"))
        caption = escape(f"{self.target}: {self.summary}")
        table = f"<table><caption>{caption}</caption><tr>{head}</tr>{rows}</table>"
        policies = "\n".join(self.policy_lines())
        return table + (f"<pre>{escape(policies)}</pre>" if policies else "")


def _cells(check: Check) -> tuple[str, str, str, str]:
    return check.state, check.name, check.found, check.remedy
