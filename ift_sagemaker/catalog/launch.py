"""How JumpStart starts a model's training: image, script, artefact, instances, from the model's own spec."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from ift_sagemaker.catalog.facts import load
from ift_sagemaker.catalog.models import CATALOGUE_VARIABLE, FoundationModel, models, own_content, own_file
from ift_sagemaker.errors import UnsupportedError


@dataclass(frozen=True)
class Launch:
    """One training spec. Keys are those of JumpStart's bucket of the region, `image` is repository:tag.

    `gated_artifacts` by instance family, in the gated bucket; `container` are the hyperparameters by which
    the image finds its script.
    """

    version: str
    source: str
    date: str
    image: str
    script: str
    default_instance: str
    instances: tuple[str, ...]
    max_run: int
    artifact: str = ""
    gated: bool = False
    gated_artifacts: dict[str, str] = field(default_factory=dict)
    volume_gb: int | None = None
    compress_output: bool = True
    encrypt_traffic: bool = False
    network_isolation: bool = True
    metrics: tuple[dict[str, str], ...] = ()
    container: dict[str, str] = field(default_factory=dict)
    note: str = ""


def launch(model: FoundationModel) -> Launch:
    """The model's training spec. Raises UnsupportedError that says what is missing and how to bring it."""
    found = _launch_rows().get(model.model_id)
    if found is None:
        raise UnsupportedError(
            f"the JumpStart training spec of {model.model_id} is not in this catalogue: the addresses of its "
            "image, script and artefact are not known here and are not guessed. AWS prints it: aws sagemaker "
            "describe-hub-content --hub-name SageMakerPublicHub --hub-content-type Model --hub-content-name "
            f"{model.model_id}. Put it into your catalogue file ({CATALOGUE_VARIABLE}; "
            "docs/how-to/configure.md, Models of your own) under launch: and hyperparameters:."
            f"{_at_hand(model)}",
            feature=f"JumpStart training of {model.model_id}",
        )
    return Launch(**{**found, "instances": tuple(found["instances"]), "metrics": tuple(found["metrics"])})


def _at_hand(model: FoundationModel) -> str:
    """Those of the family that can be planned, in words; empty where none can."""
    rows = _launch_rows()
    known = sorted(other.model_id for other in models() if other.family == model.family)
    named = [model_id for model_id in known if model_id in rows]
    return f" Of the family {model.family} this catalogue has it of {', '.join(named)}." if named else ""


def has_launch(model: FoundationModel) -> bool:
    """Whether its training spec is at hand."""
    return model.model_id in _launch_rows()


def training_channel(model: FoundationModel) -> str:
    """The channel that its script reads rows from."""
    channels: dict[str, str] = load("launch.json")["training_channel"]
    named = (channel for prefix, channel in channels.items() if model.model_id.startswith(prefix))
    return next(named, "training")


def _launch_rows() -> dict[str, Any]:
    own = own_content(own_file(os.environ))
    shipped: dict[str, Any] = load("launch.json")["models"]
    return shipped if own is None else {**shipped, **own.launch}
