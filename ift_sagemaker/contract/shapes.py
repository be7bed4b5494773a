"""A request against botocore's service model, checked further than botocore checks it.

botocore's own validator knows types, required fields, unknown fields and minimum sizes. The model also holds
maximum sizes, patterns, enumerations and numeric ranges; these are walked here. The model is the copy that
is installed with botocore: no network, no `~/.aws`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import botocore
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator

from ift_sagemaker.errors import ConfigError

_SHOWN = 60
_INSTANCE_TYPE = re.compile(r"ml\.[a-z0-9][a-z0-9-]*\.[a-z0-9]+")


def violations(
    service: str, operation: str, params: Mapping[str, Any], *, known_instances_only: bool = True
) -> list[str]:
    """Every way in which `params` is not an input of `operation`; empty where there is none.

    With `known_instances_only` False, a well-formed instance type that the installed botocore does not list
    passes, since AWS adds types faster than anyone upgrades. Raises ConfigError for an unknown service or
    operation.
    """
    shape = _input_shape(service, operation)
    if shape is None:
        return [f"{operation} takes no parameters, got {', '.join(params)}"] if params else []
    report = ParamValidator().validate(dict(params), shape)
    found = report.generate_report().splitlines() if report.has_errors() else []
    return found + list(_Walk(known_instances_only).visit(shape, params, ""))


def skipped_patterns(service: str) -> dict[str, str]:
    """Shape name → pattern, for those that Python's `re` cannot compile (Unicode classes, surrogates).

    Values of these shapes are checked for everything but the pattern.
    """
    model = service_model(service)
    shapes = (model.shape_for(name) for name in model.shape_names)
    patterns = {shape.name: shape.metadata["pattern"] for shape in shapes if "pattern" in shape.metadata}
    return {name: pattern for name, pattern in patterns.items() if _compiled(pattern) is None}


@lru_cache(maxsize=8)
def service_model(service: str) -> Any:
    """The ServiceModel of botocore's own files, read once. Raises ConfigError for an unknown service."""
    loader = Loader(extra_search_paths=[Loader.BUILTIN_DATA_PATH], include_default_search_paths=False)
    if service not in loader.list_available_services("service-2"):
        raise ConfigError(f"botocore {botocore.__version__} knows no service {service!r}", field="service")
    return ServiceModel(loader.load_service_model(service, "service-2"), service)


def _input_shape(service: str, operation: str) -> Any:
    model = service_model(service)
    if operation not in model.operation_names:
        raise ConfigError(
            f"{service} has no operation {operation!r} in botocore {botocore.__version__}", field="operation"
        )
    return model.operation_model(operation).input_shape


@lru_cache(maxsize=2048)
def _compiled(pattern: str) -> re.Pattern[str] | None:
    try:
        return re.compile(pattern, re.ASCII)
    except re.error:
        return None


class _Walk:
    """Walks a value along its shape. Values of a wrong type are passed over: botocore has named them."""

    def __init__(self, known_instances_only: bool) -> None:  # noqa: FBT001 - private
        self._known_instances_only = known_instances_only

    def visit(self, shape: Any, value: Any, path: str) -> Iterator[str]:
        match shape.type_name, value:
            case "structure", Mapping():
                yield from self._structure(shape, value, path)
            case "map", Mapping():
                yield from self._map(shape, value, path)
            case "list", list() | tuple():
                yield from self._list(shape, value, path)
            case "string", str():
                yield from self._string(shape, value, path)
            case "blob", bytes() | bytearray():
                yield from _too_large(shape, len(value), path, "bytes")
            case "integer" | "long" | "float" | "double", int() | float():
                yield from _too_large(shape, value, path, "")
            case _:
                pass

    def _structure(self, shape: Any, value: Mapping[str, Any], path: str) -> Iterator[str]:
        for name, member in shape.members.items():
            if value.get(name) is not None:
                yield from self.visit(member, value[name], f"{path}.{name}" if path else name)

    def _map(self, shape: Any, value: Mapping[str, Any], path: str) -> Iterator[str]:
        yield from _too_large(shape, len(value), path, "entries")
        for key, item in value.items():
            yield from self.visit(shape.key, key, f"{path} (key {_shown(key)})")
            yield from self.visit(shape.value, item, f"{path}.{key}")

    def _list(self, shape: Any, value: list[Any] | tuple[Any, ...], path: str) -> Iterator[str]:
        yield from _too_large(shape, len(value), path, "items")
        for index, item in enumerate(value):
            yield from self.visit(shape.member, item, f"{path}[{index}]")

    def _string(self, shape: Any, value: str, path: str) -> Iterator[str]:
        too_long = list(_too_large(shape, len(value), path, "characters"))
        yield from too_long
        if shape.enum:
            yield from self._enum(shape, value, path)
        pattern = shape.metadata.get("pattern")
        compiled = _compiled(pattern) if pattern and not too_long else None
        if compiled is not None and not compiled.fullmatch(value):
            yield f"{path}: {_shown(value)} does not match the pattern {pattern}"

    def _enum(self, shape: Any, value: str, path: str) -> Iterator[str]:
        if value in shape.enum:
            return
        is_instance = shape.name.endswith("InstanceType")
        if is_instance and not self._known_instances_only and _INSTANCE_TYPE.fullmatch(value):
            return
        few = len(shape.enum) <= 20
        allowed = ", ".join(shape.enum) if few else f"the {len(shape.enum)} values of {shape.name}"
        yield f"{path}: {_shown(value)} is not one of {allowed} (botocore {botocore.__version__})"


def _too_large(shape: Any, size: float, path: str, unit: str) -> Iterator[str]:
    """The upper end only: botocore's own validator names values below the minimum."""
    maximum = shape.metadata.get("max")
    if maximum is not None and size > maximum:
        yield f"{path}: {size}{' ' if unit else ''}{unit}, allowed are at most {maximum}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
