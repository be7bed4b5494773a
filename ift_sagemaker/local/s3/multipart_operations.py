"""S3's operations on multipart uploads."""

from __future__ import annotations

import re
from collections.abc import Callable
from xml.etree.ElementTree import Element

from ift_sagemaker.local.protocol.errors import HTTPAnswer, ServiceError
from ift_sagemaker.local.protocol.request import Source
from ift_sagemaker.local.s3 import digests
from ift_sagemaker.local.s3.call import (
    S3Call,
    element,
    iso_time,
    malformed_xml,
    number,
    root,
    texts,
    unquoted,
)
from ift_sagemaker.local.s3.object_operations import FileBody, checksum_headers, checksum_members, copy_source
from ift_sagemaker.local.s3.objects import StoredObject
from ift_sagemaker.local.s3.payload import Payload
from ift_sagemaker.local.s3.uploads import MAX_PARTS, ListedPart, Part, Upload, Uploads

_RANGE = re.compile(r"bytes=(\d+)-(\d+)")
_MAX_LISTED = 1000


def create_multipart_upload(call: S3Call) -> HTTPAnswer:
    algorithm = call.headers.get("x-amz-checksum-algorithm", "").lower()
    if algorithm:
        digests.start(algorithm)
    checksum_type = call.headers.get("x-amz-checksum-type", "COMPOSITE" if algorithm else "")
    upload = _uploads(call).create(call.bucket, call.key, call.attributes(), algorithm, checksum_type)
    headers = {"x-amz-checksum-algorithm": algorithm.upper(), "x-amz-checksum-type": checksum_type}
    members = {"Bucket": call.bucket, "Key": call.key, "UploadId": upload}
    document = root("InitiateMultipartUploadResult", texts(members))
    return call.ok(document, headers if algorithm else {})


def upload_part(call: S3Call) -> HTTPAnswer:
    upload = _upload(call)
    payload = Payload(call.request)
    files = call.objects.files
    with files.writing():
        # no fsync: the joined object is made durable, and each part is compared with its CRC32 then
        algorithms = (*payload.wanted, upload.algorithm) if upload.algorithm else payload.wanted
        staged = files.stage(payload, algorithms, payload.verify, durable=False)
        names = payload.algorithms or ((upload.algorithm,) if upload.algorithm else ())
        checksums = {name: digests.encode(staged.digests[name]) for name in names}
        part = _uploads(call).put_part(upload, _part_number(call), staged, checksums)
    headers = checksum_headers(part.checksums)
    headers.pop("x-amz-checksum-type", None)
    return call.ok(headers={"ETag": f'"{part.etag}"', **headers})


def upload_part_copy(call: S3Call) -> HTTPAnswer:
    upload = _upload(call)
    files = call.objects.files
    source, file = call.objects.open(*copy_source(call))
    with files.writing(), file:
        first, length = _copied_range(call, source)
        file.seek(first)
        body: Source = FileBody(file, length)
        staged = files.stage(body, [upload.algorithm] if upload.algorithm else [], durable=False)
        checksums = (
            {upload.algorithm: digests.encode(staged.digests[upload.algorithm])} if upload.algorithm else {}
        )
        part = _uploads(call).put_part(upload, _part_number(call), staged, checksums)
    members: dict[str, object] = {"ETag": f'"{part.etag}"', "LastModified": iso_time(part.modified)}
    members |= checksum_members(part.checksums)
    members.pop("ChecksumType", None)
    return call.ok(root("CopyPartResult", texts(members)))


def complete_multipart_upload(call: S3Call) -> HTTPAnswer:
    upload = _upload(call)
    listed = [_listed(part) for part in call.document().findall("Part")]
    if not listed:
        raise malformed_xml()
    stored = _uploads(call).complete(upload, listed, call.write_condition())
    members = {
        "Location": f"https://{call.bucket}.s3.{call.region}.amazonaws.com/{call.key}",
        "Bucket": call.bucket,
        "Key": call.key,
        "ETag": f'"{stored.etag}"',
    }
    return call.ok(root("CompleteMultipartUploadResult", texts(members | checksum_members(stored.checksums))))


def abort_multipart_upload(call: S3Call) -> HTTPAnswer:
    _uploads(call).abort(_upload(call))
    return call.ok(status=204)


def list_parts(call: S3Call) -> HTTPAnswer:
    upload = _upload(call)
    limit = number(call, "max-parts", _MAX_LISTED, _MAX_LISTED)
    after = number(call, "part-number-marker", 0, MAX_PARTS)
    parts = [part for part in _uploads(call).parts(upload).values() if part.number > after]
    shown = parts[:limit]
    truncated = len(parts) > len(shown)
    head = {
        "Bucket": call.bucket,
        "Key": call.key,
        "UploadId": upload.id,
        "PartNumberMarker": after,
        "NextPartNumberMarker": shown[-1].number if truncated and shown else None,
        "MaxParts": limit,
        "IsTruncated": truncated,
        "StorageClass": "STANDARD",
    }
    return call.ok(root("ListPartsResult", texts(head), *(_part(part) for part in shown)))


def _part(part: Part) -> str:
    members: dict[str, object] = {
        "PartNumber": part.number,
        "LastModified": iso_time(part.modified),
        "ETag": f'"{part.etag}"',
        "Size": part.size,
    }
    return element("Part", texts(members))


def list_multipart_uploads(call: S3Call) -> HTTPAnswer:
    if call.query.get("delimiter") or call.query.get("key-marker"):
        message = "ListMultipartUploads with delimiter or key-marker is not offered by the local AWS"
        raise ServiceError("NotImplemented", message, 501)
    prefix = call.query.get("prefix", "")
    found = _uploads(call).list(call.bucket, prefix)
    if len(found) > _MAX_LISTED:
        message = "Listing more than 1000 unfinished uploads is not offered by the local AWS"
        raise ServiceError("NotImplemented", message, 501)
    head = {"Bucket": call.bucket, "Prefix": prefix, "MaxUploads": _MAX_LISTED, "IsTruncated": False}
    listed = (
        element(
            "Upload",
            texts({"Key": upload.key, "UploadId": upload.id, "Initiated": iso_time(upload.started)}),
        )
        for upload in found
    )
    return call.ok(root("ListMultipartUploadsResult", texts(head), *listed))


def _uploads(call: S3Call) -> Uploads:
    return Uploads(call.objects)


def _upload(call: S3Call) -> Upload:
    return _uploads(call).get(call.bucket, call.key, call.query["uploadId"])


def _part_number(call: S3Call) -> int:
    asked = number(call, "partNumber", 0, MAX_PARTS + 1)
    if not 1 <= asked <= MAX_PARTS:
        message = f"Part number must be an integer between 1 and {MAX_PARTS}, inclusive"
        raise ServiceError("InvalidArgument", message, 400)
    return asked


def _copied_range(call: S3Call, source: StoredObject) -> tuple[int, int]:
    text = call.headers.get("x-amz-copy-source-range")
    if text is None:
        return 0, source.size
    asked = _RANGE.fullmatch(text)
    if asked is None or int(asked[1]) > int(asked[2]) or int(asked[2]) >= source.size:
        message = "The x-amz-copy-source-range value must be of the form bytes=first-last within the source"
        raise ServiceError("InvalidArgument", message, 400)
    return int(asked[1]), int(asked[2]) - int(asked[1]) + 1


def _listed(part: Element) -> ListedPart:
    text = part.findtext("PartNumber") or ""
    if not text.isascii() or not text.isdigit():
        raise malformed_xml()
    checksums = {
        child.tag.removeprefix("Checksum").lower(): child.text or ""
        for child in part
        if child.tag.startswith("Checksum")
    }
    return ListedPart(int(text), unquoted(part.findtext("ETag") or ""), checksums)


OPERATIONS: dict[str, Callable[[S3Call], HTTPAnswer]] = {
    "CreateMultipartUpload": create_multipart_upload,
    "UploadPart": upload_part,
    "UploadPartCopy": upload_part_copy,
    "CompleteMultipartUpload": complete_multipart_upload,
    "AbortMultipartUpload": abort_multipart_upload,
    "ListParts": list_parts,
    "ListMultipartUploads": list_multipart_uploads,
}
