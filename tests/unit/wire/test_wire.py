"""What both sides of the wire agree on."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from ift_sagemaker.errors import ConfigError, DatasetError, TemplateError, WeightsError
from ift_sagemaker.wire.archive import ArchiveLimits, unpack
from ift_sagemaker.wire.artifact import CARD_FILE, FORM_MERGED, ModelCard
from ift_sagemaker.wire.hyperparameters import (
    EVALUATION_HYPERPARAMETERS,
    TRAINING_HYPERPARAMETERS,
    parse_hyperparameters,
    to_wire,
)
from ift_sagemaker.wire.metrics import METRIC_DEFINITIONS, format_metrics, parse_metrics
from ift_sagemaker.wire.paths import MLPaths
from ift_sagemaker.wire.rows import encode_row, read_channel, read_rows, to_messages, write_rows
from ift_sagemaker.wire.template import ALPACA, PromptTemplate

# -- templates


def test_a_template_renders_the_named_fields() -> None:
    template = PromptTemplate("{question} in {{braces}}", "{answer}")
    row = {"question": "Why", "answer": "Because"}
    assert template.render_prompt(row) == "Why in {braces}"
    assert template.render_completion(row) == "Because"
    assert template.fields == ("question", "answer")


def test_an_empty_input_leaves_no_blank_lines_behind() -> None:
    assert ALPACA.render_prompt({"instruction": "Say hello", "input": ""}) == "Say hello"
    assert ALPACA.render_prompt({"instruction": "Say hello", "input": None}) == "Say hello"


@pytest.mark.parametrize("text", ["{", "{}", "{0.real}", "{a!r}", "{a:>9}", "{a[0]}", "{a.b}"])
def test_a_placeholder_can_only_be_a_field_name(text: str) -> None:
    with pytest.raises(TemplateError):
        PromptTemplate(text, "{output}")


def test_a_completion_without_a_field_is_refused() -> None:
    with pytest.raises(TemplateError, match="same answer"):
        PromptTemplate("{a}", "always this")


def test_a_template_without_its_column_names_both() -> None:
    with pytest.raises(TemplateError, match="context") as caught:
        PromptTemplate("{context}", "{output}").check(["instruction", "output"])
    assert caught.value.field == "context"
    with pytest.raises(TemplateError):
        PromptTemplate("{context}", "{output}").render_prompt({"output": "x"})


def test_a_template_survives_its_json() -> None:
    template = PromptTemplate("Frage: {frage}\n", "{antwort}")
    assert PromptTemplate.from_json(template.to_json()) == template
    assert PromptTemplate.from_json(template.to_json()).fingerprint == template.fingerprint


@pytest.mark.parametrize("text", ["no json", "[]", '{"prompt": "a"}', '{"prompt": "a", "completion": 1}'])
def test_a_damaged_template_file_is_refused(text: str) -> None:
    with pytest.raises(TemplateError):
        PromptTemplate.from_json(text)


# -- rows


def test_rows_survive_the_wire(tmp_path: Path) -> None:
    rows = [{"instruction": "Grüße", "output": "\u2028 fine"}, {"instruction": "b", "output": "c"}]
    assert write_rows(tmp_path / "train.jsonl", rows) == 2
    assert list(read_rows(tmp_path / "train.jsonl")) == rows


def test_equal_rows_are_equal_bytes_whatever_their_key_order() -> None:
    assert encode_row({"a": 1, "b": 2}) == encode_row({"b": 2, "a": 1})


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"a": 1}\n\n{"a": \n', encoding="utf-8")
    with pytest.raises(DatasetError, match=r"rows\.jsonl:3"):
        list(read_rows(tmp_path / "rows.jsonl"))
    (tmp_path / "rows.jsonl").write_text("[1]\n", encoding="utf-8")
    with pytest.raises(DatasetError, match="not a JSON object"):
        list(read_rows(tmp_path / "rows.jsonl"))


def test_a_channel_is_its_files_in_name_order_and_its_template(tmp_path: Path) -> None:
    write_rows(tmp_path / "b.jsonl", [{"n": 2}])
    write_rows(tmp_path / "a.jsonl", [{"n": 1}])
    assert read_channel(tmp_path) == ([{"n": 1}, {"n": 2}], None)
    (tmp_path / "template.json").write_text(ALPACA.to_json(), encoding="utf-8")
    assert read_channel(tmp_path)[1] == ALPACA


def test_a_row_becomes_chat_messages() -> None:
    row = {"instruction": "Add", "input": "1+1", "output": "2"}
    assert to_messages(row, ALPACA) == [
        {"role": "user", "content": "Add\n\n1+1"},
        {"role": "assistant", "content": "2"},
    ]
    chat = {"messages": [{"role": "user", "content": "hi", "name": "dropped"}]}
    assert to_messages(chat, None) == [{"role": "user", "content": "hi"}]


# -- hyperparameters


@pytest.mark.parametrize("table", [TRAINING_HYPERPARAMETERS, EVALUATION_HYPERPARAMETERS])
def test_every_default_is_allowed_and_survives_the_wire(table: Any) -> None:
    defaults = parse_hyperparameters({}, table)
    assert parse_hyperparameters(to_wire(defaults), table) == defaults


def test_a_wrong_name_gets_the_nearest_right_one() -> None:
    with pytest.raises(ConfigError, match="did you mean learning_rate") as caught:
        parse_hyperparameters({"learning_rat": 1})
    assert caught.value.field == "learning_rat"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epoch", 0),
        ("epoch", "two"),
        ("epoch", 1.5),
        ("epoch", True),
        ("learning_rate", "nan"),
        ("learning_rate", 2),
        ("merge_weights", "maybe"),
        ("peft_type", "qlora"),
    ],
)
def test_a_wrong_value_names_its_range(name: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_hyperparameters({name: value})
    assert caught.value.field == name
    assert caught.value.allowed in str(caught.value)


def test_booleans_travel_as_jumpstart_spells_them() -> None:
    assert to_wire({"merge_weights": True, "learning_rate": 5e-4, "epoch": 2}) == {
        "merge_weights": "True",
        "learning_rate": "0.0005",
        "epoch": "2",
    }


# -- metrics


def test_a_metric_line_is_read_back() -> None:
    line = format_metrics({"step": 3, "train_loss": 1.25e-5, "learning_rate": 0.0005})
    assert parse_metrics("2026 " + line) == {"step": 3, "train_loss": 1.25e-5, "learning_rate": 0.0005}
    assert parse_metrics("loss=3") is None


def test_the_regexes_sent_to_sagemaker_find_every_metric() -> None:
    import re

    line = format_metrics({entry["Name"]: index + 0.5 for index, entry in enumerate(METRIC_DEFINITIONS)})
    for index, entry in enumerate(METRIC_DEFINITIONS):
        found = re.search(entry["Regex"], line)
        assert found is not None, entry
        assert float(found[1]) == index + 0.5


def test_a_metric_nobody_reads_is_refused() -> None:
    with pytest.raises(KeyError, match="perplexity"):
        format_metrics({"perplexity": 1.0})


# -- artefacts


def test_a_model_card_survives_its_file(tmp_path: Path) -> None:
    card = ModelCard("m", FORM_MERGED, unfinished=True, steps=3, total_steps=9, template=None,
                     hyperparameters={"epoch": "1"}, versions={"torch": "2"})  # fmt: skip
    card.write(tmp_path)
    assert ModelCard.read(tmp_path) == card
    (tmp_path / CARD_FILE).write_text("{}", encoding="utf-8")
    with pytest.raises(WeightsError, match="damaged"):
        ModelCard.read(tmp_path)


def test_a_folder_without_a_card_has_none(tmp_path: Path) -> None:
    assert ModelCard.read(tmp_path) is None


def test_paths_follow_the_root_of_the_environment(tmp_path: Path) -> None:
    assert str(MLPaths.from_environment({}).model) == "/opt/ml/model"
    paths = MLPaths.from_environment({"IFT_ML_ROOT": str(tmp_path)})
    assert paths.channel("training") == tmp_path / "input" / "data" / "training"


# -- archives


def _archive(path: Path, members: list[tuple[tarfile.TarInfo, bytes]]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def _member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def test_an_archive_is_unpacked(tmp_path: Path) -> None:
    path = _archive(tmp_path / "m.tar.gz", [(_member("a/b.json"), json.dumps({}).encode())])
    unpack(path, tmp_path / "out")
    assert (tmp_path / "out" / "a" / "b.json").read_text() == "{}"


@pytest.mark.parametrize(
    "member",
    [
        _member("../outside"),
        _member("/etc/absolute"),
        _member("link", tarfile.SYMTYPE, "/etc/passwd"),
        _member("hard", tarfile.LNKTYPE, "../x"),
        _member("device", tarfile.CHRTYPE),
        _member("fifo", tarfile.FIFOTYPE),
    ],
    ids=lambda member: str(member.name),
)
def test_an_archive_that_reaches_outside_is_refused(member: tarfile.TarInfo, tmp_path: Path) -> None:
    path = _archive(tmp_path / "m.tar.gz", [(member, b"")])
    with pytest.raises(WeightsError):
        unpack(path, tmp_path / "out")
    assert not (tmp_path / "outside").exists()


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    path = _archive(tmp_path / "m.tar.gz", [(_member("zeros"), bytes(8 * 2**20))])
    with pytest.raises(WeightsError, match="bytes"):
        unpack(path, tmp_path / "out")
    many = _archive(tmp_path / "n.tar.gz", [(_member(f"f{n}"), b"") for n in range(5)])
    with pytest.raises(WeightsError, match="members"):
        unpack(many, tmp_path / "out2", ArchiveLimits(members=4))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_truncated_archive_is_refused(share: float, tmp_path: Path) -> None:
    import random

    content = random.Random(0).randbytes(200_000)
    path = _archive(tmp_path / "m.tar.gz", [(_member("weights"), content)])
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(WeightsError, match="damaged"):
        unpack(path, tmp_path / "out")
