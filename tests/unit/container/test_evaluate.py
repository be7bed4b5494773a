from __future__ import annotations

import io
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest
import torch

from ift_sagemaker.container.encoding import EncodedRow
from ift_sagemaker.container.evaluate import batches_by_length, read_questions, run
from ift_sagemaker.container.lifecycle import StopRequest
from ift_sagemaker.container.precision import Precision
from ift_sagemaker.container.weights import load_model
from ift_sagemaker.errors import DatasetError, WeightsError
from ift_sagemaker.wire.artifact import ModelCard
from ift_sagemaker.wire.paths import MLPaths
from ift_sagemaker.wire.rows import to_messages, write_rows
from ift_sagemaker.wire.template import PromptTemplate
from tests.unit.container.test_loss import reference_loss
from tests.unit.container.tiny import ROWS, TEMPLATE, encoder, make_model, make_tokenizer, save_base

FLOAT32 = Precision(torch.device("cpu"), torch.float32, "test")


@pytest.fixture
def paths(tmp_path: Path, base_folder: Path) -> MLPaths:
    """An evaluation of the tiny base against another tiny model, unpacked in its channel."""
    found = MLPaths(tmp_path / "ml")
    found.config.mkdir(parents=True)
    found.hyperparameters.write_text(
        json.dumps({"max_new_tokens": "6", "batch_size": "4", "dtype": "float32"})
    )
    found.channel("rows").mkdir(parents=True)
    write_rows(found.channel("rows") / "train.jsonl", ROWS)
    (found.channel("rows") / "template.json").write_text(json.dumps(TEMPLATE))
    found.channel("base").symlink_to(base_folder)
    save_base(found.channel("tuned"), seed=1)
    return found


def evaluate(paths: MLPaths) -> list[dict[str, Any]]:
    run(paths, StopRequest())
    lines = (paths.output_data / "predictions.jsonl").read_text("utf-8").splitlines()
    assert [path.name for path in paths.output_data.iterdir()] == ["predictions.jsonl"]
    return [json.loads(line) for line in lines]


def answers(seed: int, row: EncodedRow) -> tuple[str, bool]:
    prompt = torch.tensor([row.ids[: row.trained[0][0]].tolist()])
    output = make_model(seed).generate(
        input_ids=prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=6, do_sample=False
    )[0, prompt.shape[1] :]
    ended = output[-1].item() == 2
    return make_tokenizer().decode(output, skip_special_tokens=True), ended


def test_both_models_answer_every_row_in_input_order(paths: MLPaths) -> None:
    predictions = evaluate(paths)
    assert [entry["index"] for entry in predictions] == list(range(len(ROWS)))
    for entry, row in zip(predictions, ROWS, strict=True):
        conversation = to_messages(row, PromptTemplate(**TEMPLATE))
        assert entry["instruction"] == row["instruction"]
        assert entry["prompt"] == conversation[0]["content"]
        assert entry["reference"] == row["output"]
        encoded_row = encoder().row(conversation)
        for name, seed in (("base", 0), ("tuned", 1)):
            text, ended = answers(seed, encoded_row)
            part = entry[name]
            assert (part["prediction"], part["ended"]) == (text, ended)
            assert part["tokens"] == encoded_row.trained_count
            assert part["loss"] == pytest.approx(
                reference_loss(make_model(seed), [encoded_row]).item(), rel=1e-4
            )


def test_an_archive_is_judged_as_the_folder_in_it(paths: MLPaths) -> None:
    wanted = evaluate(paths)
    tuned = paths.channel("tuned")
    archive = tuned.parent / "model.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        for path in tuned.iterdir():
            file.add(path, path.name)
    shutil.rmtree(tuned)
    tuned.mkdir()
    archive.rename(tuned / "model.tar.gz")
    assert evaluate(paths) == wanted


@pytest.mark.parametrize("name", ["../evil", "/evil"])
def test_an_archive_that_reaches_outside_is_refused(paths: MLPaths, name: str) -> None:
    with tarfile.open(paths.channel("tuned") / "model.tar.gz", "w:gz") as file:
        file.addfile(tarfile.TarInfo(name), io.BytesIO())
    with pytest.raises(WeightsError):
        run(paths, StopRequest())


def test_an_archive_of_pickled_weights_is_refused(paths: MLPaths, tmp_path: Path) -> None:
    torch.save({}, tmp_path / "pytorch_model.bin")
    with tarfile.open(paths.channel("tuned") / "model.tar.gz", "w:gz") as file:
        file.add(tmp_path / "pytorch_model.bin", "pytorch_model.bin")
    with pytest.raises(WeightsError, match="pickled"):
        run(paths, StopRequest())


def test_an_unfinished_model_is_judged_with_a_warning(
    paths: MLPaths, capsys: pytest.CaptureFixture[str]
) -> None:
    ModelCard("tiny", "merged", True, 3, 9, None, {}, {}).write(paths.channel("tuned"))
    assert len(evaluate(paths)) == len(ROWS)
    out = capsys.readouterr().out
    assert "WARNING: the tuned model is unfinished (3 of 9 steps)" in out
    assert "evaluated base 4/10" in out
    assert "evaluated tuned 10/10" in out


def test_chat_rows_are_asked_all_but_their_last_turn(paths: MLPaths) -> None:
    chat = [
        {"messages": [{"role": role, "content": content} for role, content in turns]}
        for turns in (
            [("user", "a"), ("assistant", "b")],
            [("system", "s"), ("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")],
        )
    ]
    (paths.channel("rows") / "template.json").unlink()
    write_rows(paths.channel("rows") / "train.jsonl", chat)
    first, second = evaluate(paths)
    assert (first["instruction"], first["prompt"], first["reference"]) == (None, "a", "b")
    assert second["prompt"] == "system: s\nuser: a\nassistant: b\nuser: c"
    assert second["base"]["tokens"] == 2


def test_rows_without_an_answer_are_named_at_once(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "a"}]
    write_rows(tmp_path / "train.jsonl", [{"messages": turns}] * 2)
    with pytest.raises(DatasetError, match=r"row 1: .*row 2: "):
        read_questions(tmp_path)


def test_batches_hold_neighbours_in_length() -> None:
    assert batches_by_length([5, 9, 1, 7, 8], 2) == [[1, 4], [3, 0], [2]]


def test_the_base_that_is_judged_is_the_channels(paths: MLPaths) -> None:
    model = load_model(paths.channel("base"), FLOAT32)
    assert torch.equal(model.lm_head.weight, make_model(0).lm_head.weight)
