"""One object to S3: sent once, in parallel parts, each checked by S3 against the hash taken before.

No run can spoil another's object. Every write is conditional on what was seen before, an upload that an
earlier run left is carried on with the parts that are right, and none of another's is taken away before the
object is in place.

    nothing there      → create, If-None-Match: *
    another content    → replace, If-Match: its ETag
    412, 409 or 404    → somebody was quicker: look again
    400 InvalidPart    → somebody sends the same upload: look again

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ift_sagemaker.aws.errors import translated
from ift_sagemaker.aws.retry import Patience
from ift_sagemaker.data.sending.manifest import PART_BYTES, Part, composite
from ift_sagemaker.data.sending.outgoing import Outgoing, changed, hashed, size_of
from ift_sagemaker.errors import (
    AccessDeniedError,
    AWSError,
    RequestRejectedError,
    ResourceInUseError,
    ResourceNotFoundError,
)

CHECKSUM_METADATA = "ift-sha256"
MAX_STARTS = 5
_OVERTAKEN = frozenset({"NoSuchUpload", "NoSuchKey", "InvalidPart"})
"""Another run ended the upload, removed the object, or carries on the same upload and sent a part again."""
_CONFLICT_PAUSE_IN_SECONDS = 0.5
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Sending:
    """How objects are sent: under which key, in how many parts at once (each is in memory), how large."""

    kms_key: str | None = None
    threads: int = 4
    part_bytes: int = PART_BYTES


@dataclass(frozen=True)
class Sent:
    """What sending an object came to, in bytes; `present` where it was there already.

    `resumed` are the bytes that an earlier run had sent. `remark` says what could not be looked after.
    """

    present: bool
    sent: int = 0
    resumed: int = 0
    remark: str = ""


@dataclass
class ObjectUpload:
    """The sending of one object. `on_bytes` is told of bytes as they arrive, negative where they are lost."""

    s3: Any
    owner: str
    bucket: str
    key: str
    item: Outgoing
    sending: Sending = field(default_factory=Sending)
    patience: Patience = field(default_factory=Patience)
    on_bytes: Progress | None = None
    _sent: int = 0
    _counted: int = 0
    _resumed: int = 0
    _remark: str = ""
    _etag: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self) -> Sent:
        """Returns when the object is there, whole, and S3's size and checksum of it are the right ones.

        Raises SourceChangedError where the file is no longer what was hashed, and AWSError; what was sent
        until then is taken away where AWS can be reached.
        """
        for start in range(MAX_STARTS):
            there = self._head()
            if self._is_there(there):
                self._take_away_strays()
                return Sent(start == 0, self._sent, self._resumed, self._remark)
            self._refuse_own(there)
            try:
                self._send_over(there)
            except (ResourceInUseError, ResourceNotFoundError, RequestRejectedError) as error:
                if not isinstance(error, ResourceInUseError) and error.code not in _OVERTAKEN:
                    raise
                self._count(-self._counted)
                self.patience.sleep(_CONFLICT_PAUSE_IN_SECONDS * self.patience.jitter())
        raise ResourceInUseError(
            f"others keep writing s3://{self.bucket}/{self.key} with another content or key; "
            "wait until they are done, then send it again",
            operation="PutObject",
        )

    # -- what is there

    def _head(self) -> Mapping[str, Any] | None:
        try:
            return self._ask("head_object", ChecksumMode="ENABLED")
        except ResourceNotFoundError:
            return None

    def _is_there(self, head: Mapping[str, Any] | None) -> bool:
        if head is None or head["ContentLength"] != self.item.size:
            return False
        if head.get("Metadata", {}).get(CHECKSUM_METADATA) != self.item.sha256:
            return False
        return self._has_right_checksum(head.get("ChecksumSHA256")) and self._has_right_key(head)

    def _has_right_checksum(self, found: str | None) -> bool:
        """That of the bytes, or of parts as they are sent here; others vouch for bytes we cannot compare."""
        if found is None:
            return True
        digest, dash, count = found.partition("-")
        if not dash:
            return digest == _base64(bytes.fromhex(self.item.sha256))
        same_parts = self.item.parts and int(count) == len(self.item.parts)
        return not same_parts or digest == _base64(composite(self.item.parts))

    def _has_right_key(self, answer: Mapping[str, Any]) -> bool:
        """Whether S3 encrypts with the key that was asked for; an alias cannot be compared with its key."""
        asked = self.sending.kms_key
        if asked is None:
            return True
        if answer.get("ServerSideEncryption") != "aws:kms":
            return False
        found = str(answer.get("SSEKMSKeyId", ""))
        return "alias/" in asked or found == asked or found.endswith(f"/{asked}")

    def _refuse_own(self, head: Mapping[str, Any] | None) -> None:
        """What was written here and is not what was sent must not be taken for another's."""
        if head is not None and self._etag and head.get("ETag") == self._etag:
            raise RequestRejectedError(
                f"s3://{self.bucket}/{self.key} is not what was sent: S3 has {head['ContentLength']} bytes, "
                f"checksum {head.get('ChecksumSHA256')}, KMS key {head.get('SSEKMSKeyId')}",
                operation="HeadObject",
            )

    # -- sending

    def _send_over(self, there: Mapping[str, Any] | None) -> None:
        condition = {"IfNoneMatch": "*"} if there is None else {"IfMatch": str(there["ETag"])}
        self._require_parts()
        if len(self.item.parts) == 1:
            self._send_whole(condition)
        else:
            self._send_in_parts(condition)

    def _require_parts(self) -> None:
        """Hashes the parts of a file whose own hash alone was known, and refuses one that differs."""
        if self.item.parts:
            return
        found = hashed(self.item.name, self.item.source, self.sending.part_bytes)
        if (found.size, found.sha256) != (self.item.size, self.item.sha256):
            raise changed(self.item.source)
        self.item = found

    def _send_whole(self, condition: Mapping[str, str]) -> None:
        part = self.item.parts[0]
        body = self.item.read(part)
        self._require_same_size()
        answer = self._ask(
            "put_object", Body=body, ChecksumSHA256=_base64(part.sha256), **self._attributes(), **condition
        )
        self._etag = str(answer["ETag"])
        self._arrived(part)

    def _send_in_parts(self, condition: Mapping[str, str]) -> None:
        upload, there = self._begun()
        try:
            etags = {**there, **self._send_parts(upload, there)}
            self._require_same_size()
            answer = self._ask(
                "complete_multipart_upload",
                UploadId=upload,
                MultipartUpload={"Parts": [_listed(part, etags[part.number]) for part in self.item.parts]},
                MpuObjectSize=self.item.size,
                **condition,
            )
        except BaseException:
            with suppress(AWSError):
                self._ask("abort_multipart_upload", UploadId=upload)
            raise
        self._etag = str(answer["ETag"])

    def _send_parts(self, upload: str, there: Mapping[int, str]) -> dict[int, str]:
        missing = [part for part in self.item.parts if part.number not in there]
        etags: dict[int, str] = {}
        with ThreadPoolExecutor(self.sending.threads) as pool:
            sent = {pool.submit(self._send_part, upload, part): part.number for part in missing}
            try:
                for done in as_completed(sent):
                    etags[sent[done]] = str(done.result()["ETag"])
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        return etags

    def _send_part(self, upload: str, part: Part) -> dict[str, Any]:
        answer = self._ask(
            "upload_part",
            UploadId=upload,
            PartNumber=part.number,
            Body=self.item.read(part),
            ChecksumSHA256=_base64(part.sha256),
        )
        self._arrived(part)
        return answer

    def _require_same_size(self) -> None:
        """A file that grew since it was hashed has no part that tells."""
        if size_of(self.item.source) != self.item.size:
            raise changed(self.item.source)

    def _attributes(self) -> dict[str, Any]:
        attributes: dict[str, Any] = {"Metadata": {CHECKSUM_METADATA: self.item.sha256}}
        if self.sending.kms_key is not None:
            attributes |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": self.sending.kms_key}
        return attributes

    # -- uploads that were begun

    def _begun(self) -> tuple[str, dict[int, str]]:
        """An upload and the ETags of its right parts: one that an earlier run left, or else a new one."""
        for upload in self._uploads():
            there = self._right_parts(upload)
            if there and self._takes_right_key(upload, there):
                resumed = sum(part.size for part in self.item.parts if part.number in there)
                self._resumed = resumed
                self._count(resumed)
                return upload, there
        answer = self._ask("create_multipart_upload", ChecksumAlgorithm="SHA256", **self._attributes())
        return str(answer["UploadId"]), {}

    def _uploads(self) -> Iterator[str]:
        """Unfinished uploads of this very key, where the caller may list them."""
        markers: dict[str, str] = {}
        while True:
            try:
                page = self._call("list_multipart_uploads", {"Prefix": self.key, **markers})
            except AccessDeniedError:
                self._remark = (
                    "unfinished uploads could neither be looked for nor taken away: that needs "
                    "s3:ListBucketMultipartUploads"
                )
                return
            yield from (found["UploadId"] for found in page.get("Uploads", ()) if found["Key"] == self.key)
            if not page.get("IsTruncated"):
                return
            markers = {
                "KeyMarker": page["NextKeyMarker"],
                "UploadIdMarker": page["NextUploadIdMarker"],
            }

    def _right_parts(self, upload: str) -> dict[int, str]:
        """ETags of the parts that S3 holds as they were hashed; empty where it keeps other checksums."""
        wanted = {part.number: (part.size, _base64(part.sha256)) for part in self.item.parts}
        found: dict[int, str] = {}
        marker = 0
        with suppress(ResourceNotFoundError, AccessDeniedError):  # ended meanwhile, or not ours to look into
            while True:
                page = self._ask("list_parts", UploadId=upload, PartNumberMarker=marker)
                for part in page.get("Parts", ()):
                    if wanted.get(part["PartNumber"]) == (part["Size"], part.get("ChecksumSHA256")):
                        found[part["PartNumber"]] = part["ETag"]
                if not page.get("IsTruncated"):
                    break
                marker = page["NextPartNumberMarker"]
        return found

    def _takes_right_key(self, upload: str, there: dict[int, str]) -> bool:
        """With a key of one's own a part is sent again, since only its answer tells the upload's key."""
        if self.sending.kms_key is None:
            return True
        number = min(there)
        part = self.item.parts[number - 1]
        answer = self._send_part(upload, part)
        if self._has_right_key(answer):
            self._count(-part.size)  # as resumed it counts once
            there[number] = str(answer["ETag"])
            return True
        self._count(-self._counted)
        return False

    def _take_away_strays(self) -> None:
        """Uploads of a key whose object is in place are of no more use to anybody."""
        if self.item.size <= self.sending.part_bytes:
            return
        for upload in list(self._uploads()):
            with suppress(ResourceNotFoundError, AccessDeniedError):
                self._ask("abort_multipart_upload", UploadId=upload)

    # -- shared

    def _ask(self, method: str, **request: Any) -> dict[str, Any]:
        return self._call(method, {"Key": self.key, **request})

    def _call(self, method: str, request: Mapping[str, Any]) -> dict[str, Any]:
        where = {"Bucket": self.bucket, "ExpectedBucketOwner": self.owner}
        call = partial(getattr(self.s3, method), **where, **request)

        def ask() -> dict[str, Any]:
            with translated("".join(word.title() for word in method.split("_"))):
                answer: dict[str, Any] = call()
            return answer

        return self.patience.call(ask)

    def _arrived(self, part: Part) -> None:
        with self._lock:
            self._sent += part.size
        self._count(part.size)

    def _count(self, size: int) -> None:
        with self._lock:
            self._counted += size
        if self.on_bytes and size:
            self.on_bytes(size)


def _listed(part: Part, etag: str) -> dict[str, Any]:
    return {"PartNumber": part.number, "ETag": etag, "ChecksumSHA256": _base64(part.sha256)}


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode("ascii")
