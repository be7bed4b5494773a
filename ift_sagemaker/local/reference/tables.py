"""All rows by service, and the settings. A setting's default is read from the settings themselves."""

from __future__ import annotations

from dataclasses import dataclass

from ift_sagemaker.local.reference import others, sagemaker
from ift_sagemaker.local.reference.row import Row

OPERATIONS_BY_SERVICE: dict[str, tuple[Row, ...]] = {
    "sagemaker": sagemaker.SAGEMAKER,
    "sagemaker-runtime": sagemaker.RUNTIME,
    "s3": others.S3,
    "logs": others.LOGS,
    "sts": others.STS,
    "iam": others.IAM,
}
"""By botocore's name of the service."""


@dataclass(frozen=True)
class Setting:
    """A variable of the environment. `default` is told in words where it depends on the machine."""

    variable: str
    field: str
    what: str
    default: str = ""


SETTINGS: tuple[Setting, ...] = (
    Setting("IFT_LOCAL_ROOT", "root", "folder of all its state", "the user's data folder"),
    Setting("IFT_LOCAL_REGION", "region", "region it answers for"),
    Setting("IFT_LOCAL_RUNNER", "runner", "`auto`, `bwrap` or `process`: what programs run in"),
    Setting("IFT_LOCAL_REQUIRE", "require_isolation", "`bwrap` refuses anything less isolated", "nothing"),
    Setting("IFT_LOCAL_JOB_SLOTS", "job_slots", "jobs that run at once", "half the cores"),
    Setting("IFT_LOCAL_ENDPOINT_SLOTS", "endpoint_slots", "endpoints that run at once"),
    Setting("IFT_LOCAL_STOP_GRACE", "stop_grace_in_seconds", "seconds between SIGTERM and SIGKILL"),
    Setting(
        "IFT_LOCAL_WEATHER",
        "weather",
        "`aws` for tests: waits for capacity, stale reads, throttled lists, empty pages, late log lines,"
        " expired credentials",
    ),
)
