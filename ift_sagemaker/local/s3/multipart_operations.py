"""S3's operations on multipart uploads."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from xml.etree.ElementTree import Element

from ift_sagemaker.local.protocol.errors import HTTPAnswer, ServiceError
from ift_sagemaker.local.s3 import digests
from ift_sagemaker.local.s3.bucket_operations import encoding
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
from ift_sagemaker.local.s3.grid import MAX_LISTED, MAX_PARTS, Part
from ift_sagemaker.local.s3.object_operations import (
    MAX_OBJECT_BYTES,
    FileBody,
    checksum_headers,
    checksum_members,
    copy_source,
    encryption_headers,
    too_large,
)
from ift_sagemaker.local.s3.payload import Payload, stored_length
from ift_sagemaker.local.s3.records import StoredObject
from ift_sagemaker.local.s3.tagging import tags_of_header
from ift_sagemaker.local.s3.uploads import (
    Completion,
    Incoming,
    ListedPart,
    Upload,
    Uploads,
)

_RANGE = re.compile(r"bytes=(\d+)-(\d+)")


def create_multipart_upload(call: S3Call) -> HTTPAnswer:
    algorithm = call.headers.get("x-amz-checksum-algorithm", "").lower()
    if algorithm:
        digests.start(algorithm)
    checksum_type = call.headers.get("x-amz-checksum-type", _default_type(algorithm))
    _check_type(algorithm, checksum_type)
    attributes = call.attributes(tags_of_header(call.headers))
    upload = _uploads(call).create(call.bucket, call.key, attributes, algorithm, checksum_type)
    headers = {"x-amz-checksum-algorithm": algorithm.upper(), "x-amz-checksum-type": checksum_type}
    members = {"Bucket": call.bucket, "Key": call.key, "UploadId": upload}
    document = root("InitiateMultipartUploadResult", texts(members))
    return call.ok(document, (headers if algorithm else {}) | encryption_headers(attributes))


def _default_type(algorithm: str) -> str:
    if not algorithm:
        return ""
    return "FULL_OBJECT" if algorithm == "crc64nvme" else "COMPOSITE"


def _check_type(algorithm: str, checksum_type: str) -> None:
    """Refuses what S3 does not have: only CRCs of parts make that of the whole, CRC64NVME nothing else.

    Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html
    """
    if (algorithm in ("sha1", "sha256") and checksum_type == "FULL_OBJECT") or (
        algorithm == "crc64nvme" and checksum_type == "COMPOSITE"
    ):
        message = f"The {checksum_type} checksum type cannot be used with the {algorithm} checksum algorithm."
        raise ServiceError("InvalidRequest", message, 400)


def upload_part(call: S3Call) -> HTTPAnswer:
    upload = _upload(call)
    payload = Payload(call.request)
    size = stored_length(call.headers, call.request.length)
    if (size or 0) > MAX_OBJECT_BYTES:
        raise too_large()
    kept = payload.algorithms or _own_algorithm(upload)
    if upload.algorithm and upload.algorithm not in kept:
        message = (
            f"Checksum Type mismatch occurred, expected checksum Type: {upload.algorithm},"
            f" actual checksum Type: {kept[0]}"
        )
        raise ServiceError("InvalidRequest", message, 400)
    incoming = Incoming(payload, size, kept, payload.wanted, payload.verify)
    part = _uploads(call).put_part(upload, _part_number(call), incoming)
    headers = checksum_headers({name: part.checksums[name] for name in kept})
    headers.pop("x-amz-checksum-type", None)
    return call.ok(headers={"ETag": f'"{part.etag}"', **headers, **encryption_headers(upload.attributes)})


def upload_part_copy(call: S3Call) -> HTTPAnswer:
    upload = _upload(call)
    number = _part_number(call)
    source, file = call.objects.open(*copy_source(call))
    kept = _own_algorithm(upload)
    with file:
        first, length = _copied_range(call, source)
        file.seek(first)
        part = _uploads(call).put_part(upload, number, Incoming(FileBody(file, length), length, kept))
    members: dict[str, object] = {"ETag": f'"{part.etag}"', "LastModified": iso_time(part.modified)}
    members |= checksum_members({name: part.checksums[name] for name in kept})
    members.pop("ChecksumType", None)
    return call.ok(root("CopyPartResult", texts(members)))


def _own_algorithm(upload: Upload) -> tuple[str, ...]:
    return (upload.algorithm,) if upload.algorithm else ()


def complete_multipart_upload(call: S3Call) -> HTTPAnswer:
    upload = _upload(call)
    # the checksum headers of this request are of the object, not of the list
    listed = [_listed(part) for part in call.document(verified=False).findall("Part")]
    if not listed:
        raise malformed_xml()
    stored = _uploads(call).complete(upload, listed, _completion(call))
    members = {
        "Location": f"https://{call.bucket}.s3.{call.region}.amazonaws.com/{call.key}",
        "Bucket": call.bucket,
        "Key": call.key,
        "ETag": f'"{stored.etag}"',
    }
    document = root("CompleteMultipartUploadResult", texts(members | checksum_members(stored.checksums)))
    return call.ok(document, encryption_headers(stored.attributes))


def _completion(call: S3Call) -> Completion:
    size = call.headers.get("x-amz-mp-object-size", "")
    if size and not (size.isascii() and size.isdigit()):
        raise ServiceError("InvalidArgument", "x-amz-mp-object-size is not a number of bytes", 400)
    promised = {
        name: call.headers[f"x-amz-checksum-{name}"]
        for name in digests.KNOWN_TO_S3
        if f"x-amz-checksum-{name}" in call.headers
    }
    return Completion(call.write_condition(), int(size) if size else None, promised)


def abort_multipart_upload(call: S3Call) -> HTTPAnswer:
    _uploads(call).abort(_upload(call))
    return call.ok(status=204)


def list_parts(call: S3Call) -> HTTPAnswer:
    upload = _upload(call)
    limit = number(call, "max-parts", MAX_LISTED, MAX_LISTED)
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
        "ChecksumAlgorithm": upload.algorithm.upper() or None,
        "ChecksumType": upload.checksum_type or None,
    }
    kept = _own_algorithm(upload)
    return call.ok(root("ListPartsResult", texts(head), *(_part(part, kept) for part in shown)))


def _part(part: Part, kept: Sequence[str]) -> str:
    members: dict[str, object] = {
        "PartNumber": part.number,
        "LastModified": iso_time(part.modified),
        "ETag": f'"{part.etag}"',
        "Size": part.size,
    }
    checksums = {f"Checksum{name.upper()}": part.checksums[name] for name in kept}
    return element("Part", texts(members | checksums))


def list_multipart_uploads(call: S3Call) -> HTTPAnswer:
    if call.query.get("delimiter"):
        message = "ListMultipartUploads with delimiter is not offered by the local AWS"
        raise ServiceError("NotImplemented", message, 501)
    prefix, encode = call.query.get("prefix", ""), encoding(call)
    limit = number(call, "max-uploads", MAX_LISTED, MAX_LISTED)
    marker, id_marker = call.query.get("key-marker", ""), call.query.get("upload-id-marker", "")
    found = _following(_uploads(call).list(call.bucket, prefix), marker, id_marker)
    shown = found[:limit]
    truncated = len(found) > len(shown)
    last = shown[-1] if truncated and shown else None
    head = {
        "Bucket": call.bucket,
        "KeyMarker": encode(marker),
        "UploadIdMarker": id_marker,
        "NextKeyMarker": encode(last.key) if last else None,
        "NextUploadIdMarker": last.id if last else None,
        "Prefix": encode(prefix),
        "EncodingType": call.query.get("encoding-type"),
        "MaxUploads": limit,
        "IsTruncated": truncated,
    }
    rows = (
        {"Key": encode(upload.key), "UploadId": upload.id, "Initiated": iso_time(upload.started)}
        for upload in shown
    )
    listed = (element("Upload", texts(row)) for row in rows)
    return call.ok(root("ListMultipartUploadsResult", texts(head), *listed))


def _following(uploads: Sequence[Upload], key: str, upload_id: str) -> Sequence[Upload]:
    """Those after the markers: after a key, and with an id also those of that key after that upload."""
    for place, upload in enumerate(uploads):
        if upload_id and (upload.key, upload.id) == (key, upload_id):
            return uploads[place + 1 :]
    return [upload for upload in uploads if upload.key.encode() > key.encode()]


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
