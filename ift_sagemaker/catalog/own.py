"""The user's own catalogue file: rows that add to the shipped ones or override them, checked as a whole.

models:
  - model_id: my-org/my-model        # a new row, or fields of a known one
    roads: [{route: container, source: model card, date: 2026-11-01}]
launch: {huggingface-llm-mistral-7b: {...}}             # a JumpStart training spec that is not shipped
hyperparameters: {jumpstart/huggingface-llm-mistral-7b: {...}}
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ift_sagemaker.catalog.facts import load
from ift_sagemaker.catalog.models import Road
from ift_sagemaker.errors import ConfigError

_REQUIRED = ("family", "developer", "roads")


def _as_text(value: Any) -> Any:
    """YAML reads a bare date as one."""
    return value.isoformat() if isinstance(value, date) else value


Day = Annotated[str, BeforeValidator(_as_text), Field(pattern=r"^20\d\d-\d\d-\d\d$")]
Names = tuple[str, ...]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RoadRow(_Strict):
    """One road, as `ift_sagemaker.catalog.models.Road` has it."""

    route: Literal["container", "jumpstart", "serverless", "recipe", "bedrock", "export"]
    source: str = ""
    date: Day | None = None
    techniques: Names = ()
    regions: Names = ()
    legacy_date: Day | None = None
    eol_date: Day | None = None
    closed: bool = False
    note: str = ""
    instead: str = ""
    target: str = ""


class ModelRow(_Strict):
    """One model; only `model_id` where it overrides a shipped row."""

    model_id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,199}$")
    display_name: str | None = None
    family: str | None = None
    developer: str | None = None
    roads: Annotated[tuple[RoadRow, ...], Field(min_length=1)] | None = None
    tasks: Names | None = None
    hub_id: str | None = None
    url: str | None = None
    licence: str | None = None
    parameters: int | None = Field(default=None, ge=1)
    context_length: int | None = Field(default=None, ge=1)
    gated: bool | None = None
    eula: str | None = None
    instances: Names | None = None
    version: str | None = None


class LaunchRow(_Strict):
    """A JumpStart training spec, as `ift_sagemaker.catalog.launch.Launch` has it."""

    version: str
    image: str
    script: str
    artifact: str = ""
    gated: bool = False
    gated_artifacts: dict[str, str] = {}
    default_instance: str
    instances: Annotated[Names, Field(min_length=1)]
    volume_gb: int | None = Field(default=None, ge=1)
    max_run: int = Field(default=360_000, ge=60)
    compress_output: bool = True
    encrypt_traffic: bool = False
    network_isolation: bool = True
    metrics: tuple[dict[str, str], ...] = ()
    container: dict[str, str] = {}
    note: str = ""
    source: str = ""
    date: Day | None = None


class ParameterRow(_Strict):
    """One hyperparameter, as `ift_sagemaker.catalog.hyperparameters.Parameter` has it."""

    name: str
    kind: Literal["int", "float", "text", "bool"]
    default: str | int | float | bool | None = None
    minimum: float | None = None
    maximum: float | None = None
    options: tuple[str | int | float, ...] = ()


class TableRow(_Strict):
    """The hyperparameters of one model."""

    parameters: Annotated[tuple[ParameterRow, ...], Field(min_length=1)]
    version: str = ""
    note: str = ""
    source: str = ""
    date: Day | None = None


class OwnFile(_Strict):
    """The whole file."""

    models: tuple[ModelRow, ...] = ()
    launch: dict[str, LaunchRow] = {}
    hyperparameters: dict[str, TableRow] = {}


@dataclass(frozen=True)
class Own:
    """The file's content in the catalogue's own terms."""

    rows: tuple[dict[str, Any], ...]
    launch: dict[str, dict[str, Any]]
    hyperparameters: dict[str, dict[str, Any]]


def read(path: Path) -> Own:
    """The rows of a YAML or JSON file. Raises ConfigError naming every wrong field, or why it is unread."""
    try:
        stamp = path.stat().st_mtime_ns
    except OSError as error:
        raise ConfigError(
            f"the catalogue file {path} cannot be read: {error.strerror}", field="IFT_CATALOGUE"
        ) from error
    return _read(path, stamp)


@lru_cache(maxsize=4)
def _read(path: Path, stamp: int) -> Own:
    day = date.fromtimestamp(stamp / 1e9).isoformat()  # noqa: DTZ012 - the user's own calendar
    try:
        found = OwnFile(**_content(path))
    except ValidationError as error:
        problems = "".join(
            f"\n  - {'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()
        )
        raise ConfigError(f"{path} is no catalogue:{problems}", field=str(path)) from error
    origin = {"source": str(path), "date": day}
    rows = tuple(_row(row, origin) for row in found.models)
    _refuse_incomplete(path, rows)
    return Own(
        rows,
        {name: _with_origin(row, origin) for name, row in found.launch.items()},
        {name: _with_origin(row, origin) for name, row in found.hyperparameters.items()},
    )


def _content(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text("utf-8")
        if path.suffix == ".json":
            content = json.loads(text)
        else:
            import yaml

            content = yaml.safe_load(text) or {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}", field=str(path)) from error
    except Exception as error:  # YAML's own tree of errors, imported only here
        raise ConfigError(f"{path} is not YAML: {error}", field=str(path)) from error
    if not isinstance(content, dict):
        raise ConfigError(
            f"{path} holds no mapping; it may have {', '.join(OwnFile.model_fields)}", field=str(path)
        )
    return {str(name): value for name, value in content.items()}


def _row(row: ModelRow, origin: dict[str, str]) -> dict[str, Any]:
    given = {name: getattr(row, name) for name in row.model_fields_set if getattr(row, name) is not None}
    if row.roads is not None:
        given["roads"] = tuple(Road(**_with_origin(road, origin)) for road in row.roads)
    return given


def _with_origin(row: BaseModel, origin: dict[str, str]) -> dict[str, Any]:
    values = row.model_dump()
    return {**values, **{name: values[name] or origin[name] for name in origin}}


def _refuse_incomplete(path: Path, rows: tuple[dict[str, Any], ...]) -> None:
    shipped = {row["model_id"] for row in load("models.json")["models"]}
    for row in rows:
        if row["model_id"] not in shipped:
            row.setdefault("display_name", row["model_id"])
    problems = [
        f"\n  - {row['model_id']}: a new model needs {', '.join(missing)}"
        for row in rows
        if row["model_id"] not in shipped and (missing := [name for name in _REQUIRED if name not in row])
    ]
    if problems:
        raise ConfigError(f"{path} is no catalogue:{''.join(problems)}", field=str(path))
