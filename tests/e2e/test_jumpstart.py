"""Route jumpstart: AWS's own request, trained here on weights that stand in for those that only AWS has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from ift_sagemaker import local
from ift_sagemaker.cli.tree import ift
from ift_sagemaker.data import InstructionDataset
from ift_sagemaker.errors import AWSError, UnsupportedError
from ift_sagemaker.plan.spec import Customization
from ift_sagemaker.session import Session
from ift_sagemaker.wire.artifact import ModelCard
from tests.e2e import tiny
from tests.e2e.conftest import ONLY_CALM

pytestmark = ONLY_CALM  # what AWS's weather changes is the same for every training job

LLAMA = "meta-textgeneration-llama-2-7b"
LLAMA_3 = "meta-textgeneration-llama-3-1-70b"
ACCEPTED = Customization(accept_eula=True)
QUICK = {"epoch": 1, "max_input_length": 256, "validation_split_ratio": 0}


@pytest.fixture
def session(session: Session) -> Session:
    session.takes_stand_ins = True
    return session


@pytest.fixture(scope="session")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of random checkpoints, by architecture."""
    folder = tmp_path_factory.mktemp("stand-ins")
    for name in tiny.ARCHITECTURES:
        tiny.build(folder / f"tiny-{name}", name)
    return folder


def test_a_gated_llama_trains_answers_and_is_judged_as_the_stand_in_that_it_is(
    session: Session, rows: InstructionDataset, stand_ins: Path, tmp_path: Path
) -> None:
    train, test = rows.split(test_size=0.25, seed=0)
    plan = session.plan(LLAMA, train, hyperparameters=QUICK, customization=ACCEPTED)
    job = session.fine_tune(
        LLAMA, train, hyperparameters=QUICK, customization=ACCEPTED, stand_in=stand_ins / "tiny-llama"
    )
    said = f"stand-in: tiny-llama trained in place of {LLAMA}"
    assert job.wait(timeout=120).status == "Completed"
    assert job.stand_in == said
    assert job.executed["stand-in"] == "tiny-llama"
    for field in ("AlgorithmSpecification", "HyperParameters", "InputDataConfig", "Environment"):
        assert job.description[field] == plan.request[field], "AWS would be asked the same"
    log = [line.message for line in job.logs()]
    assert f"ift-local: {said}" in log
    assert any("not followed here" in line and "enable_fsdp=True" in line for line in log)
    assert len(job.metrics()) > 0

    card = ModelCard.read(job.download(tmp_path / "model"))
    assert card is not None
    assert card.base_model_id == LLAMA
    assert card.hyperparameters["lora_r"] == "8", "the spec's default, not our own"

    evaluation = session.evaluate(job, test, max_new_tokens=4)
    assert evaluation.stand_in == said
    assert evaluation.to_dict()["stand_in"] == said
    assert said in str(evaluation)
    assert evaluation.tuned.loss != evaluation.base.loss

    with job.deploy() as endpoint:
        assert endpoint.invoke(test.prompt(test[0]), max_tokens=3).completion_tokens is not None


def test_conversations_train_on_a_model_whose_output_is_not_compressed(
    session: Session, tmp_path: Path
) -> None:
    turns = [{"role": "user", "content": "word"}, {"role": "assistant", "content": "word"}]
    chats = InstructionDataset.from_rows([{"messages": turns}] * 8)
    job = session.fine_tune(
        LLAMA_3, chats, hyperparameters=QUICK, customization=ACCEPTED, stand_in="smollm2-135m-instruct"
    )
    assert job.stand_in == f"stand-in: smollm2-135m-instruct trained in place of {LLAMA_3}"
    assert job.wait(timeout=120).artifact_uri.endswith("/output/model/")
    assert job.description["HyperParameters"]["chat_dataset"] == "True"
    assert (job.download(tmp_path / "model") / "model.safetensors").exists()
    with job.deploy() as endpoint:
        assert endpoint.invoke("word", max_tokens=3).completion_tokens is not None


@pytest.mark.parametrize(
    ("model_id", "stand_in", "answers"),
    [
        ("huggingface-llm-mistral-7b", "tiny-mistral", "MistralForCausalLM"),
        ("huggingface-textgeneration1-gpt-2-xl", "tiny-gpt2", "GPT2LMHeadModel"),
    ],
)
def test_a_model_whose_spec_the_user_brings_trains_on_a_stand_in_of_its_own_architecture(
    session: Session,
    rows: InstructionDataset,
    stand_ins: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    model_id: str,
    stand_in: str,
    answers: str,
) -> None:
    monkeypatch.setenv("IFT_CATALOGUE", str(_own_spec(tmp_path / "models.json", model_id)))
    job = session.fine_tune(
        model_id,
        rows,
        hyperparameters={"epoch": 1},
        customization=Customization(route="jumpstart"),
        stand_in=stand_ins / stand_in,
    )
    assert job.wait(timeout=120).stand_in == f"stand-in: {stand_in} trained in place of {model_id}"
    channels = [channel["ChannelName"] for channel in job.description["InputDataConfig"]]
    assert channels == ["train", "model", "code"]
    config = json.loads((job.download(tmp_path / "model") / "config.json").read_text())
    assert config["architectures"] == [answers]
    with job.deploy() as endpoint:
        assert endpoint.invoke("Repeat the word\n\nx", max_tokens=3).completion_tokens is not None


def _own_spec(path: Path, model_id: str) -> Path:
    """A catalogue file with a training spec; its addresses are made up, so it serves rehearsals alone."""
    spec = {
        "version": "1.0.0",
        "image": "huggingface-pytorch-training:2.0.0-transformers4.28.1-gpu-py310-cu118-ubuntu20.04",
        "script": "made-up/sourcedir.tar.gz",
        "artifact": "made-up/model.tar.gz",
        "default_instance": "ml.g5.12xlarge",
        "instances": ["ml.g5.12xlarge"],
        "container": {
            "sagemaker_program": "transfer_learning.py",
            "sagemaker_submit_directory": "/opt/ml/input/data/code/sourcedir.tar.gz",
        },
    }
    names = [
        {"name": "epoch", "kind": "int", "default": 3, "minimum": 1},
        {"name": "per_device_train_batch_size", "kind": "int", "default": 4, "minimum": 1},
        {"name": "instruction_tuned", "kind": "text", "default": "False", "options": ["True", "False"]},
    ]
    table = {f"jumpstart/{model_id}": {"parameters": names}}
    path.write_text(json.dumps({"launch": {model_id: spec}, "hyperparameters": table}))
    return path


def test_a_job_without_a_stand_in_is_refused_with_the_remedy(
    session: Session, rows: InstructionDataset
) -> None:
    with pytest.raises(AWSError, match=r"JumpStart's own weights are not on this machine.*--stand-in"):
        session.fine_tune(LLAMA, rows, hyperparameters=QUICK, customization=ACCEPTED)


def test_weights_that_the_user_puts_where_jumpstart_keeps_them_need_no_stand_in(
    session: Session, rows: InstructionDataset, stand_ins: Path
) -> None:
    asked = session.plan(LLAMA, rows, customization=ACCEPTED).request["InputDataConfig"]
    (uri,) = [c["DataSource"]["S3DataSource"]["S3Uri"] for c in asked if c["ChannelName"] == "model"]
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    s3 = local.boto3_session().client("s3")
    s3.create_bucket(Bucket=bucket)
    for path in (stand_ins / "tiny-llama").iterdir():
        s3.upload_file(str(path), bucket, f"{key}/{path.name}")
    job = session.fine_tune(LLAMA, rows, hyperparameters=QUICK, customization=ACCEPTED)
    assert job.wait(timeout=120).stand_in == ""
    assert "stand-in" not in job.executed


def test_another_stand_in_is_another_job(session: Session, rows: InstructionDataset, stand_ins: Path) -> None:
    names = set()
    for stand_in in ("tiny-llama", "tiny-mistral"):
        job = session.fine_tune(
            LLAMA, rows, hyperparameters=QUICK, customization=ACCEPTED, stand_in=stand_ins / stand_in
        )
        names.add(job.name)
        job.stop()
    assert len(names) == 2


def test_plain_text_is_refused_before_anything_is_sent(
    session: Session, stand_ins: Path, tmp_path: Path
) -> None:
    text = tmp_path / "rows.jsonl"
    text.write_text('{"text": "once upon a time"}\n')
    with pytest.raises(UnsupportedError, match="domain adaptation"):
        session.fine_tune(LLAMA, text, customization=ACCEPTED, stand_in=stand_ins / "tiny-llama")
    assert not list(session.training_jobs())


def test_the_command_line_names_the_stand_in(root: Path, stand_ins: Path, tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"instruction": "a", "output": f"b{n}"}) + "\n" for n in range(8)))
    words = ["train", LLAMA, str(rows), "--target", "local", "--accept-eula", "--wait", "--set", "epoch=1"]
    done = CliRunner().invoke(ift, [*words, "--stand-in", str(stand_ins / "tiny-llama")])
    assert done.exit_code == 0, done.output
    assert f"stand-in: tiny-llama trained in place of {LLAMA}" in done.stderr
    shown = CliRunner().invoke(ift, ["jobs", "show", done.stdout.strip(), "--target", "local"])
    assert json.loads(shown.stdout)["Executed"]["stand-in"] == "tiny-llama"
