"""Rows and what plans need on their way to S3: each object once, named by its content."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ift_sagemaker.aws.client import AWSClient
from ift_sagemaker.aws.retry import Patience
from ift_sagemaker.aws.transfer import Objects, split_uri
from ift_sagemaker.aws.upload import Sending, Sent
from ift_sagemaker.data import InstructionDataset
from ift_sagemaker.data.reading.sources import Stored
from ift_sagemaker.data.sending.manifest import DATA_PREFIX, UploadedData
from ift_sagemaker.data.sending.outgoing import Outgoing, OutgoingSet, of_dataset, of_path
from ift_sagemaker.errors import ConfigError, UnsupportedError
from ift_sagemaker.plan.calls import RoutePlan
from ift_sagemaker.plan.plans import JobPlan
from ift_sagemaker.reading import Data


@dataclass(frozen=True)
class UploadProgress:
    """One object on its way: `sent` of `size` bytes; `present` where it was there already."""

    key: str
    size: int
    sent: int
    present: bool = False


@dataclass(frozen=True)
class Uploader:
    """Sends to one bucket; with `bucket` None to the account's default one, which it makes."""

    client: AWSClient
    bucket: str | None
    sending: Sending
    patience: Patience
    on_upload: Callable[[UploadProgress], None] | None = None

    def upload(self, source: Data, prefix: str, kms_key: str | None, owner: str | None) -> UploadedData:
        """A dataset, or a file or folder as it is, below a name made of its content; see `Session.upload`."""
        bucket, folder = self._address(prefix)
        ready = self._outgoing(source, folder)
        objects = self.client.objects if owner is None else self.client.objects.of(owner)
        if bucket is None:
            bucket = self.client.identity().default_bucket
            if owner is None:
                objects.ensure_bucket(bucket, self.client.region)
        sending = replace(self.sending, kms_key=kms_key or self.sending.kms_key)
        results = [
            (item, self._send_object(objects, bucket, key, item, sending)) for key, item in ready.keyed()
        ]
        return UploadedData(
            uri=f"s3://{bucket}/{ready.manifest.data_prefix(folder)}",
            manifest_uri=f"s3://{bucket}/{ready.manifest.key(folder)}",
            manifest=ready.manifest,
            sent=sum(sent.sent for _, sent in results),
            present=sum(item.size for item, sent in results if sent.present),
            resumed=sum(sent.resumed for _, sent in results),
            remarks=tuple(dict.fromkeys(sent.remark for _, sent in results if sent.remark)),
        )

    def send(self, plan: JobPlan | RoutePlan) -> None:
        """What the plan's request points to; raises UnsupportedError for an export, which has none."""
        objects = self.client.objects
        if plan.place is None:
            raise UnsupportedError(f"{plan.name} is an export: nothing is sent", feature="sending an export")
        if self.bucket is None:
            objects.ensure_bucket(plan.place.bucket, plan.place.region)
        for upload in plan.uploads:
            item = Outgoing(upload.key.rpartition("/")[2], upload.source, upload.size, upload.sha256)
            self._send_object(objects, plan.place.bucket, upload.key, item, self.sending)

    def _address(self, prefix: str) -> tuple[str | None, str]:
        """Bucket, None for the default one, and key prefix without slashes at its ends."""
        if "://" not in prefix:
            return self.bucket, prefix.strip("/") or DATA_PREFIX
        bucket, key = split_uri(prefix)
        return bucket, key.strip("/") or DATA_PREFIX

    def _outgoing(self, source: Data, prefix: str) -> OutgoingSet:
        if isinstance(source, InstructionDataset):
            report = source.check().to_dict()
            told = {name: value for name, value in report.items() if name not in {"path", "findings"}}
            return of_dataset(source, report=told, prefix=prefix)
        if isinstance(source, Stored):
            raise ConfigError(f"{source} is in S3 already", field="source", value=str(source))
        return of_path(Path(source), prefix=prefix, least=self.sending.part_bytes)

    def _send_object(self, objects: Objects, bucket: str, key: str, item: Outgoing, sending: Sending) -> Sent:
        counter = _Counter(key, item.size, self.on_upload)
        sent = objects.send(bucket, key, item, sending=sending, patience=self.patience, on_bytes=counter)
        if sent.present and self.on_upload:
            self.on_upload(UploadProgress(key, item.size, item.size, present=True))
        return sent


class _Counter:
    """Adds up the byte counts of one object; parts that are lost count back."""

    def __init__(self, key: str, size: int, report: Callable[[UploadProgress], None] | None) -> None:
        self._key, self._size, self._report, self._sent = key, size, report, 0
        self._lock = threading.Lock()

    def __call__(self, count: int) -> None:
        """Parts are sent by several threads at once."""
        with self._lock:
            self._sent += count
            if self._report:
                self._report(UploadProgress(self._key, self._size, self._sent))
