"""The program of a data job on one host: it does what it was dealt, and says why it could not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ift_sagemaker.data import check
from ift_sagemaker.data.checking.check import Check
from ift_sagemaker.data.checking.report_reading import report_of
from ift_sagemaker.data.sharding.order import Piece, WorkOrder
from ift_sagemaker.data.sharding.shards import main
from ift_sagemaker.wire.program import data_program

ROWS = "".join(json.dumps({"instruction": f"Question {n % 7}?", "output": "yes"}) + "\n" for n in range(9))


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of processing of a host that was dealt one of two objects."""
    monkeypatch.setenv("IFT_ML_ROOT", str(tmp_path))
    folder = tmp_path / "processing"
    for name in ("input/order", "input/rows-1", "output"):
        (folder / name).mkdir(parents=True)
    pieces = tuple(Piece(f"s3://b/{name}.jsonl", f"rows-1/{name}.jsonl", "alpaca") for name in "ab")
    order = WorkOrder("s3://b/", pieces, "openai")
    (folder / "input" / "order" / "order.json").write_bytes(order.to_bytes())
    (folder / "input" / "rows-1" / "b.jsonl").write_text(ROWS)
    return folder


def test_a_host_examines_what_it_was_dealt_and_leaves_nothing_else(host: Path) -> None:
    assert main(["check"]) == 0
    assert [path.name for path in (host / "output").iterdir()] == ["000001"]
    assert sorted(path.name for path in host.iterdir()) == ["input", "output"]


def test_a_report_is_refused_while_a_piece_was_examined_by_nobody(host: Path) -> None:
    assert main(["check"]) == 0
    (host / "output").rename(host / "input" / "states")
    (host / "output").mkdir()
    assert main(["merge"]) == 1
    message = (host.parent / "output" / "message").read_text()
    assert message == "no host has examined s3://b/a.jsonl"


def test_rows_that_are_wrong_leave_their_findings_and_no_part(host: Path) -> None:
    (host / "input" / "rows-1" / "a.jsonl").write_text(ROWS + '{"instruction": 1}\n')
    assert main(["convert"]) == 0
    assert [path.name for path in (host / "output" / "parts").iterdir()] == ["000001"]
    result = json.loads((host / "output" / "results" / "000000.json").read_text())
    assert (result["rows"], result["error_count"]) == (10, 2)
    assert {(error["path"], error["line"]) for error in result["errors"]} == {("s3://b/a.jsonl", 10)}


def test_what_is_asked_for_in_other_words_is_a_usage_error(host: Path) -> None:
    assert main(["else"]) == 2


def test_an_image_without_a_package_is_told_by_its_name(tmp_path: Path) -> None:
    """Without the packages of this environment: -S leaves them out."""
    program = tmp_path / "ift_program.pyz"
    program.write_bytes(data_program().content)
    done = subprocess.run(
        [sys.executable, "-S", "-E", str(program), "check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("ift: this image has no Python package ")


def test_a_report_comes_back_from_its_plain_data(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(ROWS + "no row\n")
    for report in (check(path, target="openai", against=path), check(_empty(tmp_path))):
        assert report_of(json.loads(json.dumps(report.to_dict()))) == report


def test_a_part_may_have_no_rows_where_a_source_may_not(tmp_path: Path) -> None:
    with Check().examined(_empty(tmp_path), part=True) as part:
        assert part.report().error_count == 0
    assert check(_empty(tmp_path)).rules == {"empty-file": 1}


def _empty(folder: Path) -> Path:
    path = folder / "empty.jsonl"
    path.touch()
    return path
