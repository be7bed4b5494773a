"""A place to work in beside the destination: what is made there appears whole at the end, or not at all."""

from __future__ import annotations

import fcntl
import os
import shutil
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Self

from ift_sagemaker.errors import ConfigError, IFTError, StorageError

_MADE = "made"
_REMOTE = "s3://"


def place_of(destination: str | PathLike[str]) -> Path:
    """Where something is to be made; raises ConfigError for an address of S3."""
    if str(destination).startswith(_REMOTE):
        raise ConfigError(
            f"{destination} is in S3, and files are made on this machine: name a place here, then "
            "`ift data upload` sends it",
            field="destination",
            value=str(destination),
        )
    return Path(destination)


class Desk:
    """A folder `.NAME.N.partial` beside `place`, removed at any end.

    What stands at `made` when the work is done becomes `place` by one renaming. A folder that a killed
    process left is removed by the next one that works on the same place: its lock ended with that process.
    Raises ConfigError where `place` exists, StorageError where nothing can be written.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self.folder = place
        self._lock = -1

    @property
    def made(self) -> Path:
        """Where the file or folder is made that becomes the destination."""
        return self.folder / _MADE

    def __enter__(self) -> Self:
        self._refuse_what_is_there()
        try:
            self.place.parent.mkdir(parents=True, exist_ok=True)
            self._remove_remains()
            while self._lock < 0:
                self._lock = self._taken()
        except OSError as error:
            raise _unwritable(self.place, error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._refuse_what_is_there()
                self.made.rename(self.place)
        except OSError as refused:
            raise _unwritable(self.place, refused) from refused
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
            os.close(self._lock)
        if isinstance(error, OSError) and not isinstance(error, IFTError):
            raise _unwritable(self.place, error) from error

    def _refuse_what_is_there(self) -> None:
        if self.place.exists():
            raise ConfigError(
                f"{self.place} is there already: name a new destination",
                field="destination",
                value=str(self.place),
            )

    def _taken(self) -> int:
        """The lock of a new folder; -1 where another process took the folder for remains meanwhile."""
        number = 0
        while True:
            self.folder = self.place.with_name(f".{self.place.name}.{os.getpid()}-{number}.partial")
            try:
                self.folder.mkdir()
                break
            except FileExistsError:
                number += 1
        lock = _locked(self.folder)
        if lock >= 0 and self.folder.exists():
            return lock
        if lock >= 0:
            os.close(lock)
        return -1

    def _remove_remains(self) -> None:
        prefix, suffix = f".{self.place.name}.", ".partial"
        for path in self.place.parent.iterdir():
            if not (path.name.startswith(prefix) and path.name.endswith(suffix) and path.is_dir()):
                continue
            lock = _locked(path)
            if lock >= 0:
                shutil.rmtree(path, ignore_errors=True)
                os.close(lock)


def _locked(folder: Path) -> int:
    """The open lock on a folder; -1 where another process has it or the folder is gone."""
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return -1
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return -1
    return lock


def _unwritable(place: Path, error: OSError) -> StorageError:
    return StorageError(f"{place} cannot be written: {error.strerror or error}", path=str(place))
