"""`ift plan`: the estimate for people, for machines, and as a limit."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ift_sagemaker import local
from ift_sagemaker.catalog.models import FoundationModel
from ift_sagemaker.catalog.weights import WeightsCache
from ift_sagemaker.cli.tree import ift

MODEL = "smollm2-135m-instruct"
_IN_ORDER = ("  model", "  where", "  cost", "Estimate, not a quote", "  uploads", "  request")


class _Files:
    """A place that has the files of a checkpoint, all empty."""

    name = "test"

    def fetch(self, model: FoundationModel, folder: Path, tell: Callable[[str], None]) -> str:
        folder.mkdir()
        for name in ("config.json", "tokenizer.json", "model.safetensors"):
            (folder / name).write_text("{}")
        return "test"


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    WeightsCache(tmp_path / "cache", fetchers=[_Files()]).pull(MODEL)
    root = tmp_path / "aws"
    yield {
        "IFT_CACHE": str(tmp_path / "cache"),
        "IFT_LOCAL_ROOT": str(root),
        "IFT_CONFIG": str(tmp_path / "config.yaml"),
        "IFT_TARGET": "local",
    }
    local.reset(root)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"instruction": "a", "output": "b"}\n' * 50)
    return path


def _plan(environment: dict[str, str], rows: Path, *words: str) -> Result:
    return CliRunner().invoke(ift, ["plan", MODEL, str(rows), *words], env=environment)


def test_a_plan_shows_its_estimate_and_the_request(environment: dict[str, str], rows: Path) -> None:
    result = _plan(environment, rows)
    assert result.exit_code == 0, result.stderr
    assert "Estimate, not a quote" in result.stdout
    assert "not calibrated on this machine" in result.stdout
    assert "CreateTrainingJob" in result.stdout


def test_the_estimate_is_there_for_machines(environment: dict[str, str], rows: Path) -> None:
    plain = json.loads(_plan(environment, rows, "--json").stdout)
    assert plain["estimate"]["tokens"]["rows"] == 50
    assert plain["estimate"]["usd"]["low"] <= plain["estimate"]["usd"]["likely"]


def test_a_limit_that_cannot_be_kept_exits_3_and_says_the_likely_cost(
    environment: dict[str, str], rows: Path
) -> None:
    result = _plan(environment, rows, "--max-cost", "0.01")
    assert result.exit_code == 3
    assert "likely to cost" in result.stderr
    assert result.stdout == ""


def test_a_limit_reaches_the_request(environment: dict[str, str], rows: Path) -> None:
    request = json.loads(_plan(environment, rows, "--max-cost", "2", "--json").stdout)["request"]
    assert request["StoppingCondition"]["MaxRuntimeInSeconds"] < 3600 * 2 / 1.408


def test_offers_name_instance_types(environment: dict[str, str], rows: Path) -> None:
    assert "ml.g5.xlarge" in _plan(environment, rows, "--offers").stdout
    found = json.loads(_plan(environment, rows, "--offers", "--json").stdout)
    assert found[0]["usable"]
    assert found[-1]["refusal"]


def test_offers_are_refused_where_there_is_no_estimate(environment: dict[str, str], rows: Path) -> None:
    words = ["plan", "openai-reasoning-gpt-oss-20b", str(rows), "--offers"]
    result = CliRunner().invoke(ift, words, env=environment)
    assert result.exit_code == 3
    assert "there is none for a run by another route" in result.stderr
    assert result.stdout == ""


def test_what_would_run_where_and_for_how_much_comes_before_all_else(
    environment: dict[str, str], rows: Path
) -> None:
    lines = _plan(environment, rows).stdout.splitlines()
    assert "nothing was started" in lines[1]
    found = [next(n for n, line in enumerate(lines) if word in line) for word in _IN_ORDER]
    assert found == sorted(found)


def test_counting_all_rows_is_refused_where_none_are_counted(environment: dict[str, str], rows: Path) -> None:
    words = ["plan", "openai-reasoning-gpt-oss-20b", str(rows), "--exact"]
    result = CliRunner().invoke(ift, words, env=environment)
    assert result.exit_code == 3
    assert "no tokens are counted" in result.stderr
