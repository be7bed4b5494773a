"""One rule of AWS beyond the shapes, and how a check reads a request that may be malformed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Request = Mapping[str, Any]
Check = Callable[[Request], Iterator[str]]
Effect = Literal["refused", "ignored", "doubtful"]


@dataclass(frozen=True)
class Rule:
    """`check` yields one text for every place that breaks the rule.

    `effect` is "refused" where AWS answers with an error, "ignored" where it accepts the request and does
    not do what a field says, "doubtful" where AWS may refuse and nothing of AWS's own says so: only an AWS
    page, the service model or a public thread makes a rule refuse. `source` says where the rule was read;
    "general knowledge" means unverified.
    """

    id: str
    operation: str
    text: str
    source: str
    date: str
    check: Check
    effect: Effect = "refused"


def section(params: Request, *path: str) -> Request:
    """The structure at `path`; an empty one where it is absent or no structure."""
    value: Any = params
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def structures(params: Request, name: str) -> list[tuple[str, Request]]:
    """(path, structure) of every structure in the list `name`."""
    value = params.get(name)
    items = value if isinstance(value, (list, tuple)) else []
    return [(f"{name}[{index}]", item) for index, item in enumerate(items) if isinstance(item, Mapping)]


def number(params: Request, name: str) -> int | None:
    value = params.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def text(params: Request, name: str) -> str:
    value = params.get(name)
    return value if isinstance(value, str) else ""


def present(params: Request, names: Iterable[str]) -> list[str]:
    """Those of `names` that are set to something other than None or an empty list or structure."""
    return [name for name in names if params.get(name) not in (None, [], (), {})]


def repeated(values: Iterable[str]) -> list[str]:
    return [value for value, count in Counter(values).items() if count > 1]


def is_true(params: Request, name: str) -> bool:
    return params.get(name) is True
