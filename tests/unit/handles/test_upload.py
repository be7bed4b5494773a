"""A session sends data of any kind to a place named by its content, and runs point to what is known of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ift_sagemaker import local
from ift_sagemaker.aws.client import AWSClient
from ift_sagemaker.catalog.weights import Weights, describe
from ift_sagemaker.data import InstructionDataset, convert
from ift_sagemaker.errors import AccessDeniedError, CredentialsError, ResourceNotFoundError
from ift_sagemaker.local.state.settings import ROLE_ARN
from ift_sagemaker.session import Session
from ift_sagemaker.uploading import UploadProgress
from tests.unit.handles.fakes import job_plan

MODEL = "smollm2-135m-instruct"
BUCKET = "sagemaker-us-east-1-123456789012"
ROWS = InstructionDataset.from_rows([{"instruction": f"say {n}", "output": str(n)} for n in range(12)])
KEY_ARN = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"


class NoWeights:
    """Weights of one empty file."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights

    def find(self, model_id: str) -> Weights:
        return self.weights


@pytest.fixture
def session(tmp_path: Path) -> Session:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "config.json").write_text("{}")
    weights = NoWeights(describe(MODEL, tmp_path / "weights"))
    client = AWSClient(local.boto3_session(tmp_path / "aws"))
    return Session(client, role=ROLE_ARN, weights=weights)  # type: ignore[arg-type]


@pytest.fixture
def s3(tmp_path: Path) -> Any:
    return local.boto3_session(tmp_path / "aws").client("s3")


def _json(s3: Any, uri: str) -> Any:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())


def test_a_dataset_is_sent_once_with_a_manifest_of_its_check(session: Session, s3: Any) -> None:
    done = session.upload(ROWS)
    assert done.uri == f"s3://{BUCKET}/ift/data/{ROWS.fingerprint}/"
    assert done.sent == done.manifest.size + len(done.manifest.to_bytes())
    again = session.upload(ROWS)
    assert (again.sent, again.present, again.uri) == (0, done.sent, done.uri)
    told = _json(s3, done.manifest_uri)
    assert (told["rows"], told["format"], told["report"]["rows"]) == (12, "alpaca", 12)
    assert "findings" not in told["report"], "a finding quotes rows, and a manifest is read by more people"


def test_what_was_uploaded_is_not_sent_again_by_a_run(session: Session) -> None:
    plan = job_plan(session, MODEL, ROWS)
    uploaded = session.upload(ROWS)
    channel = next(c for c in plan.request["InputDataConfig"] if c["ChannelName"] == "training")
    assert channel["DataSource"]["S3DataSource"]["S3Uri"] == uploaded.uri


def test_a_converted_folder_is_sent_as_it_is(session: Session, s3: Any, tmp_path: Path) -> None:
    ROWS.write(tmp_path / "rows.jsonl")
    convert(tmp_path / "rows.jsonl", tmp_path / "jumpstart", to="jumpstart-instruction")
    done = session.upload(tmp_path / "jumpstart", prefix="team/sets/")
    prefix = done.uri.removeprefix(f"s3://{BUCKET}/")
    assert prefix == f"team/sets/{done.manifest.fingerprint}/"
    listed = s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix)["Contents"]
    assert {found["Key"].removeprefix(prefix) for found in listed} == {
        path.name for path in (tmp_path / "jumpstart").iterdir()
    }
    assert done.manifest.rows == 12
    assert done.manifest.template is not None


def test_progress_is_told_of_every_object(session: Session) -> None:
    seen: list[UploadProgress] = []
    session.on_upload = seen.append
    session.upload(ROWS)
    assert len({progress.key for progress in seen if progress.sent == progress.size}) == 3
    seen.clear()
    session.upload(ROWS)
    assert all(progress.present for progress in seen)
    assert len(seen) == 3


def test_a_key_encrypts_the_data_and_its_manifest(session: Session, s3: Any) -> None:
    session.upload(ROWS, kms_key=KEY_ARN)
    for found in s3.list_objects_v2(Bucket=BUCKET)["Contents"]:
        assert s3.head_object(Bucket=BUCKET, Key=found["Key"])["SSEKMSKeyId"] == KEY_ARN


def test_another_accounts_bucket_is_refused_before_a_byte_is_sent(session: Session, s3: Any) -> None:
    s3.create_bucket(Bucket="theirs")
    with pytest.raises(AccessDeniedError, match=r"does not belong to account 999999999999 .*--owner"):
        session.upload(ROWS, prefix="s3://theirs/x", owner="999999999999")
    assert "Contents" not in s3.list_objects_v2(Bucket="theirs")


def test_a_bucket_that_is_named_is_never_made(session: Session, s3: Any) -> None:
    with pytest.raises(ResourceNotFoundError, match="aws s3 mb s3://absent"):
        session.upload(ROWS, prefix="s3://absent/x")
    session.bucket = "mine"
    with pytest.raises(ResourceNotFoundError, match="mine"):
        session.upload(ROWS)
    assert s3.list_buckets()["Buckets"] == []


def test_a_run_and_its_model_say_where_the_manifest_of_their_rows_lies(session: Session) -> None:
    plan = job_plan(session, MODEL, ROWS, validation=ROWS[:2])
    environment = plan.request["Environment"]
    manifests = {plan.place.uri(upload.key): upload for upload in plan.uploads if "manifest" in upload.key}
    assert {environment["IFT_DATA_MANIFEST"], environment["IFT_VALIDATION_MANIFEST"]} == set(manifests)
    found = manifests[environment["IFT_DATA_MANIFEST"]]
    assert found.sha256 in found.key, "who has the address can tell that the manifest is the one of the run"
    assert json.loads(bytes(found.source))["fingerprint"] == ROWS.fingerprint


def test_no_credentials_name_the_ways_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(CredentialsError, match="aws configure"):
        Session(AWSClient(region="us-east-1")).upload(ROWS)
