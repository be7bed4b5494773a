"""Plain data made readable: terminal tables and progress."""

from __future__ import annotations

from ift_sagemaker.report.comparison import comparison_html, comparison_markdown
from ift_sagemaker.report.tables import (
    comparison_table,
    comparison_tables,
    dataset_report,
    endpoints_table,
    evaluation_table,
    jobs_table,
    targets_table,
    to_text,
    width,
)

__all__ = [
    "comparison_html",
    "comparison_markdown",
    "comparison_table",
    "comparison_tables",
    "dataset_report",
    "endpoints_table",
    "evaluation_table",
    "jobs_table",
    "targets_table",
    "to_text",
    "width",
]
