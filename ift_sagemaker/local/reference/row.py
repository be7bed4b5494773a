"""One operation of the local AWS, and how near it is to AWS's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Label = Literal["shape", "rule", "seen live"]
LABELS: dict[Label, str] = {
    "shape": "requests and answers have the form of the service's model; nothing more is claimed",
    "rule": "beyond the form, rules of AWS are enforced, each with its source"
    " (`contract.rules`, `contract.state_rules`)",
    "seen live": "answers were compared with those that AWS gave",
}


@dataclass(frozen=True)
class Row:
    """`differs`: where the answer or the effect is not AWS's. `limits`: what of it is refused or bounded."""

    operation: str
    label: Label
    differs: str = ""
    limits: str = ""


def shape(operation: str, differs: str = "", limits: str = "") -> Row:
    return Row(operation, "shape", differs, limits)


def rule(operation: str, differs: str = "", limits: str = "") -> Row:
    return Row(operation, "rule", differs, limits)
