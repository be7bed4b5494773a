"""Folders of a job or endpoint: where they are, and removing them for good."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ift_sagemaker.local.supervision.kinds import KINDS

FIRST_HOST = "algo-1"
SUPERVISOR_LOG = "supervisor.log"


@dataclass(frozen=True)
class Workplace:
    """The folder of a job or endpoint, with one below it for each of its hosts."""

    home: Path

    @classmethod
    def of(cls, root: Path, kind: str, name: str) -> Workplace:
        return cls(root / KINDS[kind].folder / name)

    def ml(self, host: str = FIRST_HOST) -> Path:
        """What stands for `/opt/ml` on one host."""
        return self.home / host / "opt" / "ml"

    def scratch(self, host: str = FIRST_HOST) -> Path:
        """For home and temporary files on one host."""
        return self.home / host / "tmp"

    @property
    def outgoing(self) -> Path:
        """For files on their way to S3, out of the program's sight."""
        return self.home / "outgoing"

    @property
    def log(self) -> Path:
        """What the supervisor itself printed: nothing, unless it broke."""
        return self.home / SUPERVISOR_LOG

    def make(self) -> None:
        """Makes the folder anew."""
        self.remove()
        self.home.mkdir(parents=True, mode=0o700)

    def clear(self) -> None:
        """Removes all that is in the folder but for the supervisor's log."""
        for path in self.home.iterdir():
            if path != self.log:
                remove_tree(path)

    def remove(self) -> None:
        """Removes the folder with all that is in it, whatever modes a program gave it."""
        remove_tree(self.home)

    def last_words(self) -> str:
        """The last line that the supervisor printed, empty where there is none."""
        with suppress(OSError):
            lines = self.log.read_text("utf-8", "replace").strip().splitlines()
            return lines[-1] if lines else ""
        return ""


def remove_tree(path: Path) -> None:
    """Removes a folder, also from folders that are not writable; what cannot be removed stays."""
    shutil.rmtree(path, onerror=_open_up)


def _open_up(function: Any, name: str, _: Any) -> None:
    with suppress(OSError):
        parent = Path(name).parent
        parent.chmod(0o700)
        if Path(name).is_dir() and not Path(name).is_symlink():
            Path(name).chmod(0o700)
            shutil.rmtree(name, ignore_errors=True)
        else:
            function(name)
