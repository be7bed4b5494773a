"""In which words AWS says that a limit is reached or that it has no instance. Pure.

Sources of the words:
- "The account-level service limit 'ml.p3.2xlarge for training job usage' is 0 Instances, with current
  utilization of 0 Instances and a request delta of 1 Instances.": zenml-io/zenml, thread 847
- "… limit for training-job/ml.p2.xlarge is 0 Instances …" (older): aws/sagemaker-python-sdk, thread 35
- "CapacityError: Unable to provision requested ML compute capacity. Please retry using a different ML
  instance type.": DIAGNijmegen/rse-grand-challenge, thread 2631
- InsufficientInstanceCapacity of an endpoint: aws/deep-learning-containers, thread 6411
- "EC2InsufficientCapacityError: Instance type 'ml.g5.48xlarge' is temporarily unavailable …":
  aws/amazon-sagemaker-feedback, thread 99
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_TYPE = r"ml\.[a-z0-9-]+\.[a-z0-9]+"
_LIMIT = re.compile(
    r"service limit (?:for )?'?(?P<name>[^']+?)'? is (?P<allowed>[\d.]+) \w+, with current\s+utilization of "
    r"(?P<used>[\d.]+) \w+ and a request delta of (?P<asked>[\d.]+)"
)
_CAPACITY = re.compile(
    r"\bCapacityError\b|Unable to provision requested (?:ML )?compute capacity|"
    r"Insufficient(?:Instance)?Capacity|InsufficientCapacityError",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Limit:
    """One account limit as an error tells it; empty and None where it does not."""

    name: str = ""
    instance_type: str = ""
    allowed: float | None = None
    used: float | None = None
    asked: float | None = None

    @property
    def counts(self) -> tuple[float | None, float | None, float | None]:
        """Allowed, used, asked."""
        return self.allowed, self.used, self.asked


def quota_of(message: str) -> Limit:
    """The limit that the message of a ResourceLimitExceeded names."""
    found = _LIMIT.search(" ".join(message.split()))
    if found is None:
        return Limit(instance_type=instance_type_of(message))
    allowed, used, asked = (float(found[name]) for name in ("allowed", "used", "asked"))
    return Limit(found["name"], instance_type_of(found["name"]), allowed, used, asked)


def instance_type_of(message: str) -> str:
    """The first SageMaker instance type in a text; empty where there is none."""
    found = re.search(_TYPE, message)
    return found[0] if found else ""


def is_capacity(reason: str) -> bool:
    """Whether a FailureReason says that AWS had no instance to give."""
    return bool(_CAPACITY.search(reason))


def quota_names(instance_type: str, *, spot: bool = False) -> tuple[str, str]:
    """Names of the limits for training on a type and for an endpoint on it, as Service Quotas has them."""
    kind = "spot training job" if spot else "training job"
    return f"{instance_type} for {kind} usage", f"{instance_type} for endpoint usage"
