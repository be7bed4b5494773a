"""From what was seen of a job or endpoint to its diagnosis. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from html import escape
from typing import Any

from ift_sagemaker.diagnosis.known import ENDPOINT, JOB, ROWS, Known

LOG_LINES_SHOWN = 20
MAX_CAUSES = 3
_FINE = frozenset({"Completed", "InService"})
_UNDER_WAY = frozenset(
    {"InProgress", "Stopping", "Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"}
)
_PLACEHOLDERS = {"instance_type": "its instance type", "model": "MODEL", "region": "REGION"}


@dataclass(frozen=True)
class Evidence:
    """What AWS says of one job or endpoint, and the end of its log. `messages` are newest first."""

    kind: str
    name: str
    status: str
    secondary_status: str = ""
    reason: str = ""
    messages: tuple[str, ...] = ()
    log: tuple[str, ...] = ()
    log_lost: str = ""
    """Why the log could not be read; empty where it was."""
    instance_type: str = ""
    model: str = ""
    region: str = ""
    remark: str = ""

    def texts(self) -> Iterator[tuple[str, str]]:
        """Where a text was found, and the text; the most telling first."""
        if self.reason:
            yield "failure reason", self.reason
        yield "status", f"{self.status} {self.secondary_status}".strip()
        yield from (("status message", message) for message in self.messages)
        yield from (("log", line) for line in reversed(self.log))


@dataclass(frozen=True)
class Cause:
    """One known failure that fits: where its words were seen, what it means, what to type next."""

    failure: str
    seen_in: str
    words: str
    meaning: str
    next: tuple[str, ...]
    source: str


@dataclass(frozen=True)
class Diagnosis:
    """Why a job or endpoint is as it is. `causes` is empty where no known failure fits."""

    evidence: Evidence
    causes: tuple[Cause, ...]

    @property
    def summary(self) -> str:
        """One sentence or two in plain words."""
        found = self.evidence
        if self.causes:
            return self.causes[0].meaning
        if found.status in _FINE:
            return f"Nothing is wrong: the {found.kind} is {found.status}."
        if found.status in _UNDER_WAY:
            return f"It has not ended: {found.status} {found.secondary_status}".rstrip() + "."
        return "No known failure fits; the reason and the end of the log are all there is."

    @property
    def next(self) -> tuple[str, ...]:
        """Commands to type, the likeliest first."""
        if self.causes:
            return self.causes[0].next
        noun = "jobs" if self.evidence.kind == JOB else "endpoints"
        if self.evidence.status in _FINE or self.evidence.kind == ENDPOINT:
            return (f"ift {noun} show {self.evidence.name}",)
        verb = "wait" if self.evidence.status in _UNDER_WAY else "logs"
        return (f"ift {noun} {verb} {self.evidence.name}",)

    @property
    def log_tail(self) -> tuple[str, ...]:
        return self.evidence.log[-LOG_LINES_SHOWN:]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        found = self.evidence
        return {
            "kind": found.kind,
            "name": found.name,
            "status": found.status,
            "secondary_status": found.secondary_status,
            "reason": found.reason,
            "remark": found.remark,
            "summary": self.summary,
            "next": list(self.next),
            "causes": [asdict(cause) for cause in self.causes],
            "log_tail": list(self.log_tail),
            "log_lost": found.log_lost,
        }

    def __str__(self) -> str:
        found = self.evidence
        lines = [f"{found.kind} {found.name}: {found.status} {found.secondary_status}".rstrip()]
        if found.reason:
            lines.append(f"reason     {found.reason}")
        lines.append(f"meaning    {self.summary}")
        if self.causes:
            first = self.causes[0]
            lines.append(f"known as   {first.failure} (seen in the {first.seen_in}; source: {first.source})")
        lines += [f"also       {cause.failure}: {cause.meaning}" for cause in self.causes[1:]]
        if found.remark:
            lines.append(f"note       {found.remark}")
        lines += [f"{'next' if not index else '':<10} {text}" for index, text in enumerate(self.next)]
        if found.log_lost:
            lines.append(f"log        cannot be read: {found.log_lost}")
        lines += ["last lines of the log", *(f"  {line}" for line in self.log_tail)] if found.log else []
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        found = self.evidence
        said = [("status", f"{found.status} {found.secondary_status}"), ("reason", found.reason)]
        said += [("meaning", self.summary), ("note", found.remark), ("next", "\n".join(self.next))]
        rows = "".join(
            f"<tr><th>{name}</th><td><pre>{escape(text)}</pre></td></tr>" for name, text in said if text
        )
        tail = escape("\n".join(self.log_tail))
        return (
            f"<table><caption>{escape(f'{found.kind} {found.name}')}</caption>{rows}</table><pre>{tail}</pre>"
        )


def diagnose(evidence: Evidence, rows: Sequence[Known] = ROWS) -> Diagnosis:
    """The known failures that fit, the most telling first; none for what is fine."""
    if evidence.status in _FINE and not evidence.reason:
        return Diagnosis(evidence, ())
    under_way = evidence.status in _UNDER_WAY
    fitting = [row for row in rows if evidence.kind in row.kinds and (row.passing or not under_way)]
    causes: dict[str, Cause] = {}
    for vague in (False, True):
        if causes:
            break
        some = [row for row in fitting if row.vague is vague]
        for place, text in evidence.texts():
            for row in some:
                if row.matches(text):
                    causes.setdefault(row.failure, _cause(row, place, text, evidence))
                    break
    return Diagnosis(evidence, tuple(causes.values())[:MAX_CAUSES])


def _cause(row: Known, place: str, text: str, evidence: Evidence) -> Cause:
    values = {name: getattr(evidence, name) or instead for name, instead in _PLACEHOLDERS.items()} | {
        "name": evidence.name
    }
    commands = {**values, "instance_type": evidence.instance_type or "TYPE"}
    return Cause(
        failure=row.failure,
        seen_in=place,
        words=text[:500],
        meaning=row.meaning.format(**values),
        next=tuple(command.format(**commands) for command in row.next),
        source=row.source,
    )
