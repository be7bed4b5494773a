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
    Setting("IFT_LOCAL_RUNNER", "runner", "what programs run in: one of the runners below, or `auto`"),
    Setting("IFT_LOCAL_REQUIRE", "require_isolation", "the least isolated runner that will do", "nothing"),
    Setting("IFT_LOCAL_MEMORY", "memory_in_bytes", "what one program may take, such as `8g`", "no limit"),
    Setting("IFT_LOCAL_CPUS", "processors", "how many processors one program may use", "no limit"),
    Setting("IFT_LOCAL_JOB_SLOTS", "job_slots", "jobs that run at once", "half the cores"),
    Setting("IFT_LOCAL_ENDPOINT_SLOTS", "endpoint_slots", "endpoints that run at once"),
    Setting("IFT_LOCAL_STOP_GRACE", "stop_grace_in_seconds", "seconds between SIGTERM and SIGKILL"),
    Setting("IFT_LOCAL_PAYLOAD_BYTES", "payload_bytes", "most bytes of an invocation and of its answer"),
    Setting("IFT_LOCAL_INVOCATION_SECONDS", "invocation_in_seconds", "seconds for an answer"),
    Setting("IFT_LOCAL_STREAM_SECONDS", "stream_in_seconds", "seconds for a whole streamed answer"),
    Setting("IFT_LOCAL_ASYNC_BYTES", "async_bytes", "most bytes of an asynchronous request and its answer"),
    Setting("IFT_LOCAL_MOTO", "moto", "`1` has moto answer KMS, ECR and CloudFormation", "`0`"),
    Setting(
        "IFT_LOCAL_WEATHER",
        "weather",
        "`aws` for tests: waits for capacity, stale reads, throttled lists, empty pages, late log lines,"
        " expired credentials",
    ),
)
