"""A report from its plain data, as another machine wrote it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ift_sagemaker.data.checking.report import Bin, DatasetReport, FileCounts, LengthStats, TokenCount
from ift_sagemaker.data.rows.finding import Finding


def report_of(value: Mapping[str, Any]) -> DatasetReport:
    """The report whose `to_dict` this is. Raises TypeError or KeyError for anything else."""
    lengths = {
        name: None if value[name] is None else LengthStats(**value[name])
        for name in ("prompt_length", "completion_length")
    }
    bins = {
        name: tuple(Bin(**one) for one in value[name])
        for name in ("prompt_histogram", "completion_histogram")
    }
    whole = {
        **value,
        **lengths,
        **bins,
        "findings": tuple(Finding(**one) for one in value["findings"]),
        "files": tuple(FileCounts(**one) for one in value["files"]),
        "tokens": TokenCount(**value["tokens"]),
        "against": tuple(value["against"]),
        "left_out": tuple(value["left_out"]),
    }
    return DatasetReport(**whole)
