"""The command line: what goes in, what comes out on which stream, with which exit code."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from ift_sagemaker import errors
from ift_sagemaker.cli.exits import exit_code
from ift_sagemaker.cli.options import parse_settings
from ift_sagemaker.cli.tree import RootGroup, ift

EXITS = [
    (errors.TrainingJobFailed("x", name="n", status="Failed"), 1),
    (errors.TrainingJobStopped("x", name="n", status="Stopped"), 1),
    (errors.EndpointFailed("x", name="n", status="Failed"), 1),
    (errors.InvocationError("x", endpoint="e", status_code=500), 1),
    (errors.CostLimitError("x", max_cost=1.0, estimate={}), 3),
    (errors.DatasetError("x"), 3),
    (errors.TemplateError("x"), 3),
    (errors.ConfigError("x"), 3),
    (errors.ModelNotFoundError("x", model_id="m"), 3),
    (errors.WeightsError("x"), 3),
    (errors.AttachError("x", name="n"), 3),
    (errors.UnsupportedError("x", feature="f"), 3),
    (errors.CredentialsError("x"), 4),
    (errors.QuotaError("x"), 4),
    (errors.ThrottledError("x"), 4),
    (errors.WaitTimeout("x", name="n", status="s", seconds=1), 5),
    (errors.GateError("x", missed=["y"]), 6),
]


@pytest.mark.parametrize(("error", "code"), EXITS, ids=lambda case: type(case).__name__)
def test_an_error_has_its_exit_code(error: errors.IFTError, code: int) -> None:
    assert exit_code(error) == code


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """An environment without credentials, configuration or target."""
    return {
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "",
        "AWS_SECRET_ACCESS_KEY": "",
        "AWS_PROFILE": "",
        "IFT_CONFIG": str(tmp_path / "config.yaml"),
        "IFT_TARGET": "",
        "IFT_ROLE": "",
        "IFT_CACHE": str(tmp_path / "cache"),
        "IFT_LOCAL_ROOT": str(tmp_path / "aws"),
    }


def _run(environment: dict[str, str], *words: str) -> Result:
    blank = {key: (value or None) for key, value in environment.items()}
    return CliRunner().invoke(ift, list(words), env=blank)


def test_no_credentials_and_no_target_names_both_ways_out(bare: dict[str, str]) -> None:
    result = _run(bare, "jobs", "list")
    assert result.exit_code == 4
    assert "aws configure" in result.stderr
    assert "--target local" in result.stderr
    assert result.stdout == ""


def test_an_unknown_model_names_the_closest(bare: dict[str, str], tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"instruction": "a", "output": "b"}\n')
    result = _run(bare, "train", "smollm2-135m-instrct", str(rows), "--target", "local")
    assert result.exit_code == 3
    assert "smollm2-135m-instruct" in result.stderr


def test_bad_rows_are_all_named_with_file_line_and_field(bare: dict[str, str], tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"instruction": "a", "output": "b"}\nnot json\n{"instruction": "", "output": "b"}\n')
    result = _run(bare, "train", "smollm2-135m-instruct", str(rows), "--target", "local")
    assert result.exit_code == 3
    assert "rows.jsonl:2" in result.stderr
    assert "rows.jsonl:3" in result.stderr
    assert "instruction" in result.stderr


def test_a_hyperparameter_out_of_range_is_told_before_anything_is_sent(
    bare: dict[str, str], tmp_path: Path
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"instruction": "a", "output": "b"}\n')
    result = _run(bare, "train", "smollm2-135m-instruct", str(rows), "--target", "local", "--set", "epoch=0")
    assert result.exit_code == 3
    assert "1 to 1000" in result.stderr
    assert not (tmp_path / "cache").exists(), "weights were fetched before the hyperparameters were checked"


def test_wrong_usage_exits_2(bare: dict[str, str]) -> None:
    assert _run(bare, "train").exit_code == 2
    assert _run(bare, "nonsense").exit_code == 2
    assert _run(bare, "jobs", "nonsense").exit_code == 2


def test_a_damaged_configuration_file_is_named(bare: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("rol: x\n")
    result = _run(bare, "jobs", "list")
    assert result.exit_code == 3
    assert "rol" in result.stderr


def test_models_are_listed_for_machines(bare: dict[str, str]) -> None:
    result = _run(bare, "models", "list", "--json")
    assert result.exit_code == 0
    assert "smollm2-135m-instruct" in result.stdout


def test_families_are_compared_on_the_terminal(bare: dict[str, str]) -> None:
    result = _run(bare, "models", "compare", "llama", "bert")
    assert result.exit_code == 0
    assert "Meta" in result.stdout
    assert "Google" in result.stdout


@pytest.mark.parametrize(("command", "goes_on"), [("train", True), ("jobs", True), ("data", False)])
def test_an_interrupt_exits_130_and_says_what_goes_on_if_anything_does(command: str, goes_on: bool) -> None:
    @click.group(cls=RootGroup, commands_at={})
    def root() -> None:
        """Stands for the tree."""

    def interrupted(context: click.Context) -> None:
        raise KeyboardInterrupt

    root.get_command = lambda ctx, name: click.Command(name, callback=lambda: interrupted(ctx))  # type: ignore[assignment,method-assign]
    result = CliRunner().invoke(root, [command])
    assert result.exit_code == 130
    assert result.stderr.startswith("interrupted")
    assert ("goes on" in result.stderr) == goes_on


def test_an_answer_is_streamed_or_printed_as_json_not_both(bare: dict[str, str]) -> None:
    result = _run(bare, "invoke", "e", "hi", "--stream", "--json")
    assert result.exit_code == 2
    assert "--stream and --json" in result.stderr


def test_settings_are_name_value_pairs() -> None:
    assert parse_settings(("a=1", "b=x=y")) == {"a": "1", "b": "x=y"}
    for wrong in (("a",), ("=1",), ("a=1", "a=2")):
        with pytest.raises(errors.ConfigError):
            parse_settings(wrong)


def test_an_unknown_profile_is_a_matter_of_credentials(bare: dict[str, str]) -> None:
    result = _run({**bare, "AWS_PROFILE": "nobody"}, "jobs", "list")
    assert result.exit_code == 4
    assert "nobody" in result.stderr or "credentials" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_gate_on_an_instruction_that_no_row_has_is_told_before_anything_runs(
    bare: dict[str, str], tmp_path: Path
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"instruction": "a", "output": "b"}\n')
    result = _run(bare, "evaluate", "job", str(rows), "--target", "local", "--require", "loss[zzz]<1")
    assert result.exit_code == 3
    assert "zzz" in result.stderr


def test_a_column_mapping_is_named_by_its_own_option(bare: dict[str, str], tmp_path: Path) -> None:
    result = _run(bare, "data", "check", str(tmp_path / "rows.jsonl"), "--field", "nonsense")
    assert result.exit_code == 3
    assert "--field" in result.stderr


def test_rows_are_converted_and_what_was_written_is_told(bare: dict[str, str], tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"question": "a", "answer": "b"}\n')
    result = _run(bare, "data", "convert", str(rows), str(tmp_path / "out"), "--to", "jumpstart-instruction")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"1 question-answer rows -> {tmp_path / 'out'}: template.json, train.jsonl\n"


def test_a_conversion_that_would_lose_turns_ends_with_3_and_their_lines(
    bare: dict[str, str], tmp_path: Path
) -> None:
    turns = [{"role": role, "content": "x"} for role in ("user", "assistant") * 2]
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"messages": turns}) + "\n")
    result = _run(bare, "data", "convert", str(rows), str(tmp_path / "out"), "--to", "dolly")
    assert result.exit_code == 3
    assert "rows.jsonl:1: dolly cannot hold 2 of 4 turns" in result.stderr


def test_targets_are_listed_with_how_many_rows_they_take(bare: dict[str, str]) -> None:
    listed = json.loads(_run(bare, "data", "targets", "--json").stdout)
    assert {row["target"]: row["rows"] for row in listed}["openai"] == "10 to any number"


def test_models_are_listed_by_family_route_task_and_whether_they_live(bare: dict[str, str]) -> None:
    lines = CliRunner().invoke(ift, ["models", "list", "--family", "mistral"], env=bare).stdout.splitlines()
    assert len(lines) == 1 + 3
    every = CliRunner().invoke(ift, ["models", "list", "--route", "bedrock", "--json"], env=bare)
    alive = CliRunner().invoke(ift, ["models", "list", "--route", "bedrock", "--tunable", "--json"], env=bare)
    gone = {m["model_id"] for m in json.loads(every.stdout)} - {
        m["model_id"] for m in json.loads(alive.stdout)
    }
    assert "amazon.nova-canvas-v1:0" in gone
    task = CliRunner().invoke(ift, ["models", "list", "--task", "text-to-image"], env=bare)
    assert "stable-diffusion" in task.stdout
    wrong = CliRunner().invoke(ift, ["models", "list", "--family", "mistrl"], env=bare)
    assert wrong.exit_code == 3
    assert "mistral" in wrong.stderr


def test_models_are_searched_and_shown(bare: dict[str, str]) -> None:
    found = CliRunner().invoke(ift, ["models", "search", "gpt-oss 20b"], env=bare)
    assert "openai-reasoning-gpt-oss-20b" in found.stdout
    loose = CliRunner().invoke(ift, ["models", "search", "llama", "3.1", "70B"], env=bare)
    assert "meta-textgeneration-llama-3-1-70b" in loose.stdout
    assert "llama-2-7b" not in loose.stdout
    none = CliRunner().invoke(ift, ["models", "search", "llama", "zzz"], env=bare)
    assert (none.exit_code, none.stdout) == (0, "")
    assert "no model has all of: llama zzz" in none.stderr
    shown = json.loads(CliRunner().invoke(ift, ["models", "show", "gpt-4.1-2025-04-14"], env=bare).stdout)
    assert shown["roads"][0]["legacy_date"] == "2027-01-06"


def test_the_users_own_rows_are_listed_and_a_wrong_file_ends_with_3(
    bare: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "models.yaml"
    path.write_text("models: [{model_id: me/x, family: mine, developer: me, roads: [{route: container}]}]")
    listed = CliRunner().invoke(
        ift, ["models", "list", "--family", "mine"], env=bare | {"IFT_CATALOGUE": str(path)}
    )
    assert listed.stdout.splitlines()[1].startswith("me/x")
    path.write_text("models: [{model_id: me/x}]")
    wrong = CliRunner().invoke(ift, ["models", "list"], env=bare | {"IFT_CATALOGUE": str(path)})
    assert wrong.exit_code == 3
    assert "a new model needs family" in wrong.stderr


def test_a_comparison_is_printed_as_markdown_or_written_as_a_page(
    bare: dict[str, str], tmp_path: Path
) -> None:
    text = CliRunner().invoke(ift, ["models", "compare", "llama", "--markdown"], env=bare).stdout
    assert text.startswith("# Foundation models")
    page = tmp_path / "page.html"
    told = CliRunner().invoke(ift, ["models", "compare", "--html", str(page)], env=bare)
    assert told.stdout.strip() == str(page)
    assert page.read_text("utf-8").startswith("<!DOCTYPE html>")
    nowhere = CliRunner().invoke(ift, ["models", "compare", "--html", str(tmp_path / "no" / "p")], env=bare)
    assert nowhere.exit_code == 3


def test_the_plan_of_another_route_is_shown_and_a_closed_one_is_refused(
    bare: dict[str, str], tmp_path: Path
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"instruction": "a", "output": "b"}\n')
    environment = bare | {"IFT_TARGET": "local"}
    gemma = ["plan", "huggingface-llm-gemma-2b-instruct", str(rows), "--set", "epoch=2", "--json"]
    refused = CliRunner().invoke(ift, gemma, env=environment)
    assert refused.exit_code == 3
    assert "gemmaTerms.txt" in refused.stderr
    shown = json.loads(CliRunner().invoke(ift, [*gemma, "--accept-eula"], env=environment).stdout)
    assert shown["route"] == "jumpstart"
    assert shown["requests"][0]["parameters"]["HyperParameters"]["epoch"] == "2"
    closed = CliRunner().invoke(ift, ["plan", "amazon.nova-canvas-v1:0", str(rows)], env=environment)
    assert closed.exit_code == 3
    assert "2026-09-30" in closed.stderr
    train = CliRunner().invoke(ift, ["train", "huggingface-reasoning-qwen3-06b", str(rows)], env=environment)
    assert train.exit_code == 3
    assert "not run yet" in train.stderr


def test_a_training_spec_of_the_users_own_makes_a_model_plannable(
    bare: dict[str, str], tmp_path: Path
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"instruction": "a", "output": "b"}\n')
    path = tmp_path / "models.json"
    spec = {
        "version": "2.22.0",
        "image": "huggingface-pytorch-training:2.0.0-transformers4.28.1-gpu-py310-cu118-ubuntu20.04",
        "script": "mine/sourcedir.tar.gz",
        "artifact": "mine/model.tar.gz",
        "default_instance": "ml.g5.12xlarge",
        "instances": ["ml.g5.12xlarge"],
    }
    path.write_text(json.dumps({"launch": {"huggingface-llm-mistral-7b": spec}}))
    environment = bare | {"IFT_TARGET": "local", "IFT_CATALOGUE": str(path)}
    words = ["plan", "huggingface-llm-mistral-7b", str(rows), "--set", "peft_type=lora", "--json"]
    request = json.loads(CliRunner().invoke(ift, words, env=environment).stdout)["requests"][0]["parameters"]
    channels = {
        c["ChannelName"]: c["DataSource"]["S3DataSource"]["S3Uri"] for c in request["InputDataConfig"]
    }
    assert set(channels) == {"train", "model", "code"}
    assert channels["code"] == "s3://jumpstart-cache-prod-us-east-1/mine/sourcedir.tar.gz"
    assert request["HyperParameters"]["peft_type"] == "lora"
