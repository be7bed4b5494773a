"""S3, CloudWatch Logs, STS and IAM, operation by operation. A row that nothing offers yet is not shown."""

from __future__ import annotations

from ift_sagemaker.local.reference.row import Row, shape

_UNEVALUATED = "kept and given back, evaluated nowhere: there are no permissions here"

S3: tuple[Row, ...] = (
    shape("CreateBucket", "names are unique on this machine, not in the world"),
    shape("DeleteBucket"),
    shape("HeadBucket"),
    shape("GetBucketLocation"),
    shape("GetBucketVersioning", "no bucket has versions"),
    shape("ListBuckets"),
    shape(
        "PutBucketLifecycleConfiguration",
        "an unfinished upload is ended when it is next looked at, not at midnight",
        "AbortIncompleteMultipartUpload alone, by prefix",
    ),
    shape("GetBucketLifecycleConfiguration"),
    shape("DeleteBucketLifecycle"),
    shape("ListObjects"),
    shape("ListObjectsV2"),
    shape(
        "PutObject",
        "encryption headers are echoed, nothing is encrypted beyond the disk",
        "5 GB; no object lock, storage classes, grants or customer keys",
    ),
    shape("GetObject", "", "no versions"),
    shape("HeadObject", "", "no versions"),
    shape("GetObjectAttributes", "", "no versions"),
    shape("DeleteObject", "", "no versions"),
    shape("DeleteObjects", "", "1000 keys, no versions"),
    shape("CopyObject", "", "5 GB"),
    shape("GetObjectTagging"),
    shape("PutObjectTagging"),
    shape("DeleteObjectTagging"),
    shape("CreateMultipartUpload"),
    shape("UploadPart"),
    shape("UploadPartCopy"),
    shape("CompleteMultipartUpload"),
    shape("AbortMultipartUpload"),
    shape("ListParts"),
    shape("ListMultipartUploads"),
)
LOGS: tuple[Row, ...] = (
    shape("CreateLogGroup", "", "no keys, classes or tags"),
    shape("DeleteLogGroup"),
    shape("CreateLogStream"),
    shape("DeleteLogStream"),
    shape("PutLogEvents", "readable at once (late under `IFT_LOCAL_WEATHER=aws`)", "1 MB a call"),
    shape("GetLogEvents", "", "10,000 events or 1 MB a page"),
    shape("FilterLogEvents", "", "patterns of words, phrases, `?optional` and `-excluded` terms"),
    shape("DescribeLogGroups", "", "by prefix alone"),
    shape("DescribeLogStreams"),
)
STS: tuple[Row, ...] = (
    shape("GetCallerIdentity", "a caller without a role is the account's root"),
    shape("AssumeRole", "no trust is evaluated"),
    shape("GetSessionToken"),
)
IAM: tuple[Row, ...] = (
    shape("CreateRole", _UNEVALUATED),
    shape("GetRole"),
    shape("ListRoles"),
    shape("DeleteRole"),
    shape("UpdateAssumeRolePolicy", _UNEVALUATED),
    shape("GetUser"),
    shape("AttachRolePolicy", _UNEVALUATED),
    shape("DetachRolePolicy"),
    shape("ListAttachedRolePolicies"),
    shape("PutRolePolicy", _UNEVALUATED),
    shape("GetRolePolicy"),
    shape("DeleteRolePolicy"),
    shape("ListRolePolicies"),
    shape("SimulatePrincipalPolicy", "`allowed` for everything: no policy is enforced here"),
)
