"""What an image URI means on this machine: a table from image names to commands of this Python environment.

A run records both, the image asked for and what was executed in its place; it is never a rehearsal of the
software inside AWS's image. `images.json` in the local root adds rows of the user's own:

    [{"image": "*/my-server:*", "command": ["python3", "/opt/ml/model/server.py"]}]

With a container engine it is the image itself that runs, where the engine has it; else this project's own
image stands in, and runs what the table says.
"""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Protocol

from ift_sagemaker import __version__
from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.running.engines import EngineError
from ift_sagemaker.local.state.resources import invalid
from ift_sagemaker.wire.jumpstart import CHANNEL_CODE
from ift_sagemaker.wire.paths import ML_ROOT, PROGRAM_FILE

REGISTRY_FILE = "images.json"
SERVE = ("python3", "-m", "ift_sagemaker.container", "serve")
TRAIN = ("python3", f"{ML_ROOT}/input/data/{CHANNEL_CODE}/{PROGRAM_FILE}", "train")
"""Our program in the place of JumpStart's script, as it comes in that script's channel."""
PYTHON_IMAGE = f"ift-local/python:{platform.python_version()}"
TRAIN_STAND_IN = f"ift-sagemaker-train:{__version__}"
SERVE_STAND_IN = f"ift-sagemaker-serve:{__version__}"
SERVE_IMAGE = f"ift-local/serve:python-{platform.python_version()}"


@dataclass(frozen=True)
class LocalContainer:
    """What runs in place of an image: a name to record, and the command in the container's own paths.

    With a container engine `image` is the one that it starts, and with `replaces_entrypoint` the command
    stands in place of that image's own entrypoint.
    """

    executed: str
    command: tuple[str, ...]
    image: str = ""
    replaces_entrypoint: bool = False


class ImageStore(Protocol):
    """A container engine: what images are on this machine."""

    @property
    def name(self) -> str:
        """What the settings call it."""

    def image_id(self, image: str) -> str | None:
        """An image's 64 hexadecimal digits, None where it is not here. Raises EngineError."""


@dataclass(frozen=True)
class Row:
    """Images whose repository (the URI without registry and tag) matches are answered by `container`."""

    title: str
    repository: re.Pattern[str]
    container: LocalContainer


def _serving(title: str, pattern: str) -> Row:
    return Row(title, re.compile(pattern), LocalContainer(SERVE_IMAGE, SERVE))


HOSTING = (
    _serving("vllm", r"(huggingface-)?vllm"),
    _serving("djl-inference", r"djl-inference"),
    _serving("huggingface-pytorch-tgi-inference", r"huggingface-pytorch-tgi-inference|.*/text-generation-.*"),
    _serving("huggingface-pytorch-inference", r"huggingface-pytorch-inference(-.*)?"),
)
TRAINING = (
    ("huggingface-pytorch-training", re.compile(r"huggingface-pytorch-training(-.*)?")),
    ("pytorch-training", re.compile(r"pytorch-training")),
)
_REGISTRY_HOST = re.compile(r"^[^/]*[.:][^/]*/")


def repository(image: str) -> str:
    """The repository of an image URI: no registry host, no tag, no digest."""
    name = _REGISTRY_HOST.sub("", image).partition("@")[0]
    head, slash, last = name.rpartition("/")
    return head + slash + last.partition(":")[0]


def training_title(image: str) -> str:
    """The name of a known AWS training image, empty for any other."""
    return next((title for title, known in TRAINING if known.fullmatch(repository(image))), "")


def job_container(
    root: Path,
    image: str,
    entrypoint: Sequence[str],
    arguments: Sequence[str],
    engine: ImageStore | None = None,
    *,
    word: str = "",
    jumpstart: bool = False,
) -> LocalContainer:
    """What runs a job: with an engine that has it the image, else the job's own entrypoint.

    `word` is what a program hears where the job names neither entrypoint nor arguments: "train", or nothing.
    With `jumpstart` the image is to run a script of JumpStart's, for which our program stands in.

    Raises:
        ServiceError: there is no entrypoint, so the image's own program would be needed; or the engine has
            neither the image nor its stand-in.
    """
    said = tuple(arguments) or ((word,) if word and not entrypoint else ())
    if engine is not None and (found := _found(engine, image)):
        words = (*entrypoint, *said)
        return LocalContainer(_named(image, found), words, found, replaces_entrypoint=bool(entrypoint))
    container = _job_command(root, image, entrypoint, said, jumpstart=jumpstart)
    return container if engine is None else _stand_in(engine, image, TRAIN_STAND_IN, container.command)


def _job_command(
    root: Path, image: str, entrypoint: Sequence[str], said: Sequence[str], *, jumpstart: bool
) -> LocalContainer:
    if entrypoint:
        return LocalContainer(PYTHON_IMAGE, (*entrypoint, *said))
    registered = _registered(root, image)
    if registered:
        return LocalContainer(registered.executed, (*registered.command, *said))
    if jumpstart and training_title(image):
        return LocalContainer(PYTHON_IMAGE, TRAIN)
    raise _unknown(image, "all images with a ContainerEntrypoint")


def hosting_container(root: Path, image: str, engine: ImageStore | None = None) -> LocalContainer:
    """What answers an endpoint in place of `image`; with an engine that has it the image itself.

    Raises:
        ServiceError: nothing in the table stands for this image; or the engine has neither it nor its
            stand-in.
    """
    if engine is None:
        return _hosting_command(root, image)
    if found := _found(engine, image):
        return LocalContainer(_named(image, found), ("serve",), found)
    container = _hosting_command(root, image)
    command = ("serve",) if container.command == SERVE else container.command
    return _stand_in(engine, image, SERVE_STAND_IN, command)


def _hosting_command(root: Path, image: str) -> LocalContainer:
    registered = _registered(root, image)
    if registered:
        return registered
    for row in HOSTING:
        if row.repository.fullmatch(repository(image)):
            return row.container
    raise _unknown(image, ", ".join(row.title for row in HOSTING))


def _found(engine: ImageStore, image: str) -> str | None:
    try:
        return engine.image_id(image)
    except EngineError as error:
        raise ServiceError("InternalFailure", str(error), 500) from error


def _named(image: str, identifier: str) -> str:
    """An image's name with its digits, as long as a tag's value may be."""
    digits = f"@sha256:{identifier}"
    return image.partition("@")[0][: 256 - len(digits)] + digits


def _stand_in(engine: ImageStore, image: str, stand_in: str, command: tuple[str, ...]) -> LocalContainer:
    found = _found(engine, stand_in)
    if found is None:
        raise ServiceError(
            "UnsupportedOperation",
            f"{engine.name} has neither the image {image} nor {stand_in}, which stands in for it;"
            f" build that in a clone of this project with: make images ENGINE={engine.name}",
        )
    return LocalContainer(_named(stand_in, found), command, found)


def _unknown(image: str, known: str) -> ServiceError:
    return ServiceError(
        "UnsupportedOperation",
        f"image {image} has no local container; known are {known}; {REGISTRY_FILE} in the local root can"
        " name a command for others",
    )


def _registered(root: Path, image: str) -> LocalContainer | None:
    path = root / REGISTRY_FILE
    if not path.exists():
        return None
    try:
        rows = [(str(row["image"]), tuple(map(str, row["command"]))) for row in json.loads(path.read_text())]
    except (ValueError, KeyError, TypeError) as error:
        raise invalid(f"{path} is no list of {{image, command}} rows: {error!r}") from error
    for pattern, command in rows:
        if command and fnmatchcase(image, pattern):
            return LocalContainer(f"{REGISTRY_FILE}:{pattern}"[:256], command)
    return None
