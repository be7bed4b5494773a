"""Speed of the local AWS, beside a moto server on the same machine in the same run.

    python tests/benchmarks/local_aws.py [--size MIB] [--repeats N] [--json]

Uploads and downloads one object of random bytes by boto3's transfer manager with its defaults: in process,
over HTTP to `ift local serve`, and over HTTP to moto (extra `moto`), in turn. Beside them what the bare disk
gives: the same bytes written and synced by one thread, and read. CPU seconds are the server's for each GiB,
in process those of the client as well; where other programs want the cores too, they tell more than speeds.
Then what a describe call and the start of a program take. Prints medians; nothing is asserted.
"""

from __future__ import annotations

import argparse
import filecmp
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from ift_sagemaker.local import boto3_session

MIB = 1 << 20
REGION = "us-east-1"
BUCKET = "benchmark"
CALLS = 300
GROUP = "/aws/sagemaker/TrainingJobs"
IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.9.0-cpu-py312-ubuntu22.04-sagemaker"
PROGRAM = b"print('begun', flush=True)\n"


@dataclass(frozen=True)
class Transfer:
    """Speeds in MiB/s, and CPU seconds a GiB of the server (of the whole process where there is none)."""

    upload: float
    download: float
    upload_cpu_per_gib: float = 0.0
    download_cpu_per_gib: float = 0.0


@dataclass(frozen=True)
class Served:
    """A server that runs: its address and its process."""

    url: str
    pid: int

    def session(self) -> boto3.Session:
        return boto3.Session("none", "none", region_name=REGION)

    def client(self, service: str) -> Any:
        return self.session().client(service, endpoint_url=self.url)

    def cpu_seconds(self) -> float:
        """What the process has used so far, in itself and in the kernel."""
        fields = Path(f"/proc/{self.pid}/stat").read_text("ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_mib(self) -> float:
        """The most memory that the process has had resident."""
        status = Path(f"/proc/{self.pid}/status").read_text("ascii")
        (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) / 1024


@contextmanager
def our_server(root: Path) -> Iterator[Served]:
    command = [sys.executable, "-c", "from ift_sagemaker.cli import main; main()"]
    with running([*command, "local", "serve", "--port", "0", "--json"], IFT_LOCAL_ROOT=str(root)) as process:
        told = json.loads(process.stdout.readline())
        yield Served(told["url"], told["pid"])


@contextmanager
def moto_server() -> Iterator[Served]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with running([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]) as process:
        served = Served(f"http://127.0.0.1:{port}", process.pid)
        wait_for(lambda: answers(served), 30.0)
        yield served


@contextmanager
def running(command: list[str], **environment: str) -> Iterator[Any]:
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=quiet, env={**os.environ, **environment}
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate()


def answers(served: Served) -> bool:
    with suppress(BotoCoreError, ClientError):
        served.client("s3").list_buckets()
        return True
    return False


def wait_for(done: Callable[[], Any], seconds: float) -> float:
    """Seconds until `done`, which is asked every 5 ms."""
    started = time.perf_counter()
    while not done():
        if time.perf_counter() - started > seconds:
            raise TimeoutError(f"nothing came within {seconds} s")
        time.sleep(0.005)
    return time.perf_counter() - started


def transfer(s3: Any, server: Served, source: Path, target: Path) -> Transfer:
    """Upload and download of the file; what comes back is compared."""
    mib = source.stat().st_size / MIB
    cpu, started = server.cpu_seconds(), time.perf_counter()
    s3.upload_file(str(source), BUCKET, "object")
    uploaded, cpu_uploaded = time.perf_counter(), server.cpu_seconds()
    s3.download_file(BUCKET, "object", str(target))
    ended, cpu_ended = time.perf_counter(), server.cpu_seconds()
    if not filecmp.cmp(source, target, shallow=False):
        raise ValueError("the object came back changed")
    target.unlink()
    s3.delete_object(Bucket=BUCKET, Key="object")
    speeds = mib / (uploaded - started), mib / (ended - uploaded)
    used = cpu_uploaded - cpu, cpu_ended - cpu_uploaded
    return Transfer(*speeds, *(seconds * 1024 / mib for seconds in used))


def bare_disk(source: Path, target: Path) -> Transfer:
    """Writing (with a sync at the end) and reading of the same bytes by one thread."""
    mib = source.stat().st_size / MIB
    block = source.open("rb").read(MIB)
    started = time.perf_counter()
    with target.open("xb", buffering=0) as sink:
        for _ in range(int(mib)):
            sink.write(block)
        os.fsync(sink.fileno())
    written = time.perf_counter()
    with target.open("rb", buffering=0) as file:
        while file.read(MIB):
            pass
    ended = time.perf_counter()
    target.unlink()
    return Transfer(mib / (written - started), mib / (ended - written))


def milliseconds(call: Callable[[], object]) -> float:
    """The median of many calls."""
    call()
    times = []
    for _ in range(CALLS):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1000


def first_line_seconds(clients: Callable[[str], Any], name: str) -> float:
    """From CreateTrainingJob to the first line of its program in the log; then the job is waited for."""
    sagemaker, logs, s3 = clients("sagemaker"), clients("logs"), clients("s3")
    s3.put_object(Bucket=BUCKET, Key=f"programs/{name}/main.py", Body=PROGRAM)
    request = job_request(name)

    def spoke() -> bool:
        with suppress(logs.exceptions.ResourceNotFoundException):
            streams = logs.describe_log_streams(logGroupName=GROUP, logStreamNamePrefix=f"{name}/")
            return any(stream.get("firstEventTimestamp") for stream in streams["logStreams"])
        return False

    started = time.perf_counter()
    sagemaker.create_training_job(**request)
    wait_for(spoke, 60.0)
    ended = time.perf_counter() - started
    sagemaker.get_waiter("training_job_completed_or_stopped").wait(
        TrainingJobName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    return ended


def job_request(name: str) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/programs/{name}/"}
    return {
        "TrainingJobName": name,
        "RoleArn": "arn:aws:iam::123456789012:role/benchmark",
        "AlgorithmSpecification": {
            "TrainingImage": IMAGE,
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["python3", "/opt/ml/input/data/program/main.py"],
        },
        "InputDataConfig": [{"ChannelName": "program", "DataSource": {"S3DataSource": source}}],
        "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/out"},
        "ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 10},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
    }


def measure(folder: Path, mib: int, repeats: int) -> dict[str, Any]:
    """Everything as plain data; `transfers` in MiB/s, and peaks in MiB."""
    source, target = folder / "source", folder / "target"
    with source.open("xb") as sink:
        for _ in range(mib):
            sink.write(os.urandom(MIB))
    local = boto3_session(folder / "in-process")
    with our_server(folder / "served") as ours, moto_server() as moto:
        clients = {"in process": local.client("s3"), "HTTP": ours.client("s3"), "moto": moto.client("s3")}
        for s3 in clients.values():
            s3.create_bucket(Bucket=BUCKET)
        servers = {"in process": Served("", os.getpid()), "HTTP": ours, "moto": moto}
        runs: dict[str, list[Transfer]] = {name: [] for name in ("disk", *clients)}
        for _ in range(repeats):
            runs["disk"].append(bare_disk(source, target))
            for name, s3 in clients.items():
                runs[name].append(transfer(s3, servers[name], source, target))
        peaks = {"HTTP": ours.peak_mib(), "moto": moto.peak_mib()}
        ways = {"in process": local.client, "HTTP": ours.client}
        start = {
            way: [first_line_seconds(client, f"begins-{number}") for number in range(repeats)]
            for way, client in ways.items()
        }
        describe = {way: describing(client("sagemaker")) for way, client in ways.items()}
    return {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
        "size_mib": mib,
        "repeats": repeats,
        "transfers": {name: summary(found, peaks.get(name)) for name, found in runs.items()},
        "describe_ms": describe,
        "first_line_seconds": {way: statistics.median(found) for way, found in start.items()},
        "first_line_runs": start,
    }


def describing(sagemaker: Any) -> float:
    return milliseconds(lambda: sagemaker.describe_training_job(TrainingJobName="begins-0"))


def summary(runs: list[Transfer], peak: float | None) -> dict[str, Any]:
    rows = [asdict(run) for run in runs]
    return {
        **{name: statistics.median(row[name] for row in rows) for name in rows[0]},
        "runs": rows,
        "peak_mib": peak,
    }


def table(result: dict[str, Any]) -> str:
    moto = result["transfers"]["moto"]
    columns = f"{'up MiB/s':>10} {'x moto':>7} {'down MiB/s':>11} {'x moto':>7}"
    lines = [
        f"{result['machine']}; {result['size_mib']} MiB, median of {result['repeats']}",
        f"{'':12} {columns} {'CPU s/GiB up':>13} {'of moto':>8} {'down':>6} {'peak MiB':>9}",
    ]
    for name, found in result["transfers"].items():
        up, down, peak = found["upload"], found["download"], found["peak_mib"]
        ratios = f"{up:10.0f} {up / moto['upload']:7.1f} {down:11.0f} {down / moto['download']:7.1f}"
        up_cpu, down_cpu = found["upload_cpu_per_gib"], found["download_cpu_per_gib"]
        share = f"{up_cpu / moto['upload_cpu_per_gib']:8.0%}" if up_cpu else " " * 8
        cpu = f"{up_cpu:13.2f} {share} {down_cpu:6.2f}"
        lines.append(f"{name:12} {ratios} {cpu} {'' if peak is None else f'{peak:.0f}':>9}")
    for way, value in result["describe_ms"].items():
        lines.append(f"DescribeTrainingJob, {way}: {value:.1f} ms (p50 of {CALLS})")
    for way, value in result["first_line_seconds"].items():
        lines.append(f"CreateTrainingJob to the first line of its program, {way}: {value:.2f} s")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=1024, metavar="MIB")
    parser.add_argument("--repeats", type=int, default=3, metavar="N")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ift-local-aws-") as folder:
        result = measure(Path(folder), options.size, options.repeats)
    print(json.dumps(result, indent=2) if options.json else table(result))


if __name__ == "__main__":
    main()
