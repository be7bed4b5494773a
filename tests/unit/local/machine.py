"""What the tests of jobs and endpoints do over and over, through ordinary boto3 clients."""

from __future__ import annotations

import io
import json
import os
import tarfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ift_sagemaker.local.context import create_context
from ift_sagemaker.local.door.app import create_app
from ift_sagemaker.local.door.transport import session_on
from ift_sagemaker.local.state.settings import ROLE_ARN, LocalSettings

BUCKET = "bucket"
IMAGE = (
    "763104351884.dkr.ecr.us-east-1.amazonaws.com/"
    "huggingface-pytorch-training:2.9.0-transformers5.3.0-gpu-py312-cu130-ubuntu22.04"
)
SERVER_IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/my-server:1"
ENDED = ("Completed", "Failed", "Stopped")

PREAMBLE = """
import json, os, pathlib, signal, sys, time
ML = pathlib.Path(os.environ.get("IFT_ML_ROOT", "/opt/ml"))
"""

WORKING = """
print("begun", flush=True)
(ML / "model" / "weights").write_text("learned")
"""
ENDLESS = """
print("begun", flush=True)
time.sleep(60)
"""
SERVER = """
import http.server, json, os, sys, time

class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(int(os.environ.get("PING", "200")))

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        what = body.decode("utf-8", "replace")
        if what.startswith("status "):
            return self.answer(int(what.split()[1]), b"the model says no")
        if what == "die":
            os._exit(3)
        if what.startswith("sleep "):
            time.sleep(float(what.split()[1]))
        if what.startswith("drip "):
            return self.drip(*what.split()[1:])
        seen = {name.lower(): value for name, value in self.headers.items()}
        document = {"path": self.path, "body": what, "headers": seen, "environment": dict(os.environ)}
        attributes = self.headers.get("X-Amzn-SageMaker-Custom-Attributes", "none")
        self.answer(200, json.dumps(document).encode(), Content_Type="application/json",
                    X_Amzn_SageMaker_Custom_Attributes=attributes)

    def drip(self, count, seconds, end="whole"):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in range(int(count)):
            piece = f"piece {number};".encode()
            try:
                self.wfile.write(b"%x\\r\\n%s\\r\\n" % (len(piece), piece))
            except OSError:
                print(f"the client left before piece {number}", flush=True)
                return
            time.sleep(float(seconds))
        if end == "whole":
            self.wfile.write(b"0\\r\\n\\r\\n")
        else:
            self.close_connection = True

print("serving", flush=True)
port = int(os.environ["SAGEMAKER_BIND_TO_PORT"])
http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


def refusal(call: Callable[..., object], /, **params: Any) -> tuple[str, str]:
    """Code and message of the error that a call is refused with."""
    with pytest.raises(ClientError) as caught:
        call(**params)
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


class Settle:
    """Waits for something that other processes bring about."""

    def __init__(self, seconds: float = 10.0) -> None:
        self._deadline = time.monotonic() + seconds

    def until(self, done: Callable[[], Any]) -> Any:
        """What `done` gave last: the first true value, or a false one when the time was over."""
        while True:
            found = done()
            if found or time.monotonic() > self._deadline:
                return found
            time.sleep(0.02)


class LocalAWS:
    """One local AWS and its clients."""

    def __init__(self, root: Path, settings: Mapping[str, Any]) -> None:
        self.root = root
        chosen = {"stop_grace_in_seconds": 5.0, **settings}
        self.settings = LocalSettings(root=root, **chosen)
        self.context = create_context(self.settings)
        self.objects, self.store = self.context.objects, self.context.store
        session = session_on(create_app(self.context), self.settings.region)
        self.sagemaker = session.client("sagemaker")
        self.s3 = session.client("s3")
        self.logs = session.client("logs")
        self.runtime = session.client("sagemaker-runtime")
        self.objects.create_bucket(BUCKET)

    def put(self, key: str, body: str | bytes) -> str:
        self.objects.put(BUCKET, key, body.encode() if isinstance(body, str) else body)
        return f"s3://{BUCKET}/{key}"

    def train(self, name: str, script: str, *arguments: str, **changes: Any) -> None:
        """Creates a job that runs `script` from its program channel."""
        self.put(f"programs/{name}/main.py", PREAMBLE + script)
        self.sagemaker.create_training_job(**self.request(name, *arguments, **changes))

    def request(self, name: str, *arguments: str, **changes: Any) -> dict[str, Any]:
        algorithm = {
            "TrainingImage": IMAGE,
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["python3", "/opt/ml/input/data/program/main.py"],
            **({"ContainerArguments": list(arguments)} if arguments else {}),
            **changes.pop("algorithm", {}),
        }
        channels = [channel("program", f"s3://{BUCKET}/programs/{name}/"), *changes.pop("channels", [])]
        return {
            "TrainingJobName": name,
            "RoleArn": ROLE_ARN,
            "AlgorithmSpecification": algorithm,
            "InputDataConfig": channels,
            "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/out"},
            "ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 10},
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
            **changes,
        }

    def job(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.sagemaker.describe_training_job(TrainingJobName=name)
        return found

    def ended(self, name: str) -> dict[str, Any]:
        """The job once it has ended."""
        job: dict[str, Any] = Settle().until(lambda: self._if_ended(name))
        assert job, f"{name} has not ended: {self.job(name)}, {self.log(name)}"
        return job

    def _if_ended(self, name: str) -> dict[str, Any] | None:
        job = self.job(name)
        return job if job["TrainingJobStatus"] in ENDED else None

    def log(self, name: str) -> list[str]:
        group = "/aws/sagemaker/TrainingJobs"
        streams = self.store.log_streams(group, f"{name}/")
        return [event.message for stream in streams for event in self.store.log_events(group, stream.name)]

    def says(self, name: str, line: str) -> None:
        """Waits for a line of a job's log."""
        assert Settle().until(lambda: line in self.log(name)), (self.job(name), self.log(name))

    def read(self, key: str) -> bytes:
        found = self.objects.get(BUCKET, key)
        assert found is not None, f"no object {key}"
        return found.path.read_bytes()

    def keys(self, prefix: str = "") -> list[str]:
        return [found.key for found in self.objects.list(BUCKET, prefix)]

    def members(self, key: str) -> dict[str, bytes]:
        """The files of a tar.gz in S3."""
        with tarfile.open(fileobj=io.BytesIO(self.read(key)), mode="r:gz") as tar:
            files = {member.name: tar.extractfile(member) for member in tar if member.isreg()}
            return {name: file.read() for name, file in files.items() if file}

    def host(self, name: str = "end", script: str = SERVER, **changes: Any) -> None:
        """Creates model, configuration and endpoint of one name around `script`."""
        self.put(f"models/{name}/model.tar.gz", archive({"server.py": script.encode()}))
        self.register_server()
        variant, asynchronous = changes.pop("variant", {}), changes.pop("asynchronous", None)
        self.create_model(name, **changes)
        self.create_config(name, asynchronous, **variant)
        self.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)

    def register_server(self) -> None:
        rows = [{"image": "*/my-server:*", "command": ["python3", "/opt/ml/model/server.py"]}]
        (self.root / "images.json").write_text(json.dumps(rows))

    def create_model(self, name: str, **container: Any) -> None:
        source = {"Image": SERVER_IMAGE, "ModelDataUrl": f"s3://{BUCKET}/models/{name}/model.tar.gz"}
        primary = {key: value for key, value in {**source, **container}.items() if value is not None}
        self.sagemaker.create_model(ModelName=name, PrimaryContainer=primary, ExecutionRoleArn=ROLE_ARN)

    def add_model(self, name: str, script: str = SERVER, **container: Any) -> None:
        """A model of another name, for an update or a second variant."""
        self.put(f"models/{name}/model.tar.gz", archive({"server.py": script.encode()}))
        self.create_model(name, **container)

    def create_config(self, name: str, asynchronous: Any = None, /, **variant: Any) -> None:
        whole = {
            "VariantName": "AllTraffic",
            "ModelName": name,
            "InitialInstanceCount": 1,
            "InstanceType": "ml.m5.xlarge",
            **variant,
        }
        more = {"AsyncInferenceConfig": asynchronous} if asynchronous else {}
        self.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[whole], **more)

    def endpoint(self, name: str = "end") -> dict[str, Any]:
        found: dict[str, Any] = self.sagemaker.describe_endpoint(EndpointName=name)
        return found

    def settled(self, name: str = "end") -> dict[str, Any]:
        """The endpoint once it is no longer in the making."""
        Settle().until(lambda: self.endpoint(name)["EndpointStatus"] not in ("Creating", "Updating"))
        return self.endpoint(name)

    def endpoint_log(self, name: str = "end") -> list[str]:
        group = f"/aws/sagemaker/Endpoints/{name}"
        streams = self.store.log_streams(group)
        return [event.message for stream in streams for event in self.store.log_events(group, stream.name)]


def channel(name: str, uri: str, **changes: Any) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}, **changes}


def archive(files: Mapping[str, bytes]) -> bytes:
    """A tar.gz of files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def processes_of(root: Path) -> list[tuple[int, bytes]]:
    """Running processes that work for a local root: it stands in their command line or environment."""
    return [
        (pid, command)
        for pid in (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())
        if pid != os.getpid() and (command := _mention(pid, str(root).encode()))
    ]


def _mention(pid: int, text: bytes) -> bytes:
    """The command line of a process where it, or the environment, holds `text`; a zombie has neither."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        return command if text in command or text in Path(f"/proc/{pid}/environ").read_bytes() else b""
    except OSError:
        return b""


class FakeTime:
    """Seconds that pass only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
