"""Every AWS operation that this library calls, which IAM actions it takes, on what. Policies are made of it.

That these actions exist is checked by cfn-lint against the Service Authorization Reference
(https://docs.aws.amazon.com/service-authorization/latest/reference/). That a head needs s3:GetObject, or of a
bucket s3:ListBucket: https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ift_sagemaker.wire.jumpstart import CONTENT_BUCKET, GATED_BUCKET

BUCKET, OBJECTS, ROLE, EVERYTHING = "bucket", "objects", "role", "*"
JOBS, MODELS, CONFIGS, ENDPOINTS = "training-job", "model", "endpoint-config", "endpoint"
PROCESSING = "processing-job"
JUMPSTART, JUMPSTART_FILES = "buckets of JumpStart", "objects of JumpStart"
TAGGED, LOGS, SERVED = "tagged", "logs", "endpoint with its configuration"
RUN, LOOK, MAKE_BUCKET = "run", "look", "make bucket"
"""What for: any run, `ift doctor` alone, or a run whose default bucket is not there yet."""


@dataclass(frozen=True)
class Operation:
    """One operation: `service` as boto3 names it, `actions` of IAM, `on` the kind of resource.

    `reads` is False for what makes, changes or bills something; `needed_for` is one of the above.
    """

    service: str
    name: str
    actions: tuple[str, ...]
    on: str
    reads: bool = True
    needed_for: str = RUN


def _sagemaker(name: str, on: str, *, reads: bool) -> Operation:
    return Operation("sagemaker", name, (f"sagemaker:{name}",), on, reads)


def _s3(name: str, on: str, *actions: str, reads: bool = True) -> Operation:
    return Operation("s3", name, tuple(f"s3:{action}" for action in actions), on, reads)


def _look(service: str, name: str, action: str, on: str) -> Operation:
    return Operation(service, name, (action,), on, needed_for=LOOK)


OPERATIONS: tuple[Operation, ...] = (
    Operation("sts", "GetCallerIdentity", (), EVERYTHING),  # needs no permission, and none can deny it
    *(
        _sagemaker(f"{verb}{noun}", on, reads=verb == "Describe")
        for noun, on, verbs in (
            ("TrainingJob", JOBS, ("Create", "Describe", "Stop")),
            ("ProcessingJob", PROCESSING, ("Create", "Describe")),
            ("Model", MODELS, ("Create", "Describe", "Delete")),
            ("EndpointConfig", CONFIGS, ("Create", "Describe", "Delete")),
            ("Endpoint", SERVED, ("Create",)),
            ("Endpoint", ENDPOINTS, ("Describe", "Delete")),
        )
        for verb in verbs
    ),
    *(
        _sagemaker(name, EVERYTHING, reads=True)
        for name in ("ListTrainingJobs", "ListEndpoints", "ListModels", "ListEndpointConfigs")
    ),
    _sagemaker("ListTags", TAGGED, reads=True),
    Operation("sagemaker-runtime", "InvokeEndpoint", ("sagemaker:InvokeEndpoint",), ENDPOINTS, reads=False),
    Operation(
        "sagemaker-runtime",
        "InvokeEndpointWithResponseStream",
        ("sagemaker:InvokeEndpointWithResponseStream",),
        ENDPOINTS,
        reads=False,
    ),
    _s3("HeadBucket", BUCKET, "ListBucket"),
    Operation("s3", "CreateBucket", ("s3:CreateBucket",), BUCKET, reads=False, needed_for=MAKE_BUCKET),
    Operation(
        "s3",
        "PutBucketLifecycleConfiguration",
        ("s3:PutLifecycleConfiguration",),
        BUCKET,
        reads=False,
        needed_for=MAKE_BUCKET,
    ),
    _look("s3", "GetBucketLifecycleConfiguration", "s3:GetLifecycleConfiguration", BUCKET),
    _look("s3", "GetPublicAccessBlock", "s3:GetBucketPublicAccessBlock", BUCKET),
    _s3("ListObjectsV2", BUCKET, "ListBucket"),
    _s3("ListMultipartUploads", BUCKET, "ListBucketMultipartUploads"),
    _s3("HeadObject", OBJECTS, "GetObject"),
    _s3("GetObject", OBJECTS, "GetObject"),
    _s3("PutObject", OBJECTS, "PutObject", reads=False),
    _s3("CopyObject", OBJECTS, "GetObject", "PutObject", reads=False),
    _s3("CreateMultipartUpload", OBJECTS, "PutObject", reads=False),
    _s3("UploadPart", OBJECTS, "PutObject", reads=False),
    _s3("CompleteMultipartUpload", OBJECTS, "PutObject", reads=False),
    _s3("AbortMultipartUpload", OBJECTS, "AbortMultipartUpload", reads=False),
    _s3("ListParts", OBJECTS, "ListMultipartUploadParts"),
    Operation("logs", "DescribeLogStreams", ("logs:DescribeLogStreams",), LOGS),
    Operation("logs", "GetLogEvents", ("logs:GetLogEvents",), LOGS),
    _look("iam", "GetRole", "iam:GetRole", ROLE),
    _look("iam", "SimulatePrincipalPolicy", "iam:SimulatePrincipalPolicy", EVERYTHING),
    *(
        _look("service-quotas", name, f"servicequotas:{name}", EVERYTHING)
        for name in ("ListServiceQuotas", "ListAWSDefaultServiceQuotas")
    ),
)
DEPENDENT: tuple[tuple[str, str], ...] = (("sagemaker:AddTags", TAGGED), ("iam:PassRole", ROLE))
"""What creating with tags and with an execution role takes besides."""
PASSED_TO = "sagemaker.amazonaws.com"
OBJECT_PREFIX = "ift/"
"""Below which this library writes, as long as nobody names another prefix."""
LOG_GROUPS = "/aws/sagemaker/"
_KINDS = {TAGGED: (JOBS, PROCESSING, MODELS, CONFIGS, ENDPOINTS), SERVED: (ENDPOINTS, CONFIGS)}


@dataclass(frozen=True)
class Place:
    """Where a policy is to hold. `prefix` is that of every resource's name."""

    partition: str
    region: str
    account: str
    bucket: str
    role: str
    prefix: str = "ift-"

    def resources(self, on: str, example: str = "*") -> list[str]:
        """ARNs of a kind of resource; `example` in place of the star makes one such resource of each."""
        here = f"{self.region}:{self.account}"
        sagemaker = f"arn:{self.partition}:sagemaker:{here}"
        if on == EVERYTHING:
            return ["*"]
        if on == ROLE:
            return [self.role]
        if on == BUCKET:
            return [f"arn:{self.partition}:s3:::{self.bucket}"]
        if on == OBJECTS:
            return [f"arn:{self.partition}:s3:::{self.bucket}/{OBJECT_PREFIX}{example}"]
        if on == LOGS:
            return [f"arn:{self.partition}:logs:{here}:log-group:{LOG_GROUPS}{example}"]
        if on in (JUMPSTART, JUMPSTART_FILES):
            below = f"/{example}" if on == JUMPSTART_FILES else ""
            buckets = (CONTENT_BUCKET, GATED_BUCKET)
            return [f"arn:{self.partition}:s3:::{bucket}{self.region}{below}" for bucket in buckets]
        kinds = _KINDS.get(on, (on,))
        return [f"{sagemaker}:{kind}/{self.prefix}{example}" for kind in kinds]


def caller_needs(*purposes: str) -> dict[str, tuple[str, ...]]:
    """IAM actions of whoever runs this library, sorted, by kind of resource; all of them by default."""
    found: dict[str, set[str]] = {}
    for operation in OPERATIONS:
        if purposes and operation.needed_for not in purposes:
            continue
        found.setdefault(operation.on, set()).update(operation.actions)
    for action, on in DEPENDENT:
        found.setdefault(on, set()).add(action)
    return {on: tuple(sorted(actions)) for on, actions in found.items() if actions}


ROLE_NEEDS: Mapping[str, tuple[str, ...]] = {
    OBJECTS: ("s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"),
    BUCKET: ("s3:GetBucketLocation", "s3:ListBucket"),
    LOGS: (
        "logs:CreateLogGroup",
        "logs:CreateLogStream",
        "logs:DescribeLogStreams",
        "logs:PutLogEvents",
    ),
    EVERYTHING: (
        "cloudwatch:PutMetricData",
        "ecr:BatchCheckLayerAvailability",
        "ecr:BatchGetImage",
        "ecr:GetAuthorizationToken",
        "ecr:GetDownloadUrlForLayer",
    ),
}
"""What SageMaker does in the execution role's name for a job and an endpoint.

Source, CreateTrainingJob and CreateModel: https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html
"""
JUMPSTART_NEEDS: Mapping[str, tuple[str, ...]] = {
    JUMPSTART: ("s3:ListBucket",),
    JUMPSTART_FILES: ("s3:GetObject",),
}
"""What a job of route jumpstart takes besides: script and weights lie in AWS's own buckets of the region."""
KEY_NEEDS = ("kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey")
"""With a KMS key for bucket, output or volume; by the same page and S3's on SSE-KMS."""


def statement(actions: Iterable[str], resources: Sequence[str], sid: str = "") -> dict[str, Any]:
    """One Allow statement; passing a role is allowed to SageMaker alone."""
    chosen = sorted(actions)
    found: dict[str, Any] = {"Sid": sid} if sid else {}
    found |= {"Effect": "Allow", "Action": chosen, "Resource": list(resources)}
    if chosen == ["iam:PassRole"]:
        found["Condition"] = {"StringEquals": {"iam:PassedToService": PASSED_TO}}
    return found
