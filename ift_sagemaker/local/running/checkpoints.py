"""`/opt/ml/checkpoints` and its S3 prefix: restored before the start, mirrored during and after the run."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.running.artifacts import signature, stable_copy
from ift_sagemaker.local.running.left_behind import Entry, ProgramFolder
from ift_sagemaker.local.running.staging import Downloads
from ift_sagemaker.local.s3.objects import ObjectStore
from ift_sagemaker.local.state.resources import Document, split_s3
from ift_sagemaker.wire.paths import ML_ROOT

DEFAULT_PATH = f"{ML_ROOT}/checkpoints"
INTERVAL_IN_SECONDS = 5.0

Report = Callable[[str], None]


def checkpoint_folder(job: Document, ml_root: Path) -> ProgramFolder:
    """The folder of this machine behind a job's CheckpointConfig.LocalPath, which is below `/opt/ml`."""
    named = job.get("CheckpointConfig", {}).get("LocalPath") or DEFAULT_PATH
    return ProgramFolder(ml_root, named.rstrip("/").removeprefix(ML_ROOT).lstrip("/"))


class CheckpointMirror:
    """Copies what changed in `folder` to an S3 prefix; what is removed from the folder stays in S3.

    `desk` is a folder for the copies on their way. A file that changes while it is copied is taken next time.
    """

    def __init__(self, objects: ObjectStore, uri: str, folder: ProgramFolder, desk: Path) -> None:
        self._objects = objects
        self._uri = uri
        self._folder = folder
        self._desk = desk
        self._sent: dict[str, tuple[int, int]] = {}

    def restore(self) -> int:
        """How many files came back from S3; for the time before the program starts."""
        self._folder.path.mkdir(parents=True, exist_ok=True)
        count = Downloads(self._objects, share=False).copy(self._uri, self._folder.path)
        self._sent = {entry.path: signature(entry.status) for entry in self._folder.entries()}
        return count

    def sync(self) -> int:
        """How many files went to S3."""
        self._desk.mkdir(parents=True, exist_ok=True)
        return sum(self._send(entry) for entry in self._folder.entries() if entry.is_plain)

    def _send(self, entry: Entry) -> bool:
        name = entry.path
        if self._sent.get(name) == signature(entry.status):
            return False
        bucket, prefix = split_s3(self._uri)
        copy = self._desk / "checkpoint"
        try:
            copied = stable_copy(entry, copy)
            if copied is None:
                return False
            self._objects.put_file(bucket, f"{prefix.rstrip('/')}/{name}".lstrip("/"), copy)
        finally:
            copy.unlink(missing_ok=True)
        self._sent[name] = copied
        return True


class Mirror(Protocol):
    """What brings files to S3 when it is told to: a CheckpointMirror, or several."""

    def sync(self) -> object:
        """Brings what changed to S3; raises a ServiceError or OSError where that fails."""


class MirrorThread:
    """Syncs a mirror every few seconds beside the run. A failure is reported once and tried again.

    `what` names in a report that which is mirrored.
    """

    def __init__(
        self,
        mirror: Mirror,
        report: Report,
        interval: float = INTERVAL_IN_SECONDS,
        what: str = "checkpoints",
    ) -> None:
        self._mirror = mirror
        self._report = report
        self._interval = interval
        self._what = what
        self._done = threading.Event()
        self._told = ""
        self._thread = threading.Thread(target=self._run, name="checkpoints", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def finish(self) -> None:
        """Ends the thread and syncs a last time."""
        self._done.set()
        if self._thread.is_alive():
            self._thread.join()
        self._once()

    def _run(self) -> None:
        while not self._done.wait(self._interval):
            self._once()

    def _once(self) -> None:
        try:
            self._mirror.sync()
        except (OSError, sqlite3.Error, ServiceError) as error:
            if str(error) != self._told:
                self._told = str(error)
                self._report(f"{self._what} could not be written to S3: {error}")
