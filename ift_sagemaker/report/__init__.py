"""Plain data made readable: terminal tables and progress."""

from __future__ import annotations

from ift_sagemaker.report.comparison import comparison_html, comparison_markdown
from ift_sagemaker.report.dataset_page import dataset_page
from ift_sagemaker.report.dataset_text import dataset_report
from ift_sagemaker.report.doctor import doctor_table
from ift_sagemaker.report.estimates import estimate_table, offers_table
from ift_sagemaker.report.tables import (
    comparison_table,
    comparison_tables,
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
    "dataset_page",
    "dataset_report",
    "doctor_table",
    "endpoints_table",
    "estimate_table",
    "evaluation_table",
    "jobs_table",
    "offers_table",
    "targets_table",
    "to_text",
    "width",
]
