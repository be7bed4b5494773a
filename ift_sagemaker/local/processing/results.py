"""What the programs of a processing job leave: outputs for S3, and the message with which they end.

Hosts are taken in their order, so where two left a file of one name, that of the later host stays. On AWS it
is the one uploaded last (general knowledge).
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from ift_sagemaker.local.processing.document import below_ml, outputs
from ift_sagemaker.local.processing.staging import MESSAGE
from ift_sagemaker.local.running.artifacts import Upload, as_files
from ift_sagemaker.local.running.checkpoints import CheckpointMirror
from ift_sagemaker.local.running.left_behind import ProgramFolder
from ift_sagemaker.local.s3.objects import ObjectStore
from ift_sagemaker.local.state.resources import MAX_REASON, Document, split_s3

END_OF_JOB = "EndOfJob"
CONTINUOUS = "Continuous"


class MessageError(Exception):
    """A program's message is no UTF-8, which fails the job."""


def collected(job: Document, roots: Mapping[str, Path], desk: Path) -> dict[str, list[Upload]]:
    """By bucket the files of all EndOfJob outputs of all hosts, set aside below the folder `desk`."""
    found: dict[str, list[Upload]] = {}
    for number, output in enumerate(_of_mode(job, END_OF_JOB)):
        bucket, prefix = split_s3(output["S3Uri"])
        below = f"{prefix.rstrip('/')}/".lstrip("/")
        for host, root in roots.items():
            folder = ProgramFolder(root, below_ml(output["LocalPath"]))
            found.setdefault(bucket, []).extend(as_files(folder, below, desk / f"{number}-{host}"))
    return found


class Continuous:
    """The Continuous outputs of all hosts: every file that changed goes to S3 when `sync` is called."""

    def __init__(self, job: Document, roots: Mapping[str, Path], objects: ObjectStore, desk: Path) -> None:
        self._mirrors = [
            CheckpointMirror(
                objects,
                output["S3Uri"],
                ProgramFolder(root, below_ml(output["LocalPath"])),
                desk / f"continuous-{number}-{host}",
            )
            for number, output in enumerate(_of_mode(job, CONTINUOUS))
            for host, root in roots.items()
        ]

    def sync(self) -> None:
        """Raises a ServiceError or OSError where a file could not be put; the others go all the same."""
        with ExitStack() as every:
            for mirror in reversed(self._mirrors):
                every.callback(mirror.sync)


def _of_mode(job: Document, mode: str) -> list[Document]:
    return [output for output in outputs(job) if output["S3UploadMode"] == mode]


def exit_message(roots: Mapping[str, Path]) -> str:
    """The messages of all hosts, one after the other, up to 1 KB; empty where there are none.

    Source: https://docs.aws.amazon.com/sagemaker/latest/dg/byoc-metadata.html

    Raises:
        MessageError: one of them is not UTF-8.
    """
    whole = "".join(_message(host, root) for host, root in roots.items())
    return _cut(whole.encode())


def _message(host: str, root: Path) -> str:
    folder, name = MESSAGE
    data = ProgramFolder(root, folder).read_bytes(name, MAX_REASON) or b""
    try:
        return _cut(data)
    except UnicodeDecodeError:
        raise MessageError(f"/opt/ml/{folder}/{name} of {host} is not UTF-8") from None


def _cut(data: bytes) -> str:
    """The first 1 KB as text, without a character that was cut in two."""
    whole = len(data) < MAX_REASON
    return codecs.getincrementaldecoder("utf-8")().decode(data[:MAX_REASON], final=whole)
