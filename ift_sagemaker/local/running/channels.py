"""What a channel of a job brings to which host: which objects, in which order, under which names."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.running.hosts import Host
from ift_sagemaker.local.running.staging import DownloadError, Item, Reading, items_below
from ift_sagemaker.local.s3.objects import ObjectStore
from ift_sagemaker.local.state.resources import Document, split_s3

MAX_MANIFEST = 64 << 20
SHARDED = "ShardedByS3Key"


@dataclass(frozen=True)
class Channel:
    """One channel of a request. `seed` is that of its ShuffleConfig, `groups` the only ones that get it."""

    name: str
    uri: str
    mode: str
    data_type: str = "S3Prefix"
    distribution: str = "FullyReplicated"
    content_type: str = ""
    compression: str = "None"
    groups: tuple[str, ...] = ()
    seed: int | None = None

    @classmethod
    def of(cls, channel: Mapping[str, Any], mode: str) -> Channel:
        """The channel as it was asked for; `mode` is the job's own input mode."""
        source = channel["DataSource"]["S3DataSource"]
        return cls(
            name=channel["ChannelName"],
            uri=source["S3Uri"],
            mode=channel.get("InputMode", mode),
            data_type=source["S3DataType"],
            distribution=source.get("S3DataDistributionType", "FullyReplicated"),
            content_type=channel.get("ContentType", ""),
            compression=channel.get("CompressionType", "None"),
            groups=tuple(source.get("InstanceGroupNames", ())),
            seed=channel.get("ShuffleConfig", {}).get("Seed"),
        )

    def described(self) -> dict[str, str]:
        """Its entry in `inputdataconfig.json`, where FastFile reads File as on AWS."""
        told = {
            "TrainingInputMode": "Pipe" if self.mode == "Pipe" else "File",
            "S3DistributionType": self.distribution,
            "RecordWrapperType": "None",
        }
        return {**told, "ContentType": self.content_type} if self.content_type else told

    def receivers(self, hosts: Sequence[Host]) -> list[Host]:
        """The hosts that get this channel."""
        return [host for host in hosts if not self.groups or host.group in self.groups]

    def part(self, items: Sequence[Item], hosts: Sequence[Host], host: Host, epoch: int = 0) -> list[Item]:
        """What of the channel's items goes to one of its receivers in an epoch, in order.

        A seed shuffles all items anew for every epoch before they are dealt out, so that a host may get
        others in the next one (service model: ShuffleConfig). Sharding deals them out in turn.
        """
        chosen = list(items)
        if self.seed is not None:
            Random(f"{self.seed} {epoch}").shuffle(chosen)  # noqa: S311 - an order, not a secret
        if self.distribution != SHARDED:
            return chosen
        receivers = self.receivers(hosts)
        files = [item for item in chosen if not item.is_folder]
        return files[receivers.index(host) :: len(receivers)]


def channels_of(job: Document) -> list[Channel]:
    """The channels of a job, each with the address that it really comes from."""
    mode = job["AlgorithmSpecification"].get("TrainingInputMode", "File")
    sources: Mapping[str, str] = job.get("_sources", {})
    asked = [Channel.of(channel, mode) for channel in job.get("InputDataConfig", [])]
    return [replace(channel, uri=sources.get(channel.uri, channel.uri)) for channel in asked]


def items_of(objects: ObjectStore, uri: str, data_type: str) -> list[Item]:
    """Every object of an input in the order of keys, or in the order of its manifest.

    Raises:
        DownloadError: there is none, one is missing, or the manifest cannot be read.
    """
    with Reading(uri):
        return _listed(objects, uri) if data_type == "ManifestFile" else items_below(objects, uri)


def _listed(objects: ObjectStore, uri: str) -> list[Item]:
    bucket, prefix, names = read_manifest(_text(objects, uri), uri)
    found = []
    for name in names:
        stored = objects.get(bucket, prefix + name)
        if stored is None:
            objects.bucket(bucket)
            raise DownloadError(f"S3 key: s3://{bucket}/{prefix}{name} matched no files on s3")
        found.append(Item(stored, name.lstrip("/")))
    return found


def _text(objects: ObjectStore, uri: str) -> bytes:
    try:
        stored, file = objects.open(*split_s3(uri))
    except ServiceError as error:
        if error.code != "NoSuchKey":
            raise
        raise DownloadError(f"S3 key: {uri} matched no files on s3") from error
    with file:
        if stored.size > MAX_MANIFEST:
            raise DownloadError(f"the manifest {uri} has {stored.size} bytes, allowed are {MAX_MANIFEST}")
        return file.read()


def read_manifest(text: bytes, uri: str) -> tuple[str, str, list[str]]:
    """Bucket, key prefix and names of a manifest: `[{"prefix": "s3://BUCKET/PREFIX"}, "name", …]`.

    Source: service model, S3DataSource.S3Uri.

    Raises:
        DownloadError: it has another form.
    """
    try:
        head, *names = json.loads(text)
        prefix = head["prefix"]
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise _unreadable(uri) from error
    if not isinstance(prefix, str) or not prefix.startswith("s3://") or not names:
        raise _unreadable(uri)
    if not all(isinstance(name, str) and name for name in names):
        raise _unreadable(uri)
    return *split_s3(prefix), names


def _unreadable(uri: str) -> DownloadError:
    return DownloadError(
        f'{uri} is no manifest: a JSON array of {{"prefix": "s3://…"}} and at least one name is needed'
    )
