"""Filling `/opt/ml` of every host before its program starts: configuration files and channels."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any

from ift_sagemaker.local.running.channels import Channel, channels_of, items_of
from ift_sagemaker.local.running.hosts import Host, resource_config
from ift_sagemaker.local.running.pipes import Open, Pipe
from ift_sagemaker.local.running.staging import READ_ONLY, SCRIPT_CHANNELS, Downloads, Item, Reading
from ift_sagemaker.local.s3.objects import ObjectStore, StoredObject
from ift_sagemaker.local.state.resources import Document
from ift_sagemaker.wire.paths import MLPaths


class Inputs:
    """The inputs of one try of a job. `share` as in Downloads."""

    def __init__(self, job: Document, hosts: Sequence[Host], objects: ObjectStore, *, share: bool) -> None:
        self._job = job
        self._hosts = hosts
        self._objects = objects
        self._downloads = Downloads(objects, share=share)
        self.pipes: list[Pipe] = []

    def stage(self, folders: dict[str, Path]) -> Iterator[str]:
        """Fills the `/opt/ml` of every host (`folders`, by host), yielding whenever a channel is there.

        File and FastFile alike are plain files: to a program both are files to read, and a stream from S3 has
        nothing to gain where S3 is on the same disk. A channel in Pipe mode gets its first named pipe.

        Raises:
            DownloadError: a channel could not be put into place.
        """
        for host in self._hosts:
            prepare(self._job, self._hosts, host, folders[host.name])
        for channel in channels_of(self._job):
            items = items_of(self._objects, channel.uri, channel.data_type)
            for host in channel.receivers(self._hosts):
                with Reading(channel.uri):
                    self._bring(channel, items, host, MLPaths(folders[host.name]))
                yield channel.name

    def _bring(self, channel: Channel, items: Sequence[Item], host: Host, paths: MLPaths) -> None:
        if channel.mode != "Pipe":
            scripts = channel.name in SCRIPT_CHANNELS
            downloads = self._downloads.unshared() if scripts else self._downloads
            downloads.place(channel.part(items, self._hosts, host), paths.channel(channel.name))
            return

        def epoch_of(epoch: int) -> Iterable[Open]:
            for item in channel.part(items, self._hosts, host, epoch):
                if not item.is_folder:
                    yield partial(self._open, item.stored)

        packed = channel.compression == "Gzip"
        self.pipes.append(Pipe(paths.data, channel.name, epoch_of, packed=packed))

    def _open(self, stored: StoredObject) -> IO[bytes]:
        return self._objects.open(stored.bucket, stored.key)[1]

    def start(self) -> None:
        """Begins to stream; for the time after the programs were started."""
        for pipe in self.pipes:
            pipe.start()

    def refuse_failed(self) -> None:
        """Raises a DownloadError where a channel could not be streamed."""
        for pipe in self.pipes:
            pipe.refuse_failed()

    def finish(self) -> None:
        """Ends all streaming."""
        for pipe in self.pipes:
            pipe.finish()


def prepare(job: Document, hosts: Sequence[Host], host: Host, ml_root: Path) -> None:
    """Makes the folders of `/opt/ml` and the three files that SageMaker writes for a program."""
    paths = MLPaths(ml_root)
    for folder in (paths.config, paths.data, paths.model, paths.output_data):
        folder.mkdir(parents=True, exist_ok=True)
    for path, content in configuration(job, hosts, host, paths).items():
        path.write_text(json.dumps(content), "utf-8")
        path.chmod(READ_ONLY)


def configuration(job: Document, hosts: Sequence[Host], host: Host, paths: MLPaths) -> dict[Path, Any]:
    """The content of each of the three files.

    Source: https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html
    """
    channels = [channel for channel in channels_of(job) if host in channel.receivers(hosts)]
    return {
        paths.hyperparameters: job.get("HyperParameters", {}),
        paths.input_data_config: {channel.name: channel.described() for channel in channels},
        paths.resource_config: resource_config(hosts, host),
    }


def sealed(job: Document, hosts: Sequence[Host], host: Host) -> tuple[str, ...]:
    """What a program may not write, below `/opt/ml`: its configuration and all data but the SDK's scripts."""
    folders = (
        channel.name
        for channel in channels_of(job)
        if host in channel.receivers(hosts) and channel.mode != "Pipe" and channel.name not in SCRIPT_CHANNELS
    )
    return ("input/config", *(f"input/data/{name}" for name in folders))
