"""The user's own catalogue file."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from ift_sagemaker.catalog.models import models, own_file
from ift_sagemaker.catalog.own import read
from ift_sagemaker.errors import ConfigError

TODAY = date(2026, 11, 24)
ROAD = "[{route: container, techniques: [SFT-LORA]}]"


def _write(folder: Path, text: str, name: str = "models.yaml") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def test_a_row_of_the_users_own_joins_the_catalogue_and_names_its_file_as_source(tmp_path: Path) -> None:
    path = _write(
        tmp_path, f"models: [{{model_id: me/mine, family: mine, developer: me, roads: {ROAD}, tasks: [x]}}]"
    )
    found = {model.model_id: model for model in models(path)}
    assert len(found) == len(models(_write(tmp_path, "{}", "empty.yaml"))) + 1
    mine = found["me/mine"]
    assert (mine.route, mine.display_name, mine.source) == ("container", "me/mine", str(path))
    assert mine.tunable(TODAY)


def test_a_field_of_the_users_own_overrides_the_shipped_one_and_the_rest_stays(tmp_path: Path) -> None:
    path = _write(
        tmp_path,
        '{"models": [{"model_id": "meta-textgeneration-llama-2-7b", "instances": ["ml.g6.12xlarge"]}]}',
        "models.json",
    )
    model = next(m for m in models(path) if m.model_id == "meta-textgeneration-llama-2-7b")
    assert model.instances == ("ml.g6.12xlarge",)
    assert model.gated
    assert model.family == "llama"


def test_a_new_base_for_a_dead_road_needs_only_a_row(tmp_path: Path) -> None:
    row = "{model_id: anthropic.claude-next, family: claude, developer: Anthropic, roads: [{route: bedrock}]}"
    path = _write(tmp_path, f"models: [{row}]")
    model = next(m for m in models(path) if m.model_id == "anthropic.claude-next")
    assert model.tunable(TODAY)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("models: [{model_id: x, colour: red}]", r"models\.0\.colour"),
        ("models: [{model_id: x}]", "a new model needs family, developer, roads"),
        (f"models: [{{model_id: '../x', roads: {ROAD}}}]", r"models\.0\.model_id"),
        ("models: [{model_id: x, roads: [{route: magic}]}]", r"models\.0\.roads\.0\.route"),
        ("models: [{model_id: x, roads: [{route: bedrock, eol_date: soon}]}]", "eol_date"),
        ("models: {a: b}", "models"),
        ("[]", None),
        ("- a", "no mapping"),
        ("models: [", "is not YAML"),
        ("launch: {x: {version: '1'}}", r"launch\.x\.image"),
        ("hyperparameters: {x: {parameters: [{name: a, kind: colour}]}}", "kind"),
    ],
)
def test_a_wrong_file_is_told_what_is_wrong_and_where(tmp_path: Path, text: str, told: str | None) -> None:
    path = _write(tmp_path, text)
    if told is None:
        assert read(path).rows == ()
        return
    with pytest.raises(ConfigError, match=told):
        models(path)


def test_several_wrong_fields_are_told_at_once(tmp_path: Path) -> None:
    path = _write(tmp_path, "models: [{model_id: x, colour: red, gated: perhaps}]")
    with pytest.raises(ConfigError, match=r"(?s)gated.*colour|colour.*gated"):
        models(path)


def test_a_named_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        models(tmp_path / "none.yaml")


def test_the_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    import os

    path = _write(tmp_path, "{}")
    before = len(models(path))
    _write(tmp_path, f"models: [{{model_id: me/mine, family: mine, developer: me, roads: {ROAD}}}]")
    os.utime(path, (2_000_000_000, 2_000_000_000))
    assert len(models(path)) == before + 1


def test_the_variable_names_the_file() -> None:
    assert own_file({"IFT_CATALOGUE": "/x/models.json"}) == Path("/x/models.json")
