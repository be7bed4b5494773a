"""Processing on several instances: shards, manifests, and outputs that come together."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from ift_sagemaker.local.processing.document import NO_NAMES
from ift_sagemaker.local.processing.staging import guarded, located, shard
from ift_sagemaker.local.running.staging import DownloadError, Downloads
from ift_sagemaker.local.supervision.watch import Outputs, Programs
from tests.unit.local.machine import BUCKET, FakeTime, LocalAWS
from tests.unit.local.processing.jobs import (
    FOLDER,
    UPPER,
    FakeProgram,
    ended,
    job,
    log,
    output,
    process,
    request,
    source,
    whole_log,
)

SHARDED = {"S3DataDistributionType": "ShardedByS3Key"}


def put_rows(aws: LocalAWS, *names: str) -> str:
    for name in names:
        aws.put(f"rows/{name}.txt", name)
    return f"s3://{BUCKET}/rows/"


def test_sharded_inputs_are_dealt_out_and_the_outputs_of_all_hosts_come_together(
    either_aws: LocalAWS,
) -> None:
    rows = put_rows(either_aws, "a", "b", "c", "d", "e")
    process(either_aws, "job", UPPER, hosts=2, inputs=[source("rows", rows, **SHARDED)])
    assert ended(either_aws)["ProcessingJobStatus"] == "Completed", log(either_aws)
    assert log(either_aws, host="algo-1") == ["read a.txt", "read c.txt", "read e.txt"]
    assert log(either_aws, host="algo-2") == ["read b.txt", "read d.txt"]
    assert either_aws.keys("out/") == [f"out/{name}.txt" for name in "abcde"]


def test_each_host_knows_itself_and_all_others_and_has_folders_of_its_own(either_aws: LocalAWS) -> None:
    script = """
told = json.loads((ML / "config/resourceconfig.json").read_text())
(OUT / "same.txt").write_text(HOST)
names = sorted(path.name for path in OUT.iterdir())
(OUT / f"{HOST}.json").write_text(json.dumps([told, names]))
(ML / "output/message").write_text(f"{HOST};")
"""
    process(either_aws, "job", script, hosts=3)
    assert ended(either_aws)["ExitMessage"] == "algo-1;algo-2;algo-3;"
    hosts = ["algo-1", "algo-2", "algo-3"]
    for host in hosts:
        told, names = json.loads(either_aws.read(f"out/{host}.json"))
        assert told == {"current_host": host, "hosts": hosts}
        assert names == ["same.txt"]
    assert either_aws.read("out/same.txt") == b"algo-3"


def test_one_host_that_fails_fails_the_job_and_ends_the_others(either_aws: LocalAWS) -> None:
    script = """
if HOST == "algo-2":
    sys.exit(7)
time.sleep(60)
"""
    process(either_aws, "job", script, hosts=3)
    done = ended(either_aws)
    assert done["ProcessingJobStatus"] == "Failed"
    assert log(either_aws, host="algo-2") == ["ift-local: the program of algo-2 ended with exit code 7"]
    assert either_aws.keys("out/") == []


def test_every_host_has_its_grace_when_the_job_is_stopped(aws: LocalAWS) -> None:
    script = """
def save(*_):
    (ML / "output/message").write_text(f"{HOST};")
    sys.exit(0 if HOST == "algo-1" else 1)
signal.signal(signal.SIGTERM, save)
print("begun", flush=True)
time.sleep(60)
"""
    process(aws, "job", script, hosts=2, StoppingCondition={"MaxRuntimeInSeconds": 1})
    done = ended(aws)
    assert (done["ProcessingJobStatus"], done["ExitMessage"]) == ("Stopped", "algo-1;algo-2;"), log(aws)


def test_hosts_without_names_for_one_another_are_told_so(aws: LocalAWS) -> None:
    process(aws, "job", "pass", hosts=2)
    process(aws, "alone", "pass")
    for name, several in (("job", True), ("alone", False)):
        ended(aws, name)
        found = aws.store.get("processing-job", name) or {}
        assert (NO_NAMES in found["_isolation"]["unenforced"]) is several
        assert any(NO_NAMES in line for line in whole_log(aws, name)) is several


@pytest.mark.bwrap
def test_hosts_in_bubblewrap_know_one_another_by_name(make_aws: Callable[..., LocalAWS]) -> None:
    aws = make_aws(runner="bwrap")
    process(aws, "job", 'import socket; print("there:", socket.gethostbyname("algo-2"))', hosts=2)
    done = ended(aws)
    assert done["ProcessingJobStatus"] == "Completed", log(aws)
    assert whole_log(aws, "job").count("there: 127.0.1.2") == 2
    assert NO_NAMES not in (aws.store.get("processing-job", "job") or {})["_isolation"]["unenforced"]


def test_the_files_of_a_manifest_and_no_others_are_there(aws: LocalAWS) -> None:
    prefix = put_rows(aws, "a", "deep/b", "c")
    manifest = aws.put("lists/rows.json", json.dumps([{"prefix": prefix}, "a.txt", "deep/b.txt"]))
    script = 'print(sorted(path.relative_to(ROWS).as_posix() for path in ROWS.rglob("*.txt")))'
    process(aws, "job", script, inputs=[source("rows", manifest, S3DataType="ManifestFile")])
    assert ended(aws)["ProcessingJobStatus"] == "Completed", job(aws)
    assert log(aws) == ["['a.txt', 'deep/b.txt']"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("no json", "is no manifest: a JSON array"),
        ("[]", "is no manifest: a JSON array"),
        ("{}", "is no manifest: a JSON array"),
        ('["rows/"]', "is no manifest: a JSON array"),
        ('[{"prefix": 1}]', "is no manifest: a JSON array"),
        (f'[{{"prefix": "s3://{BUCKET}/rows/"}}, 1]', "is no manifest: a JSON array"),
        (f'[{{"prefix": "s3://{BUCKET}/rows/"}}, "none.txt"]', "rows/none.txt matched no files on s3"),
        (f'[{{"prefix": "s3://{BUCKET}/"}}, "odd/../x"]', "cannot be a file below"),
        ('[{"prefix": "https://x/"}, "a"]', "is no manifest: a JSON array"),
    ],
)
def test_a_manifest_that_is_none_or_names_what_is_not_there_is_told(
    aws: LocalAWS, tmp_path: Path, content: str, words: str
) -> None:
    aws.put("odd/../x", "key")
    uri = aws.put("list.json", content)
    with pytest.raises(DownloadError) as caught:
        Downloads(aws.objects, share=False).place(
            located({"S3Uri": uri, "S3DataType": "ManifestFile"}, aws.objects), tmp_path / "rows"
        )
    assert words in str(caught.value)


@pytest.mark.parametrize("uri", [f"s3://{BUCKET}/nowhere/", "s3://no-such-bucket/rows/"])
def test_an_input_that_is_not_there_fails_the_job(aws: LocalAWS, uri: str) -> None:
    process(aws, "job", "pass", inputs=[source("rows", uri)])
    done = ended(aws)
    assert done["ProcessingJobStatus"] == "Failed"
    assert done["FailureReason"].startswith("ClientError: Failed to download data. ")
    assert uri in done["FailureReason"]
    assert log(aws) == []


def test_a_key_that_is_a_file_and_a_folder_fails_the_job_by_its_name(aws: LocalAWS) -> None:
    aws.put("rows/a", "file")
    aws.put("rows/a/b", "below")
    process(aws, "job", "pass", inputs=[source("rows", f"s3://{BUCKET}/rows/")])
    assert f"s3://{BUCKET}/rows/a/b cannot be a file here" in ended(aws)["FailureReason"]


def test_an_output_bucket_that_is_not_there_fails_the_job(aws: LocalAWS) -> None:
    for mode in ("EndOfJob", "Continuous"):
        outputs = [output(mode=mode, S3Uri="s3://elsewhere/out")]
        process(aws, mode, '(OUT / "a").write_text("a")', outputs=outputs)
        reason = ended(aws, mode)["FailureReason"]
        assert reason.startswith("ClientError: Failed to upload output. NoSuchBucket")


def test_app_managed_inputs_and_outputs_are_left_to_the_program(aws: LocalAWS) -> None:
    inputs = [{**source("rows", f"s3://{BUCKET}/nowhere/"), "AppManaged": True}]
    outputs = [{**output(), "AppManaged": True}]
    process(aws, "job", "print(ROWS.exists(), OUT.exists())", inputs=inputs, outputs=outputs)
    assert ended(aws)["ProcessingJobStatus"] == "Completed"
    assert log(aws) == ["False False"]


def test_shards_are_disjoint_whole_and_even() -> None:
    files = list(range(7))
    for count in range(1, 10):
        parts = [shard(files, index, count, "ShardedByS3Key") for index in range(count)]
        assert sorted(number for part in parts for number in part) == files
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert shard(files, 1, 3, "FullyReplicated") == files


def test_inputs_are_guarded_but_for_those_that_hold_an_output() -> None:
    inputs = [source(name, "s3://bucket/x") for name in ("rows", "rows/more", "both", "around")]
    outputs = [output("both"), output("around/out"), output("rows-out")]
    asked = request("job", inputs=inputs, outputs=outputs)
    assert guarded(asked) == ("config", "processing/code", "processing/rows", "processing/rows/more")


def programs(clock: FakeTime, members: Mapping[str, FakeProgram]) -> Programs:
    return Programs(members, 10.0, clock)


def test_programs_are_done_when_all_are_done() -> None:
    first, second = FakeProgram(0), FakeProgram()
    both = programs(FakeTime(), {"algo-1": first, "algo-2": second})
    assert both.poll() is None
    second.code = 0
    assert (both.poll(), both.failed) == (0, "")
    assert first.signals == second.signals == []


def test_the_first_to_fail_gives_its_exit_code_and_ends_the_others_by_sigterm() -> None:
    other = FakeProgram(on_terminate=143)
    both = programs(FakeTime(), {"algo-1": other, "algo-2": FakeProgram(5)})
    assert both.poll() is None
    assert (both.poll(), both.failed, other.signals) == (5, "algo-2", ["TERM"])


def test_a_program_that_goes_on_beside_a_failed_one_is_killed_after_its_grace() -> None:
    clock, other = FakeTime(), FakeProgram(on_terminate=None)
    both = programs(clock, {"algo-1": FakeProgram(5), "algo-2": other})
    assert both.poll() is None
    clock.sleep(9)
    assert both.poll() is None
    assert other.signals == ["TERM"]
    clock.sleep(2)
    assert both.poll() is None
    assert (both.poll(), other.signals) == (5, ["TERM", "KILL"])


def test_outputs_of_several_hosts_share_the_time_to_wait() -> None:
    waited: list[float] = []

    class Pump:
        def turn(self, timeout: float) -> None:
            waited.append(timeout)

        def drain(self, patience: float) -> None:
            waited.append(patience)

    both = Outputs([Pump(), Pump()])
    both.turn(0.1)
    both.drain(2.0)
    assert waited == [0.05, 0.05, 1.0, 1.0]


def test_local_paths_may_have_doubled_and_closing_slashes(aws: LocalAWS) -> None:
    rows = put_rows(aws, "a")
    inputs = [source("rows", rows, LocalPath=f"{FOLDER}//rows/")]
    outputs = [output(LocalPath=f"{FOLDER}/./out/", S3Uri=f"s3://{BUCKET}/out/")]
    process(aws, "job", UPPER, inputs=inputs, outputs=outputs)
    assert ended(aws)["ProcessingJobStatus"] == "Completed", log(aws)
    assert aws.keys("out/") == ["out/a.txt"]
    assert not Path(aws.root / "processing" / "job").exists()
