"""What the tests of processing jobs do over and over, through ordinary boto3 clients."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ift_sagemaker.local.state.settings import ROLE_ARN
from tests.unit.local.machine import BUCKET, ENDED, IMAGE, LocalAWS, Settle

FOLDER = "/opt/ml/processing"
INTRODUCTION = tuple(f"ift-local: {words}" for words in ("image ", "executed ", "runner ", "not enforced "))
PREAMBLE = """
import json, os, pathlib, signal, sys, time
ML = pathlib.Path(os.environ.get("IFT_ML_ROOT", "/opt/ml"))
ROWS, OUT = ML / "processing/rows", ML / "processing/out"
HOST = json.loads((ML / "config/resourceconfig.json").read_text())["current_host"]
"""
UPPER = """
for path in sorted(ROWS.rglob("*.txt")):
    print("read", path.name, flush=True)
    (OUT / path.name).write_text(path.read_text().upper())
"""


@dataclass
class FakeProgram:
    """A program that ends when it is told to, or never but by SIGKILL."""

    code: int | None = None
    on_terminate: int | None = 0
    signals: list[str] = field(default_factory=list)

    def record(self) -> dict[str, object]:
        return {}

    def poll(self) -> int | None:
        return self.code

    def wait(self, timeout: float) -> int | None:
        return self.code

    def terminate(self) -> None:
        self.signals.append("TERM")
        self.code = self.on_terminate if self.code is None else self.code

    def kill(self) -> None:
        self.signals.append("KILL")
        self.code = 137 if self.code is None else self.code


def source(name: str, uri: str, **changes: Any) -> dict[str, Any]:
    """A ProcessingInput below /opt/ml/processing."""
    whole = {
        "S3Uri": uri,
        "LocalPath": f"{FOLDER}/{name}",
        "S3DataType": "S3Prefix",
        "S3InputMode": "File",
        **changes,
    }
    return {"InputName": name, "S3Input": whole}


def output(name: str = "out", mode: str = "EndOfJob", **changes: Any) -> dict[str, Any]:
    """A ProcessingOutput below /opt/ml/processing."""
    whole = {
        "S3Uri": f"s3://{BUCKET}/{name}",
        "LocalPath": f"{FOLDER}/{name}",
        "S3UploadMode": mode,
        **changes,
    }
    return {"OutputName": name, "S3Output": whole}


def request(name: str, *arguments: str, **changes: Any) -> dict[str, Any]:
    """A request for a job that runs programs/NAME/main.py. `changes` replace its members, but for the first
    three: `hosts` is a count, `inputs` and `outputs` are lists.
    """
    cluster = {
        "InstanceType": "ml.m5.xlarge",
        "InstanceCount": changes.pop("hosts", 1),
        "VolumeSizeInGB": 10,
    }
    inputs = [source("code", f"s3://{BUCKET}/programs/{name}/"), *changes.pop("inputs", [])]
    return {
        "ProcessingJobName": name,
        "RoleArn": ROLE_ARN,
        "AppSpecification": {
            "ImageUri": IMAGE,
            "ContainerEntrypoint": ["python3", f"{FOLDER}/code/main.py"],
            **({"ContainerArguments": list(arguments)} if arguments else {}),
        },
        "ProcessingInputs": inputs,
        "ProcessingOutputConfig": {"Outputs": changes.pop("outputs", [output()])},
        "ProcessingResources": {"ClusterConfig": cluster},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        **changes,
    }


def process(aws: LocalAWS, name: str, script: str, *arguments: str, **changes: Any) -> None:
    """Creates a job that runs `script`."""
    aws.put(f"programs/{name}/main.py", PREAMBLE + script)
    aws.sagemaker.create_processing_job(**request(name, *arguments, **changes))


def job(aws: LocalAWS, name: str = "job") -> dict[str, Any]:
    found: dict[str, Any] = aws.sagemaker.describe_processing_job(ProcessingJobName=name)
    return found


def ended(aws: LocalAWS, name: str = "job") -> dict[str, Any]:
    """The job once it has ended."""
    Settle(20).until(lambda: job(aws, name)["ProcessingJobStatus"] in ENDED)
    found = job(aws, name)
    assert found["ProcessingJobStatus"] in ENDED, (found, log(aws, name))
    return found


def log(aws: LocalAWS, name: str = "job", host: str = "") -> list[str]:
    """What a job printed, without the lines with which we introduce each host."""
    return [line for line in whole_log(aws, name, host) if not line.startswith(INTRODUCTION)]


def whole_log(aws: LocalAWS, name: str = "job", host: str = "") -> list[str]:
    group = "/aws/sagemaker/ProcessingJobs"
    streams = aws.store.log_streams(group, f"{name}/{host}")
    return [event.message for stream in streams for event in aws.store.log_events(group, stream.name)]


def says(aws: LocalAWS, line: str, name: str = "job") -> None:
    """Waits for a line of a job's log."""
    assert Settle().until(lambda: line in log(aws, name)), (job(aws, name), log(aws, name))
