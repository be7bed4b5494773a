"""Filling `/opt/ml` before a program starts: configuration files, and channels from S3."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from ift_sagemaker.local.protocol.errors import DISK_FULL, ServiceError
from ift_sagemaker.local.s3.files import CHUNK
from ift_sagemaker.local.s3.objects import ObjectStore, StoredObject
from ift_sagemaker.local.state.resources import Document, split_s3
from ift_sagemaker.wire.paths import MLPaths

HOST = "algo-1"
GROUP = "homogeneousCluster"
READ_ONLY = 0o444
SCRIPT_CHANNELS = ("code", "sm_drivers")
"""Channels in which the SDK's script mode unpacks its archive and makes its script executable."""


class DownloadError(Exception):
    """S3 data could not be put into place; the text says why."""


class Downloads:
    """Objects of S3 as files.

    `share` links a file with the object store, which saves the bytes; it must be off where the program could
    write through the link (as root, whom file modes do not stop).
    """

    def __init__(self, objects: ObjectStore, *, share: bool) -> None:
        self._objects = objects
        self._share = share

    def prefix(self, uri: str, folder: Path) -> int:
        """How many files came to `folder` from an S3 key or prefix; the names below the prefix are kept.

        Raises:
            DownloadError: no such bucket, nothing there, or a key that is no file name.
        """
        bucket, prefix = split_s3(uri)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            self._objects.bucket(bucket)
            count = sum(self._place(found, prefix, folder) for found in self._objects.list(bucket, prefix))
        except ServiceError as error:
            raise DownloadError(f"{error.code}: {error.message} ({uri})") from error
        except OSError as error:
            if error.errno in DISK_FULL:
                raise
            raise DownloadError(f"{uri} holds a key that cannot be a file here: {error.strerror}") from error
        if not count:
            raise DownloadError(f"S3 key: {uri} matched no files on s3")
        return count

    def unshared(self) -> Downloads:
        """The same, with files that are copies."""
        return Downloads(self._objects, share=False)

    def copy(self, uri: str, folder: Path) -> int:
        """How many files were copied to `folder`, writable; none is no error."""
        bucket, prefix = split_s3(uri)
        below = f"{prefix.rstrip('/')}/" if prefix else ""
        count = 0
        for found in self._objects.list(bucket, below):
            path = folder / safe_name(found.key.removeprefix(below))
            if not found.key.endswith("/"):
                path.parent.mkdir(parents=True, exist_ok=True)
                self._copy(found, path)
                count += 1
        return count

    def _place(self, found: StoredObject, prefix: str, folder: Path) -> int:
        path = folder / safe_name(relative_name(found.key, prefix))
        if found.key.endswith("/"):  # what consoles put for an empty folder
            path.mkdir(parents=True, exist_ok=True)
            return 0
        path.parent.mkdir(parents=True, exist_ok=True)
        if self._share:
            self._objects.link(found.bucket, found.key, path)
        else:
            self._copy(found, path)
            path.chmod(READ_ONLY)
        return 1

    def _copy(self, found: StoredObject, path: Path) -> None:
        _, source = self._objects.open(found.bucket, found.key)
        with source, path.open("xb") as sink:
            shutil.copyfileobj(source, sink, CHUNK)


def relative_name(key: str, prefix: str) -> str:
    """The name of a key below a prefix.

    A whole key keeps its last part; a folder, with or without its slash, gives the names inside; any other
    prefix gives what follows its last slash.
    """
    folder = prefix.rstrip("/")
    if folder and key == folder:
        return key.rpartition("/")[2]
    if folder and key.startswith(f"{folder}/"):
        return key[len(folder) + 1 :]
    return key[prefix.rfind("/") + 1 :]


def safe_name(name: str) -> PurePosixPath:
    """The name as a relative path; a DownloadError where it would lead elsewhere."""
    parts = name.rstrip("/").split("/") if name else []
    if any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise DownloadError(f"the S3 key …{name!r} cannot be a file below the channel")
    return PurePosixPath(*parts)


def stage_job(job: Document, ml_root: Path, downloads: Downloads) -> Iterator[str]:
    """Fills `ml_root` for a training job, yielding the name of each channel that is there.

    File and FastFile alike are plain files: to a program both are files to read, and a stream from S3 has
    nothing to gain where S3 is on the same disk.
    """
    paths = MLPaths(ml_root)
    for folder in (paths.config, paths.data, paths.model, paths.output_data):
        folder.mkdir(parents=True, exist_ok=True)
    for path, content in configuration(job, paths).items():
        path.write_text(json.dumps(content), "utf-8")
        path.chmod(READ_ONLY)
    for channel in job.get("InputDataConfig", []):
        uri = channel["DataSource"]["S3DataSource"]["S3Uri"]
        name = channel["ChannelName"]
        placed = downloads.unshared() if name in SCRIPT_CHANNELS else downloads
        placed.prefix(uri, paths.channel(name))
        yield name


def sealed_inputs(job: Document) -> tuple[str, ...]:
    """What a job may not write, below `/opt/ml`: its configuration and all data but the SDK's scripts."""
    names = (channel["ChannelName"] for channel in job.get("InputDataConfig", []))
    return ("input/config", *(f"input/data/{name}" for name in names if name not in SCRIPT_CHANNELS))


def configuration(job: Document, paths: MLPaths) -> dict[Path, Any]:
    """The three files that SageMaker writes for a program.

    Source: https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html
    """
    return {
        paths.hyperparameters: job.get("HyperParameters", {}),
        paths.input_data_config: {
            channel["ChannelName"]: _channel(channel) for channel in job.get("InputDataConfig", [])
        },
        paths.resource_config: _resources(job["ResourceConfig"]["InstanceType"]),
    }


def _channel(channel: Document) -> dict[str, str]:
    source = channel["DataSource"]["S3DataSource"]
    described = {
        "TrainingInputMode": "File",  # FastFile reads File here too
        "S3DistributionType": source.get("S3DataDistributionType", "FullyReplicated"),
        "RecordWrapperType": "None",
    }
    if channel.get("ContentType"):
        described["ContentType"] = channel["ContentType"]
    return described


def _resources(instance_type: str) -> dict[str, Any]:
    return {
        "current_host": HOST,
        "current_instance_type": instance_type,
        "current_group_name": GROUP,
        "hosts": [HOST],
        "instance_groups": [
            {"instance_group_name": GROUP, "instance_type": instance_type, "hosts": [HOST]},
        ],
        "network_interface_name": "eth0",
    }


def may_share(runner: str) -> bool:
    """Whether inputs may be hard links into the object store: the runner or the file modes protect them."""
    return runner == "bwrap" or os.geteuid() != 0
