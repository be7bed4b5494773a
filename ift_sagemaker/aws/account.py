"""What an account has set up: roles, policies, buckets, quotas. Reads only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ift_sagemaker.aws.errors import translated
from ift_sagemaker.aws.operations import PASSED_TO
from ift_sagemaker.errors import ResourceNotFoundError

ALLOWED = "allowed"


@dataclass(frozen=True)
class RoleSeen:
    """A role as GetRole tells it; `trust` is its trust policy."""

    arn: str
    trust: Mapping[str, Any]


@dataclass(frozen=True)
class Decision:
    """Whether a principal's policies allow an action on a resource."""

    action: str
    resource: str
    allowed: bool


class Account:
    """One account in one region. `client` gives the boto3 client of a service."""

    def __init__(self, client: Callable[[str], Any], owner: str) -> None:
        self._client = client
        self._owner = owner

    def role(self, name: str) -> RoleSeen:
        """The role of that name (no path, no ARN); ResourceNotFoundError where there is none."""
        with translated("GetRole"):
            role = self._client("iam").get_role(RoleName=name)["Role"]
        return RoleSeen(str(role["Arn"]), role.get("AssumeRolePolicyDocument") or {})

    def simulate(self, principal: str, actions: Iterable[str], resources: Sequence[str]) -> list[Decision]:
        """What the principal's own policies say of every action on every resource.

        Weighs no policy of a resource (a bucket's, a key's), and roles as if passed to SageMaker.
        """
        request: dict[str, Any] = {
            "PolicySourceArn": principal,
            "ActionNames": sorted(actions),
            "ResourceArns": list(resources),
            "ContextEntries": [
                {
                    "ContextKeyName": "iam:PassedToService",
                    "ContextKeyValues": [PASSED_TO],
                    "ContextKeyType": "string",
                }
            ],
        }
        found: list[Decision] = []
        while True:
            with translated("SimulatePrincipalPolicy"):
                page = self._client("iam").simulate_principal_policy(**request)
            found += [
                Decision(
                    result["EvalActionName"], result["EvalResourceName"], result["EvalDecision"] == ALLOWED
                )
                for result in page["EvaluationResults"]
            ]
            if not page.get("IsTruncated"):
                return found
            request["Marker"] = page["Marker"]

    def bucket_region(self, bucket: str) -> str:
        """Where the bucket lies; empty where the answer does not tell.

        Raises ResourceNotFoundError for no bucket, AccessDeniedError for another owner's or a missing right.
        """
        with translated("HeadBucket"):
            answer = self._client("s3").head_bucket(Bucket=bucket, ExpectedBucketOwner=self._owner)
        headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        return str(answer.get("BucketRegion") or headers.get("x-amz-bucket-region", ""))

    def public_access_block(self, bucket: str) -> Mapping[str, bool]:
        """The four switches; empty where the bucket has no such block of its own."""
        try:
            with translated("GetPublicAccessBlock"):
                answer = self._client("s3").get_public_access_block(
                    Bucket=bucket, ExpectedBucketOwner=self._owner
                )
        except ResourceNotFoundError as error:
            if error.code == "NoSuchBucket":
                raise
            return {}
        return dict(answer["PublicAccessBlockConfiguration"])

    def lifecycle_rules(self, bucket: str) -> list[Mapping[str, Any]]:
        """The bucket's rules; none where it has no such configuration."""
        try:
            with translated("GetBucketLifecycleConfiguration"):
                answer = self._client("s3").get_bucket_lifecycle_configuration(
                    Bucket=bucket, ExpectedBucketOwner=self._owner
                )
        except ResourceNotFoundError as error:
            if error.code == "NoSuchBucket":
                raise
            return []
        return list(answer.get("Rules", []))

    def quotas(self, names: Iterable[str]) -> dict[str, float]:
        """The account's limits of SageMaker by these names; a name that neither list has is left out.

        Those that were never changed stand among AWS's defaults alone.
        """
        wanted = set(names)
        found: dict[str, float] = {}
        for method in ("list_service_quotas", "list_aws_default_service_quotas"):
            for quota in self._quota_pages(method):
                if quota["QuotaName"] in wanted:
                    found.setdefault(quota["QuotaName"], float(quota["Value"]))
            if wanted <= set(found):
                break
        return found

    def _quota_pages(self, method: str) -> Iterator[Mapping[str, Any]]:
        request: dict[str, Any] = {"ServiceCode": "sagemaker", "MaxResults": 100}
        while True:
            with translated(method):
                page = getattr(self._client("service-quotas"), method)(**request)
            yield from page.get("Quotas", [])
            if not page.get("NextToken"):
                return
            request["NextToken"] = page["NextToken"]
