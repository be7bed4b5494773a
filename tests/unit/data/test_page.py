"""A report as HTML shows what the report has, and shares never as more or less than they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ift_sagemaker.data import InstructionDataset
from ift_sagemaker.data.checking.page import chosen, plot
from ift_sagemaker.data.checking.report import Bin, blocks, share_text
from ift_sagemaker.data.rows.finding import Finding


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0.0%"), (0.0002, "<0.1%"), (0.5, "50.0%"), (0.9996, ">99.9%"), (1, "100.0%")],
)
def test_few_are_not_shown_as_none_and_not_all_not_as_all(share: float, text: str) -> None:
    assert share_text(share) == text


def test_bars_are_as_high_as_their_counts_and_small_ones_are_seen() -> None:
    bins = [Bin(1, 2, 1000), Bin(2, 3, 500), Bin(3, 4, 0), Bin(4, 6, 1)]
    heights = re.findall(r'height="([\d.]+)">', plot(bins, "Prompt"))
    assert heights == ["100", "50", "0", "1"]
    assert blocks(bins) == "█▄ ▁"


def test_of_many_findings_the_first_of_each_rule_are_shown() -> None:
    findings = [Finding("p", n, "", "duplicate", "m", severity="warning") for n in range(50)]
    findings.append(Finding("p", 99, "", "secret", "m", severity="warning"))
    shown = chosen(findings, 10)
    assert [finding.line for finding in shown] == [*range(9), 99]


def test_a_notebook_shows_figures_and_findings_escaped() -> None:
    rows = [{"instruction": f"<i>{n}</i>", "output": "<b>yes</b>" if n % 2 else "no"} for n in range(6)]
    html = InstructionDataset.from_rows([*rows, rows[1]]).check()._repr_html_()
    assert "&lt;b&gt;yes&lt;/b&gt;" in html
    assert "is the same as line 2" in html
    assert "<b>yes" not in html
    assert "<i>" not in html


def test_lengths_that_would_be_one_bar_are_said_and_not_drawn() -> None:
    rows = [{"instruction": "x" * (3 + n), "output": "yes"} for n in range(4)]
    html = InstructionDataset.from_rows(rows).check()._repr_html_()
    assert "<p>3 in every row</p>" in html
    assert "3 to 6, median 4, mean 4.5, 95 % within 6; the scale is logarithmic" in html
    assert html.count('<svg class="tall"') == 1
    longer = [{**row, "output": "y" * 33 + row["instruction"]} for row in rows]
    html = InstructionDataset.from_rows(longer).check()._repr_html_()
    assert "<p>36 to 39, median 37, mean 37.5, 95 % within 39</p>" in html


def test_a_long_path_is_parted_between_its_words(tmp_path: Path) -> None:
    path = tmp_path / "my_rows-1.jsonl"
    path.write_text('{"instruction": "a", "output": "b"}\n')
    html = InstructionDataset.read(path).check()._repr_html_()
    assert "/<wbr>my_<wbr>rows-<wbr>1<wbr>.jsonl</h1>" in html
