"""Inputs of jobs in every mode: real supervisors, programs that read what they are given."""

from __future__ import annotations

import gzip
import json
from typing import Any

from tests.unit.local.machine import BUCKET, LocalAWS, channel, refusal


def from_manifest(name: str, uri: str, **changes: Any) -> dict[str, Any]:
    return {
        "ChannelName": name,
        "DataSource": {"S3DataSource": {"S3DataType": "ManifestFile", "S3Uri": uri}},
        **changes,
    }


def test_a_channel_from_a_manifest_holds_what_the_manifest_names(either_aws: LocalAWS) -> None:
    for key in ("deep/a", "b", "not-listed"):
        either_aws.put(f"rows/{key}", key)
    names = [{"prefix": f"s3://{BUCKET}/rows/"}, "deep/a", "b"]
    uri = either_aws.put("rows.manifest", json.dumps(names))
    script = """
rows = ML / "input/data/rows"
files = [path for path in sorted(rows.rglob("*")) if path.is_file()]
print(json.dumps({str(path.relative_to(rows)): path.read_text() for path in files}))
"""
    either_aws.train("job", script, channels=[from_manifest("rows", uri)])
    assert either_aws.ended("job")["TrainingJobStatus"] == "Completed", either_aws.log("job")
    assert json.loads(either_aws.log("job")[-1]) == {"b": "b", "deep/a": "deep/a"}


def test_a_manifest_that_names_what_is_not_there_fails_the_job_with_the_name(aws: LocalAWS) -> None:
    uri = aws.put("rows.manifest", json.dumps([{"prefix": f"s3://{BUCKET}/rows/"}, "absent"]))
    aws.train("job", "pass", channels=[from_manifest("rows", uri)])
    reason = aws.ended("job")["FailureReason"]
    missing = f"S3 key: s3://{BUCKET}/rows/absent matched no files on s3"
    assert reason == f"ClientError: Data download failed:{missing}"


def test_fast_file_mode_takes_prefixes_only(aws: LocalAWS) -> None:
    uri = aws.put("rows.manifest", "[]")
    request = aws.request("job", channels=[from_manifest("rows", uri, InputMode="FastFile")])
    code, message = refusal(aws.sagemaker.create_training_job, **request)
    assert code == "ValidationException"
    assert "FastFile needs S3DataType S3Prefix" in message


def test_a_piped_channel_streams_an_epoch_for_every_pipe_that_is_opened(either_aws: LocalAWS) -> None:
    for key in ("a", "b"):
        either_aws.put(f"rows/{key}.gz", gzip.compress(f"{key}\n".encode() * 3))
    script = """
data = ML / "input/data"
print(json.dumps(json.loads((ML / "input/config/inputdataconfig.json").read_text())["rows"]))
for epoch in range(2):
    while not (data / f"rows_{epoch}").exists():
        time.sleep(0.01)
    print((data / f"rows_{epoch}").read_text().split())
"""
    piped = channel("rows", f"s3://{BUCKET}/rows/", InputMode="Pipe", CompressionType="Gzip")
    either_aws.train("job", script, channels=[piped])
    assert either_aws.ended("job")["TrainingJobStatus"] == "Completed", either_aws.log("job")
    told, *epochs = either_aws.log("job")[4:]
    assert json.loads(told) == {
        "TrainingInputMode": "Pipe",
        "S3DistributionType": "FullyReplicated",
        "RecordWrapperType": "None",
    }
    assert epochs == ["['a', 'a', 'a', 'b', 'b', 'b']"] * 2


def test_a_program_that_never_opens_its_pipe_ends_its_job_as_any_other(either_aws: LocalAWS) -> None:
    rows = either_aws.put("rows/a", "a")
    piped = channel("rows", rows, InputMode="Pipe")
    either_aws.train("job", "print('not interested')", channels=[piped])
    assert either_aws.ended("job")["TrainingJobStatus"] == "Completed"


def test_a_pipe_that_breaks_fails_the_job_with_its_channel(aws: LocalAWS) -> None:
    rows = aws.put("rows/a", "this is no gzip")
    script = '(ML / "input/data/rows_0").read_bytes()\ntime.sleep(60)'
    piped = channel("rows", rows, InputMode="Pipe", CompressionType="Gzip")
    aws.train("job", script, channels=[piped])
    reason = aws.ended("job")["FailureReason"]
    assert reason.startswith("ClientError: Data download failed:channel rows: Not a gzipped file")
