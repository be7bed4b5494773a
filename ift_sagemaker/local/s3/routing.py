"""Which S3 operation an HTTP request is, read from botocore's own model, so that a refusal can name it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ift_sagemaker.contract import shapes
from ift_sagemaker.local.protocol.request import Request

_LEVELS = {"/": (False, False), "/{Bucket}": (True, False), "/{Bucket}/{Key+}": (True, True)}
# these share method, path and query with another operation and are told apart by nothing
_SHADOWED = ("ListDirectoryBuckets", "WriteGetObjectResponse")


@dataclass(frozen=True)
class _Pattern:
    name: str
    method: str
    level: tuple[bool, bool]
    query: tuple[tuple[str, str], ...]
    headers: tuple[str, ...]

    def matches(self, request: Request) -> bool:
        return all(
            name in request.query and value in ("", request.query[name]) for name, value in self.query
        ) and all(header in request.headers for header in self.headers)

    @property
    def weight(self) -> int:
        return len(self.query) + len(self.headers)


def operation_name(request: Request, has_bucket: bool, has_key: bool) -> str:  # noqa: FBT001 - a level, both needed
    """The operation, the most specific that fits; method and path where S3 has none."""
    candidates = _patterns().get((request.method, (has_bucket, has_key)), ())
    fitting = [pattern for pattern in candidates if pattern.matches(request)]
    if not fitting:
        return f"{request.method} {request.path}"
    return max(fitting, key=lambda pattern: pattern.weight).name


@lru_cache(maxsize=1)
def _patterns() -> dict[tuple[str, tuple[bool, bool]], list[_Pattern]]:
    found: dict[tuple[str, tuple[bool, bool]], list[_Pattern]] = {}
    model = shapes.service_model("s3")
    for name in model.operation_names:
        operation = model.operation_model(name)
        if name not in _SHADOWED and not operation.deprecated:
            pattern = _pattern(operation)
            found.setdefault((pattern.method, pattern.level), []).append(pattern)
    return found


def _pattern(operation: Any) -> _Pattern:
    path, _, query = operation.http["requestUri"].partition("?")
    literals = [
        (name, value) for name, _, value in (part.partition("=") for part in query.split("&") if part)
    ]
    required = list(_required(operation.input_shape))
    queries = [(name, "") for location, name in required if location == "querystring"]
    headers = [name.lower() for location, name in required if location == "header"]
    return _Pattern(
        operation.name, operation.http["method"], _LEVELS[path], (*literals, *queries), tuple(headers)
    )


def _required(shape: Any) -> Iterable[tuple[str, str]]:
    if shape is None:
        return
    for name in shape.required_members:
        serialization = shape.members[name].serialization
        yield serialization.get("location", ""), serialization.get("name", "")
