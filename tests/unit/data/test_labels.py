"""Labels keep their names and numbers on the way to a classifier and back."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from ift_sagemaker.data import convert
from ift_sagemaker.data.reading.containers import read_files
from ift_sagemaker.data.rows.finding import Findings
from ift_sagemaker.data.rows.labels import label_map
from ift_sagemaker.errors import ConfigError, DatasetError

TEXTS = [("fine, really", "good"), ("bad\nvery", "bad"), ("ok", "good")]


def _csv(path: Path, rows: Sequence[tuple[str, ...]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def _data(place: Path) -> list[list[str]]:
    with (place / "data.csv").open(newline="") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize("header", [("text", "label"), ("label", "text")])
def test_texts_and_labels_are_known_by_their_header_in_any_order(
    tmp_path: Path, header: tuple[str, str]
) -> None:
    rows = [pair if header[0] == "text" else (pair[1], pair[0]) for pair in TEXTS]
    done = convert(_csv(tmp_path / "rows.csv", [header, *rows]), tmp_path / "out", to="bert")
    assert done.format == "label"
    assert _data(tmp_path / "out") == [["0", "fine, really"], ["1", "bad\nvery"], ["0", "ok"]]


def test_texts_and_numbered_labels_need_no_header(tmp_path: Path) -> None:
    convert(_csv(tmp_path / "rows.csv", [("ok", "1"), ("no", "0")]), tmp_path / "out", to="bert")
    assert _data(tmp_path / "out") == [["1", "ok"], ["0", "no"]]


def test_labels_that_are_numbers_keep_them(tmp_path: Path) -> None:
    convert(_csv(tmp_path / "rows.csv", [("2", "c"), ("0", "a"), ("1", "b")]), tmp_path / "out", to="bert")
    assert [row[0] for row in _data(tmp_path / "out")] == ["2", "0", "1"]


def test_a_gap_among_numbered_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="none is 1"):
        convert(_csv(tmp_path / "rows.csv", [("2", "c"), ("0", "a")]), tmp_path / "out", to="bert")
    assert not (tmp_path / "out").exists()


def test_labels_that_are_numbers_in_part_are_refused(tmp_path: Path) -> None:
    rows = [("label", "text"), ("0", "a"), ("good", "b")]
    with pytest.raises(DatasetError, match="some labels are numbers and some are not"):
        convert(_csv(tmp_path / "rows.csv", rows), tmp_path / "out", to="bert")


def test_a_map_decides_the_numbers_and_refuses_any_other_label(tmp_path: Path) -> None:
    source = _csv(tmp_path / "rows.csv", [("text", "label"), *TEXTS])
    convert(source, tmp_path / "out", to="bert", labels={"bad": 0, "good": 1})
    assert [row[0] for row in _data(tmp_path / "out")] == ["1", "0", "1"]
    assert json.loads((tmp_path / "out" / "labels.json").read_text()) == {"0": "bad", "1": "good"}
    with pytest.raises(DatasetError, match="'bad', which the map does not have"):
        convert(source, tmp_path / "other", to="bert", labels={"good": 0})


def test_a_written_folder_is_read_back_with_the_names_of_its_labels(tmp_path: Path) -> None:
    convert(_csv(tmp_path / "rows.csv", [("text", "label"), *TEXTS]), tmp_path / "out", to="bert")
    findings = Findings("")
    back = [(row["text"], row["label"]) for _, row in read_files(tmp_path / "out", findings)]
    assert (back, findings.errors) == (TEXTS, ())


@pytest.mark.parametrize("values", [{"a": 0, "b": 2}, {"a": "x"}, {}, {"a": 0, "b": 0}])
def test_a_map_with_gaps_or_repeats_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="0 to n - 1"):
        label_map(values)


def test_a_map_may_be_written_as_labels_json_is() -> None:
    assert label_map({"0": "bad", "1": "good"}) == {"bad": 0, "good": 1}
