"""One job and one endpoint through every runner: the same files, statuses, metrics, reasons and answers."""

from __future__ import annotations

import json

import pytest

from ift_sagemaker.local import administration
from ift_sagemaker.local.running.engines import Engine
from ift_sagemaker.local.running.images import TRAIN_STAND_IN
from tests.containers.conftest import MakeAWS, end_supervisor
from tests.unit.local.machine import SERVER, LocalAWS, Settle, channel

pytestmark = pytest.mark.timeout(180)
SECONDS = 60

JOB = """
import hashlib, signal
config = {path.name: json.loads(path.read_text()) for path in sorted((ML / "input/config").iterdir())}
rows = (ML / "input/data/rows/deep/rows.txt").read_text()
(ML / "model/nested").mkdir()
(ML / "model/nested/weights").write_text(json.dumps(config["hyperparameters.json"]) + rows)
(ML / "model/empty").write_text("")
(ML / "output/data/report.json").write_text(json.dumps({
    "config": sorted(config), "channels": config["inputdataconfig.json"],
    "host": config["resourceconfig.json"]["current_host"], "mine": os.environ["MINE"],
    "arguments": sys.argv[1:], "job": os.environ["TRAINING_JOB_NAME"], "folder": os.getcwd() == str(ML),
    "aws": sorted(name for name in os.environ if name.startswith("AWS")),
}, sort_keys=True))
(ML / "checkpoints").mkdir(exist_ok=True)
(ML / "checkpoints/state").write_text("4")
for step in range(3):
    print(f"loss={1 / (step + 1):.3f}", flush=True)
"""
STOPPED = """
def save(*_):
    (ML / "model/part").write_text("half")
    (ML / "checkpoints/at-stop").write_text("5")
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
print("begun", flush=True)
while True:
    time.sleep(0.1)
"""
FAILED = """
(ML / "output/failure").write_text("no rows to learn from")
sys.exit(4)
"""
OPEN_SERVER = SERVER.replace('("127.0.0.1", port)', '(os.environ["IFT_BIND_HOST"], port)')


def ended(aws: LocalAWS, name: str) -> dict[str, object]:
    Settle(SECONDS).until(lambda: aws.job(name)["TrainingJobStatus"] in ("Completed", "Failed", "Stopped"))
    return aws.ended(name)


def begun(aws: LocalAWS, name: str) -> None:
    assert Settle(SECONDS).until(lambda: "begun" in aws.log(name)), aws.log(name)


def test_a_job_gives_the_same_files_statuses_and_metrics(any_aws: LocalAWS) -> None:
    rows = any_aws.put("rows/deep/rows.txt", "rows").removesuffix("deep/rows.txt")
    any_aws.train(
        "same",
        JOB,
        "one",
        "two words",
        algorithm={"MetricDefinitions": [{"Name": "loss", "Regex": "loss=([0-9.]+)"}]},
        channels=[channel("rows", rows)],
        HyperParameters={"epoch": "2"},
        Environment={"MINE": "'a' \"b\" $c #d"},
        CheckpointConfig={"S3Uri": "s3://bucket/checkpoints/same"},
    )
    job = ended(any_aws, "same")
    assert job["TrainingJobStatus"] == "Completed", (job.get("FailureReason"), any_aws.log("same"))
    transitions = [entry["Status"] for entry in job["SecondaryStatusTransitions"]]  # type: ignore[attr-defined]
    assert transitions == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    metrics = [(entry["MetricName"], round(entry["Value"], 3)) for entry in job["FinalMetricDataList"]]  # type: ignore[attr-defined]
    assert metrics == [("loss", 0.333)]
    assert any_aws.members("out/same/output/model.tar.gz") == {
        "nested/weights": b'{"epoch": "2"}rows',
        "empty": b"",
    }
    report = json.loads(any_aws.members("out/same/output/output.tar.gz")["report.json"])
    assert report == {
        "config": ["hyperparameters.json", "inputdataconfig.json", "resourceconfig.json"],
        "channels": {
            name: {
                "TrainingInputMode": "File",
                "S3DistributionType": "FullyReplicated",
                "RecordWrapperType": "None",
            }
            for name in ("program", "rows")
        },
        "host": "algo-1",
        "mine": "'a' \"b\" $c #d",
        "arguments": ["one", "two words"],
        "job": "same",
        "folder": True,
        "aws": ["AWS_DEFAULT_REGION", "AWS_REGION"],
    }
    assert any_aws.keys("checkpoints/") == ["checkpoints/same/state"]
    said = [line for line in any_aws.log("same") if not line.startswith("ift-local:")]
    assert said == ["loss=1.000", "loss=0.500", "loss=0.333"]


def test_a_stopped_job_saves_what_its_handler_writes(any_aws: LocalAWS) -> None:
    checkpoints = {"S3Uri": "s3://bucket/checkpoints/stopped"}
    any_aws.train(
        "stopped", "(ML / 'checkpoints').mkdir(exist_ok=True)" + STOPPED, CheckpointConfig=checkpoints
    )
    begun(any_aws, "stopped")
    any_aws.sagemaker.stop_training_job(TrainingJobName="stopped")
    assert ended(any_aws, "stopped")["TrainingJobStatus"] == "Stopped"
    assert any_aws.members("out/stopped/output/model.tar.gz") == {"part": b"half"}
    assert any_aws.keys("checkpoints/") == ["checkpoints/stopped/at-stop"]


def test_a_failed_job_tells_its_own_reason_and_exit_code(any_aws: LocalAWS) -> None:
    any_aws.train("failed", FAILED)
    job = ended(any_aws, "failed")
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"] == "AlgorithmError: no rows to learn from, exit code: 4"


def test_an_endpoint_gives_the_same_answers_and_errors(any_aws: LocalAWS) -> None:
    any_aws.host(script=OPEN_SERVER, Environment={"MINE": "'a' $b"})
    Settle(SECONDS).until(lambda: any_aws.endpoint()["EndpointStatus"] != "Creating")
    endpoint = any_aws.settled()
    assert endpoint["EndpointStatus"] == "InService", (endpoint.get("FailureReason"), any_aws.endpoint_log())
    answer = any_aws.runtime.invoke_endpoint(EndpointName="end", Body=b"hello", CustomAttributes="mine")
    told = json.loads(answer["Body"].read())
    assert (told["path"], told["body"], told["environment"]["MINE"]) == ("/invocations", "hello", "'a' $b")
    assert answer["CustomAttributes"] == "mine"
    with pytest.raises(any_aws.runtime.exceptions.ModelError) as refused:
        any_aws.runtime.invoke_endpoint(EndpointName="end", Body=b"status 418")
    assert refused.value.response["OriginalStatusCode"] == 418
    assert refused.value.response["OriginalMessage"] == "the model says no"
    any_aws.sagemaker.delete_endpoint(EndpointName="end")
    assert Settle(SECONDS).until(lambda: not any_aws.sagemaker.list_endpoints()["Endpoints"])


def test_a_job_out_of_memory_says_so(aws: LocalAWS) -> None:
    aws.train("hungry", "x = bytearray(2**30)\nprint('fed', flush=True)\n")
    job = ended(aws, "hungry")
    assert job["FailureReason"] == (
        "AlgorithmError: the program was killed by signal 9, exit code: 137 (killed, probably out of memory)"
    )
    assert "fed" not in aws.log("hungry")


def test_a_container_whose_supervisor_was_killed_is_ended_at_the_next_look(aws: LocalAWS) -> None:
    aws.train("orphan", STOPPED)
    begun(aws, "orphan")
    assert len(administration.status(aws.settings)["containers"]) == 1
    end_supervisor(aws, "job", "orphan")
    job = ended(aws, "orphan")
    assert "supervisor" in str(job["FailureReason"])
    assert administration.status(aws.settings)["containers"] == []


def test_a_reset_ends_the_containers_of_its_root_and_no_others(aws: LocalAWS, make_aws: MakeAWS) -> None:
    other = make_aws(aws.settings.runner)
    for place in (aws, other):
        place.train("long", STOPPED)
        begun(place, "long")
    administration.reset(aws.settings)
    assert not aws.root.exists()
    assert len(administration.status(other.settings)["containers"]) == 1
    other.sagemaker.stop_training_job(TrainingJobName="long")
    assert ended(other, "long")["TrainingJobStatus"] == "Stopped"


def test_what_ran_is_recorded_by_name_and_digits_with_what_was_enforced(aws: LocalAWS) -> None:
    aws.train("told", "print('x')")
    job = ended(aws, "told")
    found = aws.sagemaker.list_tags(ResourceArn=job["TrainingJobArn"])["Tags"]
    tags = {tag["Key"]: tag["Value"] for tag in found}
    assert tags["ift:local-runner"] == aws.settings.runner
    name, _, digits = tags["ift:executed-image"].partition("@sha256:")
    assert name.startswith("ift-sagemaker-train:")
    assert len(digits) == 64
    log = "\n".join(aws.log("told"))
    assert "memory limit of 268435456 bytes" in log
    assert digits in log


def test_an_image_that_the_engine_has_is_run_itself_with_sagemakers_word(aws: LocalAWS) -> None:
    engine, image = Engine(aws.settings.runner), "mine.example/own:7"
    entrypoint = json.dumps(["python3", "-c", "import sys; print('given', *sys.argv[1:])"])
    made = engine.call("create", TRAIN_STAND_IN).strip()
    try:
        engine.call("commit", "--change", f"ENTRYPOINT {entrypoint}", made, image)
        aws.put("programs/own/main.py", "")
        request = aws.request("own", algorithm={"TrainingImage": image})
        del request["AlgorithmSpecification"]["ContainerEntrypoint"]
        aws.sagemaker.create_training_job(**request)
        assert ended(aws, "own")["TrainingJobStatus"] == "Completed"
        assert "given train" in aws.log("own")
        aws.train("other", "print('given', os.getpid())", algorithm={"TrainingImage": image})
        assert ended(aws, "other")["TrainingJobStatus"] == "Completed"
        assert "given 1" in aws.log("other"), "the job's own entrypoint replaces the image's"
    finally:
        engine.remove(made)
        engine.call("rmi", image)


def test_a_job_is_never_root_inside(aws: LocalAWS) -> None:
    aws.train("read", "print('user', os.getuid())\n(ML / 'model/x').write_text('')")
    assert ended(aws, "read")["TrainingJobStatus"] == "Completed"
    assert "user 0" not in aws.log("read")
