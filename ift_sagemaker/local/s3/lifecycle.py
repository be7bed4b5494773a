"""A bucket's lifecycle: of S3's rules the one that ends unfinished uploads, and its three operations.

An upload that is so many days old is ended when it is next looked at; S3 does so at the next midnight (UTC).
Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/mpu-abort-incomplete-mpu-lifecycle-config.html
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from xml.etree.ElementTree import Element

from ift_sagemaker.local.protocol.errors import HTTPAnswer, ServiceError
from ift_sagemaker.local.s3.call import S3Call, element, malformed_xml, root, texts
from ift_sagemaker.local.s3.objects import require_bucket
from ift_sagemaker.local.s3.payload import require_checksum
from ift_sagemaker.local.state.store import Store

DAY_IN_SECONDS = 86_400.0
MAX_RULES = 1000
_MAX_ID = 255
_OFFERED = frozenset({"ID", "Status", "Filter", "Prefix", "AbortIncompleteMultipartUpload"})


@dataclass(frozen=True)
class AbortRule:
    """Ends uploads of keys that begin with `prefix`, `days` after they were begun."""

    id: str
    prefix: str
    days: int
    is_enabled: bool

    def ends(self, key: str, age_in_seconds: float) -> bool:
        is_old = age_in_seconds >= self.days * DAY_IN_SECONDS
        return self.is_enabled and is_old and key.startswith(self.prefix)


def rules_of(store: Store, bucket: str) -> list[AbortRule]:
    """The bucket's rules; none where it has no configuration."""
    rows = store.rows("SELECT rules FROM lifecycles WHERE bucket = ?", (bucket,))
    return [AbortRule(**rule) for (text,) in rows for rule in json.loads(text)]


def put_bucket_lifecycle_configuration(call: S3Call) -> HTTPAnswer:
    require_checksum(call.headers)
    document = call.document()
    rules = [_rule(item) for item in document.findall("Rule")]
    if document.tag != "LifecycleConfiguration" or not 1 <= len(rules) <= MAX_RULES:
        raise malformed_xml()
    if len({rule.id for rule in rules if rule.id}) < len([rule for rule in rules if rule.id]):
        raise ServiceError(
            "InvalidArgument", "Rule ID must be unique. Found same ID for more than one rule", 400
        )
    text = json.dumps([asdict(rule) for rule in rules])
    with call.objects.store.transaction() as connection:
        require_bucket(connection, call.bucket)
        connection.execute("INSERT OR REPLACE INTO lifecycles VALUES (?, ?)", (call.bucket, text))
    return call.ok()


def get_bucket_lifecycle_configuration(call: S3Call) -> HTTPAnswer:
    call.objects.bucket(call.bucket)
    rules = rules_of(call.objects.store, call.bucket)
    if not rules:
        message = "The lifecycle configuration does not exist"
        raise ServiceError("NoSuchLifecycleConfiguration", message, 404, {"BucketName": call.bucket})
    return call.ok(root("LifecycleConfiguration", *map(_shown, rules)))


def delete_bucket_lifecycle(call: S3Call) -> HTTPAnswer:
    with call.objects.store.transaction() as connection:
        require_bucket(connection, call.bucket)
        connection.execute("DELETE FROM lifecycles WHERE bucket = ?", (call.bucket,))
    return call.ok(status=204)


def _rule(item: Element) -> AbortRule:
    _refuse_others(child.tag for child in item)
    prefix = item.findtext("Prefix")
    if prefix is None:
        found = item.find("Filter")
        if found is None:
            raise malformed_xml()
        if further := {child.tag for child in found} - {"Prefix"}:
            raise _not_offered(f"Filter with {', '.join(sorted(further))}")
        prefix = found.findtext("Prefix") or ""
    days = item.findtext("AbortIncompleteMultipartUpload/DaysAfterInitiation") or ""
    status, name = item.findtext("Status"), item.findtext("ID") or ""
    if status not in ("Enabled", "Disabled") or len(name) > _MAX_ID:
        raise malformed_xml()
    if not (days.isascii() and days.isdigit() and int(days) > 0):
        message = "'DaysAfterInitiation' for AbortIncompleteMultipartUpload action must be a positive integer"
        raise ServiceError("InvalidArgument", message, 400)
    return AbortRule(name, prefix, int(days), status == "Enabled")


def _refuse_others(tags: Iterable[str]) -> None:
    if further := set(tags) - _OFFERED:
        raise _not_offered(", ".join(sorted(further)))


def _not_offered(what: str) -> ServiceError:
    message = f"A lifecycle rule with {what} is not offered by the local AWS of ift_sagemaker"
    return ServiceError("NotImplemented", message, 501)


def _shown(rule: AbortRule) -> str:
    return element(
        "Rule",
        texts({"ID": rule.id or None}),
        element("Filter", texts({"Prefix": rule.prefix})),
        texts({"Status": "Enabled" if rule.is_enabled else "Disabled"}),
        element("AbortIncompleteMultipartUpload", texts({"DaysAfterInitiation": rule.days})),
    )


OPERATIONS: dict[str, Callable[[S3Call], HTTPAnswer]] = {
    "PutBucketLifecycleConfiguration": put_bucket_lifecycle_configuration,
    "GetBucketLifecycleConfiguration": get_bucket_lifecycle_configuration,
    "DeleteBucketLifecycle": delete_bucket_lifecycle,
}
