"""Training jobs of several hosts: real supervisors, a sandbox for each host."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from ift_sagemaker import local
from tests.unit.local.machine import BUCKET, LocalAWS, Settle, channel, processes_of
from tests.unit.local.training.test_job_safety import kill_supervisors

Make = Callable[..., LocalAWS]

WHO = """
import socket
resources = json.loads((ML / "input/config/resourceconfig.json").read_text())
me, hosts = resources["current_host"], resources["hosts"]
"""
READY = """
print("begun", me, flush=True)
"""
MEET = (
    WHO
    + """
port = 7777
if me == "algo-1":
    with socket.create_server((me, port)) as server:
        for _ in hosts[1:]:
            connection, _ = server.accept()
            with connection:
                print("got", connection.recv(100).decode(), flush=True)
                connection.sendall(b"from algo-1")
else:
    while True:
        try:
            connection = socket.create_connection(("algo-1", port), timeout=5)
            break
        except ConnectionRefusedError:
            time.sleep(0.05)
    with connection:
        connection.sendall(f"from {socket.gethostname()}".encode())
        print("got", connection.recv(100).decode(), flush=True)
print("interfaces", [name for _, name in socket.if_nameindex()], resources["network_interface_name"])
try:
    socket.create_connection(("192.0.2.1", 80), timeout=1)
except OSError as error:
    print("outside", error.strerror)
"""
)


def several(count: int) -> dict[str, Any]:
    return {"InstanceType": "ml.m5.xlarge", "InstanceCount": count, "VolumeSizeInGB": 1}


@pytest.fixture
def aws(make_aws: Make) -> LocalAWS:
    return make_aws(runner="bwrap")


@pytest.mark.bwrap
def test_hosts_find_each_other_by_name_and_nobody_else(aws: LocalAWS) -> None:
    aws.train("job", MEET, ResourceConfig=several(2))
    assert aws.ended("job")["TrainingJobStatus"] == "Completed", aws.log("job")
    told = [line for line in aws.log("job") if not line.startswith("ift-local")]
    assert sorted(told) == sorted(
        [
            "got from algo-2",
            "got from algo-1",
            *["interfaces ['lo'] lo"] * 2,
            *["outside Network is unreachable"] * 2,
        ]
    )
    streams = aws.store.log_streams("/aws/sagemaker/TrainingJobs", "job/")
    assert [stream.name.rpartition("-")[0] for stream in streams] == ["job/algo-1", "job/algo-2"]


@pytest.mark.bwrap
def test_every_host_has_its_own_inputs_by_group_and_by_shard(aws: LocalAWS) -> None:
    for key in "abc":
        aws.put(f"rows/{key}", key)
    sharded = channel("rows", f"s3://{BUCKET}/rows/")
    sharded["DataSource"]["S3DataSource"]["S3DataDistributionType"] = "ShardedByS3Key"
    only = channel("only", f"s3://{BUCKET}/rows/")
    only["DataSource"]["S3DataSource"]["InstanceGroupNames"] = ["second"]
    groups = [
        {"InstanceGroupName": "first", "InstanceType": "ml.m5.xlarge", "InstanceCount": 1},
        {"InstanceGroupName": "second", "InstanceType": "ml.c5.xlarge", "InstanceCount": 1},
    ]
    script = (
        WHO
        + """
channels = json.loads((ML / "input/config/inputdataconfig.json").read_text())
found = {name: sorted(os.listdir(ML / "input/data" / name)) for name in channels if name != "program"}
told = (channels["rows"]["S3DistributionType"], resources["current_group_name"])
print(json.dumps([me, resources["current_instance_type"], found, *told]))
"""
    )
    resources = {"InstanceGroups": groups, "VolumeSizeInGB": 1}
    aws.train("job", script, ResourceConfig=resources, channels=[sharded, only])
    assert aws.ended("job")["TrainingJobStatus"] == "Completed", aws.log("job")
    found = sorted(json.loads(line) for line in aws.log("job") if line.startswith("["))
    assert found == [
        ["algo-1", "ml.m5.xlarge", {"rows": ["a", "c"]}, "ShardedByS3Key", "first"],
        ["algo-2", "ml.c5.xlarge", {"rows": ["b"], "only": ["a", "b", "c"]}, "ShardedByS3Key", "second"],
    ]


@pytest.mark.bwrap
def test_results_of_all_hosts_are_one_archive_and_the_first_host_goes_before(aws: LocalAWS) -> None:
    script = (
        WHO
        + """
(ML / "model" / "shared").write_text(me)
(ML / "model" / me).mkdir()
(ML / "model" / me / "weights").write_text(me)
(ML / "output/data" / me).write_text(me)
"""
    )
    aws.train("job", script, ResourceConfig=several(2))
    assert aws.ended("job")["TrainingJobStatus"] == "Completed", aws.log("job")
    assert aws.members("out/job/output/model.tar.gz") == {
        "shared": b"algo-1",
        "algo-1/weights": b"algo-1",
        "algo-2/weights": b"algo-2",
    }
    assert aws.members("out/job/output/output.tar.gz") == {"algo-1": b"algo-1", "algo-2": b"algo-2"}


@pytest.mark.bwrap
def test_a_host_that_fails_ends_the_job_with_its_own_reason_and_stops_the_others(aws: LocalAWS) -> None:
    script = (
        WHO
        + """
def leave(*_):
    print("asked to leave", me, flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
if me == "algo-2":
    (ML / "output" / "failure").write_text("no luck on algo-2")
    time.sleep(0.5)
    sys.exit(3)
time.sleep(60)
"""
    )
    aws.train("job", script, ResourceConfig=several(3))
    job = aws.ended("job")
    assert job["FailureReason"] == "AlgorithmError: no luck on algo-2, exit code: 3"
    left = [line for line in aws.log("job") if line.startswith("asked")]
    assert sorted(left) == ["asked to leave algo-1", "asked to leave algo-3"]
    assert Settle(3).until(lambda: not processes_of(aws.root))


@pytest.mark.bwrap
def test_a_stop_reaches_every_host_and_what_each_saved_is_kept(aws: LocalAWS) -> None:
    script = (
        WHO
        + """
def save(*_):
    (ML / "model" / me).write_text("saved in time")
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
"""
        + READY
        + "time.sleep(60)"
    )
    aws.train("job", script, ResourceConfig=several(2))
    for host in ("algo-1", "algo-2"):
        aws.says("job", f"begun {host}")
    aws.sagemaker.stop_training_job(TrainingJobName="job")
    assert aws.ended("job")["TrainingJobStatus"] == "Stopped"
    assert set(aws.members("out/job/output/model.tar.gz")) == {"algo-1", "algo-2"}


@pytest.mark.bwrap
def test_checkpoints_of_all_hosts_share_one_place_and_come_back_to_all(aws: LocalAWS) -> None:
    aws.put("cp/state", "old")
    script = (
        WHO
        + """
assert (ML / "checkpoints" / "state").read_text() == "old"
(ML / "checkpoints" / me).write_text(me)
"""
    )
    where = {"S3Uri": f"s3://{BUCKET}/cp"}
    aws.train("job", script, ResourceConfig=several(2), CheckpointConfig=where)
    assert aws.ended("job")["TrainingJobStatus"] == "Completed", aws.log("job")
    assert aws.keys("cp/") == ["cp/algo-1", "cp/algo-2", "cp/state"]
    assert aws.read("cp/algo-2") == b"algo-2"


@pytest.mark.bwrap
@pytest.mark.parametrize("moment", [0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 1.0])
def test_a_supervisor_killed_at_any_moment_takes_all_its_hosts_with_it(aws: LocalAWS, moment: float) -> None:
    script = "import subprocess\nsubprocess.Popen(['sleep', '60'])\ntime.sleep(60)"
    aws.train("job", script, ResourceConfig=several(3))
    time.sleep(moment)
    kill_supervisors(aws.root)
    job = aws.ended("job")
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("InternalServerError: the supervisor of this job died")
    assert Settle(3).until(lambda: not processes_of(aws.root))
    assert list((aws.root / "jobs").iterdir()) == []


@pytest.mark.bwrap
def test_a_single_host_knows_its_own_name(aws: LocalAWS) -> None:
    aws.train("job", "import socket\nprint(socket.gethostname(), socket.gethostbyname('algo-1'))")
    assert aws.ended("job")["TrainingJobStatus"] == "Completed", aws.log("job")
    assert aws.log("job")[-1] == "algo-1 127.0.0.1"


@pytest.mark.bwrap
def test_an_interruption_takes_all_hosts_and_brings_all_back(aws: LocalAWS) -> None:
    script = (
        WHO
        + """
state = ML / "checkpoints" / me
if state.exists():
    print("resumed", me, sorted(path.name for path in state.parent.iterdir()))
    sys.exit(0)
def save(*_):
    state.write_text(me)
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
"""
        + READY
        + "time.sleep(60)"
    )
    aws.train(
        "job",
        script,
        ResourceConfig=several(2),
        CheckpointConfig={"S3Uri": f"s3://{BUCKET}/cp"},
        EnableManagedSpotTraining=True,
        StoppingCondition={"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 60},
    )
    for host in ("algo-1", "algo-2"):
        aws.says("job", f"begun {host}")
    local.interrupt("job", root=aws.root)
    assert aws.ended("job")["TrainingJobStatus"] == "Completed", aws.log("job")
    told = sorted(line for line in aws.log("job") if line.startswith("resumed"))
    assert told == [f"resumed {host} ['algo-1', 'algo-2']" for host in ("algo-1", "algo-2")]
