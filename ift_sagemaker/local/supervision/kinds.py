"""What is supervised, and what differs by kind. How a kind behaves is told by the room that owns it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from ift_sagemaker.local.running.runner import Runner
from ift_sagemaker.local.state.resources import ENDPOINT, PROCESSING_JOB, TRAINING_JOB, Document
from ift_sagemaker.local.state.settings import Context


def _nothing(_: Context, __: Document) -> None:
    pass


@dataclass(frozen=True)
class Behaviour:
    """`is_supervised`: whether a supervisor ought to be alive for a document.

    `lost`: the document once its supervisor died of `reason` at `now`, None where nothing of it is to stay.
    `run`: what a supervisor does; it returns when the document has come to its end.
    `buried`: what is done, once its supervisor died, before the document is changed or deleted; it may be
    called again. It raises sqlite3.Error where the disk is full, and the document stays as it is.
    """

    is_supervised: Callable[[Document], bool]
    lost: Callable[[Document, str, float], Document | None]
    run: Callable[[Context, Document, Runner], None]
    buried: Callable[[Context, Document], None] = _nothing


@dataclass(frozen=True)
class Kind:
    """One supervised kind. `noun` stands in commands and messages, `folder` below the root."""

    noun: str
    folder: str
    name_field: str
    module: str

    @property
    def behaviour(self) -> Behaviour:
        """BEHAVIOUR of the kind's module, imported when first asked for."""
        found: Behaviour = import_module(self.module).BEHAVIOUR
        return found


KINDS = {
    TRAINING_JOB: Kind("job", "jobs", "TrainingJobName", "ift_sagemaker.local.training.behaviour"),
    PROCESSING_JOB: Kind(
        "processing-job",
        "processing",
        "ProcessingJobName",
        "ift_sagemaker.local.processing.behaviour",
    ),
    ENDPOINT: Kind("endpoint", "endpoints", "EndpointName", "ift_sagemaker.local.hosting.behaviour"),
}
KIND_BY_NOUN = {kind.noun: name for name, kind in KINDS.items()}
