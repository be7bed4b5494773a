"""Whole runs in this process, on a model of two layers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, get_cosine_schedule_with_warmup

from ift_sagemaker.container.batching import plan_steps
from ift_sagemaker.container.learner import prepare_learner
from ift_sagemaker.container.lifecycle import StopRequest
from ift_sagemaker.container.precision import Precision
from ift_sagemaker.container.serve import ServedModel
from ift_sagemaker.container.train import fit, make_schedule, run
from ift_sagemaker.container.weights import load_tuned
from ift_sagemaker.errors import ConfigError, DatasetError, TemplateMismatchError
from ift_sagemaker.wire.artifact import ModelCard
from ift_sagemaker.wire.hyperparameters import parse_hyperparameters
from ift_sagemaker.wire.metrics import parse_metrics
from ift_sagemaker.wire.paths import MLPaths
from ift_sagemaker.wire.rows import to_messages
from ift_sagemaker.wire.template import PromptTemplate, chat_fingerprint
from tests.unit.container.test_loss import reference_loss
from tests.unit.container.tiny import CHATML, QUICK, ROWS, TEMPLATE, encoder, make_job

FLOAT32 = Precision(torch.device("cpu"), torch.float32, "test")


class StopAt(StopRequest):
    """As if SIGTERM came in the given step (0: before the first)."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self._left = step

    def defer(self) -> None:
        super().defer()
        self._left -= 1
        if self._left == 0:
            self.receive()


@pytest.fixture
def job(tmp_path: Path, base_folder: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a job and gives its folders and metric lines."""

    def start(
        values: Mapping[str, str] | None = None, *, name: str = "ml", stop: StopRequest | None = None
    ) -> tuple[MLPaths, list[dict[str, float]]]:
        root = tmp_path / name
        if not root.exists():
            make_job(root, QUICK | dict(values or {}), base_folder)
        capsys.readouterr()
        run(MLPaths(root), stop or StopRequest(), {"IFT_MODEL_ID": "tiny-llama"})
        lines = map(parse_metrics, capsys.readouterr().out.splitlines())
        return MLPaths(root), [line for line in lines if line is not None]

    return start


def losses(lines: list[dict[str, float]]) -> list[float]:
    return [line["train_loss"] for line in lines if "train_loss" in line]


def tuned(paths: MLPaths) -> tuple[Any, ModelCard]:
    card = ModelCard.read(paths.model)
    assert card is not None
    model, _ = load_tuned(paths.model, paths.channel("model"), FLOAT32)
    return model, card


def test_a_run_leaves_a_merged_model_that_learnt(job: Any) -> None:
    paths, lines = job({"epoch": "8"})
    model, card = tuned(paths)
    assert losses(lines)[-1] < 0.5 * losses(lines)[0]
    assert (card.form, card.unfinished, card.steps, card.total_steps) == ("merged", False, 24, 24)
    assert (card.base_model_id, card.template) == ("tiny-llama", TEMPLATE)
    assert card.hyperparameters["lora_r"] == "4"
    assert {"torch", "transformers", "peft", "ift_sagemaker"} <= set(card.versions)
    row = encoder().row(to_messages(ROWS[0], PromptTemplate(**TEMPLATE)))
    base = AutoModelForCausalLM.from_pretrained(paths.channel("model"))
    assert reference_loss(model, [row]) < 0.5 * reference_loss(base, [row])


def test_every_step_reports_all_its_metrics(job: Any) -> None:
    _, lines = job()
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    for line in lines:
        assert line["total_steps"] == 6
        assert line["tokens_per_second"] > 0
        assert line["peak_memory_gib"] > 0
        assert {"epoch", "learning_rate", "gradient_norm", "eta_seconds"} <= set(line)
    assert lines[-1]["epoch"] == 2
    assert lines[-1]["eta_seconds"] == 0


def test_full_fine_tuning_takes_the_steps_of_a_plain_loop(job: Any, base_folder: Path) -> None:
    """Uneven rows, two passes a step, a short last step: still the mean over each step's tokens."""
    values = {"peft_type": "None", "warmup_ratio": "0.2", "seed": "5"}
    paths, lines = job(values)
    model = AutoModelForCausalLM.from_pretrained(base_folder, dtype=torch.float32).train()
    rows = [encoder().row(to_messages(row, PromptTemplate(**TEMPLATE))) for row in ROWS]
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.0)
    schedule = get_cosine_schedule_with_warmup(optimizer, round(0.2 * 6), 6)
    wanted = []
    for step in plan_steps(len(rows), 4, 6, seed=5):
        loss = reference_loss(model, [rows[number] for number in step])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        wanted.append(loss.item())
    assert losses(lines) == pytest.approx(wanted, rel=1e-3)
    assert tuned(paths)[1].form == "merged"


def test_equal_seeds_give_equal_weights_and_other_seeds_do_not(job: Any) -> None:
    first, lines = job(name="first")
    second, again = job(name="second")
    other, different = job({"seed": "11"}, name="other")
    assert losses(lines) == losses(again) != losses(different)
    weights = [(paths.model / "model.safetensors").read_bytes() for paths in (first, second, other)]
    assert weights[0] == weights[1] != weights[2]


def test_a_resumed_run_takes_the_very_same_steps(job: Any, tmp_path: Path, base_folder: Path) -> None:
    values = {"save_steps": "2", "epoch": "3", "lora_dropout": "0.1"}
    whole, lines = job(values, name="whole")
    again = make_job(tmp_path / "again", QUICK | values, base_folder)
    stopped, early = job(name="again", stop=StopAt(4))
    assert [path.name for path in sorted(stopped.checkpoints.iterdir())] == ["checkpoint-2", "checkpoint-4"]
    resumed, late = job(name="again")
    assert losses(early + late) == losses(lines)
    assert [line["step"] for line in late] == [5, 6, 7, 8, 9]
    assert (again / "model" / "model.safetensors").read_bytes() == (
        whole.model / "model.safetensors"
    ).read_bytes()
    assert not tuned(resumed)[1].unfinished


def test_a_finished_run_started_again_only_saves(job: Any) -> None:
    job()
    paths, lines = job()
    assert losses(lines) == []
    assert not tuned(paths)[1].unfinished


def test_a_torn_checkpoint_is_not_resumed(job: Any) -> None:
    paths, lines = job()
    (paths.checkpoints / "checkpoint-6" / "optimizer.pt").unlink()
    _, again = job()
    assert losses(again) == losses(lines)


def test_checkpoints_of_other_rows_are_refused(job: Any) -> None:
    paths, _ = job()
    text = (paths.channel("training") / "train.jsonl").read_text().replace("green", "teal")
    (paths.channel("training") / "train.jsonl").write_text(text)
    with pytest.raises(ConfigError, match="other rows"):
        job()


def test_sigterm_in_a_step_leaves_a_checkpoint_and_a_loadable_unfinished_model(job: Any) -> None:
    paths, lines = job({"epoch": "50", "validation_split_ratio": "0.2"}, stop=StopAt(2))
    assert len(losses(lines)) == 2
    _, card = tuned(paths)
    assert (card.unfinished, card.steps) == (True, 2)
    assert (paths.checkpoints / "checkpoint-2" / "optimizer.pt").exists()
    assert [path.name for path in paths.checkpoints.iterdir()] == ["checkpoint-2"]


class StoppingPasses(list[Any]):
    """Validation passes during the first of which SIGTERM comes."""

    def __init__(self, passes: Iterable[Any], stop: StopRequest) -> None:
        super().__init__(passes)
        self._stop = stop

    def __iter__(self) -> Iterator[Any]:
        self._stop.receive()
        return super().__iter__()


def test_sigterm_cuts_an_evaluation_short_and_the_next_step_is_the_last(
    tmp_path: Path, base_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = parse_hyperparameters(QUICK | {"validation_split_ratio": "0.2", "epoch": "9"})
    paths, stop = MLPaths(make_job(tmp_path / "ml", {}, base_folder)), StopRequest()
    learner = prepare_learner(base_folder, values)
    rows = [encoder().row(to_messages(row, PromptTemplate(**TEMPLATE))) for row in ROWS]
    schedule = make_schedule(rows[2:], rows[:2], values, torch.device("cpu"))
    watched = replace(schedule, validation=StoppingPasses(schedule.validation, stop))
    assert fit(learner, watched, values, "print", paths, stop) == schedule.steps_per_epoch + 1
    assert "eval_loss" not in capsys.readouterr().out


def test_a_loss_that_is_not_a_number_fails_the_job(job: Any, tmp_path: Path, base_folder: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(base_folder, broken)
    model = AutoModelForCausalLM.from_pretrained(broken)
    model.model.norm.weight.data.fill_(torch.inf)
    model.save_pretrained(broken)
    make_job(tmp_path / "ml", QUICK, broken)
    with pytest.raises(ConfigError, match="lower learning_rate"):
        job()


def test_held_out_rows_are_judged_at_each_epochs_end(job: Any) -> None:
    _, lines = job({"validation_split_ratio": "0.2"})
    judged = [(line["epoch"], line["eval_loss"]) for line in lines if "eval_loss" in line]
    assert [epoch for epoch, _ in judged] == [1, 2]
    assert judged[1][1] != judged[0][1]


def test_the_adapter_can_be_kept_apart(job: Any) -> None:
    merged_paths, _ = job(name="merged")
    paths, _ = job({"merge_weights": "False"}, name="adapter")
    files = {path.name for path in paths.model.iterdir()}
    assert {"adapter_model.safetensors", "adapter_config.json", "tokenizer.json", "ift_model.json"} <= files
    assert "model.safetensors" not in files
    (apart, card), (whole, _) = tuned(paths), tuned(merged_paths)
    assert card.form == "adapter"
    ids = torch.tensor([[5, 6, 7]])
    torch.testing.assert_close(apart(input_ids=ids).logits, whole(input_ids=ids).logits, rtol=0.1, atol=0.1)


def test_gradient_checkpointing_changes_no_loss(job: Any) -> None:
    _, lines = job({"lora_dropout": "0"}, name="plain")
    _, again = job({"lora_dropout": "0", "gradient_checkpointing": "True"}, name="lean")
    assert losses(again) == pytest.approx(losses(lines), rel=1e-5)


def test_max_steps_ends_the_run(job: Any) -> None:
    paths, lines = job({"max_steps": "4"})
    assert len(losses(lines)) == 4
    assert not tuned(paths)[1].unfinished


def test_rows_that_are_too_long_fail_the_job_before_it_trains(job: Any) -> None:
    with pytest.raises(DatasetError, match="max_input_length"):
        job({"max_input_length": "16"})


def test_a_model_that_would_not_know_where_to_end_is_told_of(
    tmp_path: Path, base_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    endless = tmp_path / "endless"
    shutil.copytree(base_folder, endless)
    settings = json.loads((endless / "tokenizer_config.json").read_text())
    settings["chat_template"] = settings["chat_template"].replace("<|im_end|>", "")
    (endless / "tokenizer_config.json").write_text(json.dumps(settings))
    root = make_job(tmp_path / "ml", QUICK | {"max_steps": "1"}, endless)
    run(MLPaths(root), StopRequest(), {})
    assert "WARNING: 10 rows do not close with a token that generation stops at" in capsys.readouterr().out


@pytest.mark.parametrize("merge", ["True", "False"])
def test_a_model_is_not_served_with_another_chat_template_than_it_learnt(job: Any, merge: str) -> None:
    paths, _ = job({"merge_weights": merge, "epoch": "1"})
    environment = {"IFT_DTYPE": "float32", "IFT_BASE_MODEL_DIR": str(paths.channel("model"))}
    ServedModel(paths.model, environment).load()
    card = ModelCard.read(paths.model)
    assert card is not None
    assert card.template_fingerprint == PromptTemplate(**TEMPLATE).fingerprint
    assert card.chat_template_fingerprint == chat_fingerprint(CHATML)
    config = paths.model / "tokenizer_config.json"
    config.write_text(config.read_text().replace("assistant", "helper"))
    with pytest.raises(TemplateMismatchError, match="trained with the chat template"):
        ServedModel(paths.model, environment).load()
