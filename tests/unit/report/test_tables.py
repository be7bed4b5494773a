"""What people read on the terminal."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from ift_sagemaker import catalog
from ift_sagemaker.data import InstructionDataset
from ift_sagemaker.evaluation import Evaluation
from ift_sagemaker.report import (
    comparison_html,
    comparison_markdown,
    comparison_table,
    comparison_tables,
    dataset_report,
    endpoints_table,
    evaluation_table,
    jobs_table,
    to_text,
)

CREATED = datetime(2026, 11, 23, 12, 30, tzinfo=UTC)


def _row(instruction: str | None, tokens: int) -> dict[str, object]:
    side = {"prediction": "a", "loss": 1.0, "tokens": tokens, "ended": True}
    return {
        "index": 0,
        "instruction": instruction,
        "prompt": "p",
        "reference": "a",
        "base": side,
        "tuned": side,
    }


def test_an_evaluation_shows_all_rows_and_each_instruction() -> None:
    text = to_text(evaluation_table(Evaluation.from_predictions([_row("Classify", 2), _row("Count", 2)])))
    assert [name for name in ("(all)", "Classify", "Count") if name in text] == ["(all)", "Classify", "Count"]
    assert "1.000 → 1.000" in text


def test_a_figure_that_is_not_there_is_a_dash() -> None:
    assert "- → -" in to_text(evaluation_table(Evaluation.from_predictions([_row(None, 0)])))


def test_what_rests_on_general_knowledge_is_marked() -> None:
    text = to_text(comparison_table(catalog.compare("bert", features=["Developer", "Commercial Use"])))
    assert "Google" in text
    assert "Google *" not in text
    assert "Yes *" in text


def test_a_comparison_that_is_too_wide_becomes_several_tables() -> None:
    frame = catalog.compare("bert", "llama", "qwen")
    assert len(comparison_tables(frame, 100)) == 2
    assert len(comparison_tables(frame, 20)) == 3
    assert "Primary Use Case" in "".join(to_text(table, 100) for table in comparison_tables(frame, 100))


def test_jobs_and_endpoints_are_listed_with_their_status_in_utc() -> None:
    job = {"TrainingJobName": "ift-a", "TrainingJobStatus": "Failed", "CreationTime": CREATED}
    assert "ift-a" in to_text(jobs_table([job]))
    assert "2026-11-23 12:30:00" in to_text(jobs_table([job]))
    endpoint = {"EndpointName": "ift-b", "EndpointStatus": "InService", "CreationTime": CREATED}
    assert "InService" in to_text(endpoints_table([endpoint]))


def test_a_comparison_in_markdown_has_every_cell_its_source_and_what_it_corrects() -> None:
    text = comparison_markdown(catalog.compare("llama", "bert"))
    assert "| Developer | Meta | Google |" in text
    assert "- Llama (Meta), Commercial Use: was “non-commercial”" in text
    sources = text[text.index("## Sources") :]
    assert sources.count("\n- ") == 2 * 15


def test_a_comparison_in_html_loads_nothing_and_shows_every_source() -> None:
    page = comparison_html(catalog.compare())
    assert not re.search(r"(src|href)=|@import|url\(", page)
    assert page.count("<td") == 15 * 9
    assert page.count("<small>2023: ") == page.count('class="corrected"') >= 15


def test_text_that_looks_like_markup_stays_text() -> None:
    frame = catalog.compare("bert", features=["Developer"])
    frame.loc["Developer", "bert"] = "<script>|a_b*"
    assert "<script>" not in comparison_html(frame)
    assert "\\<script>\\|a\\_b\\*" in comparison_markdown(frame)


def test_a_data_report_prints_itself() -> None:
    report = InstructionDataset.from_rows([{"instruction": "a", "output": "b"}]).check()
    assert dataset_report(report).startswith("<rows>: 1 rows")
