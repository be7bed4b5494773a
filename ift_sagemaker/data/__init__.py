"""Instruction data: reading, checking, converting, shaping, and the bytes it becomes on the wire.

What needs numpy is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ift_sagemaker.data.checking.depth import RULES, Depth
from ift_sagemaker.data.checking.report import DatasetReport, LengthStats
from ift_sagemaker.data.converting.conversion import Conversion, convert
from ift_sagemaker.data.converting.targets import TARGETS
from ift_sagemaker.data.dataset import InstructionDataset
from ift_sagemaker.data.rows.finding import Finding
from ift_sagemaker.data.rows.formats import FORMATS
from ift_sagemaker.data.tokens.counter import TokenCounter
from ift_sagemaker.data.tokens.rendering import RenderedRow
from ift_sagemaker.data.tokens.statistics import DatasetStats
from ift_sagemaker.data.tokens.tokenizer import ModelTokenizer

if TYPE_CHECKING:
    from ift_sagemaker.data.checking.check import check as check
    from ift_sagemaker.data.checking.examination import Examination as Examination
    from ift_sagemaker.data.shaping.filtering import Condition as Condition
    from ift_sagemaker.data.shaping.filtering import filter_rows as filter_rows
    from ift_sagemaker.data.shaping.mixing import mix_rows as mix_rows
    from ift_sagemaker.data.shaping.partition import dedupe_rows as dedupe_rows
    from ift_sagemaker.data.shaping.partition import split_rows as split_rows
    from ift_sagemaker.data.shaping.shuffling import sample_rows as sample_rows
    from ift_sagemaker.data.shaping.shuffling import shuffle_rows as shuffle_rows
    from ift_sagemaker.data.shaping.work import Progress as Progress
    from ift_sagemaker.data.shaping.work import Shaped as Shaped

_MODULES = {
    "Condition": "shaping.filtering",
    "Examination": "checking.examination",
    "Progress": "shaping.work",
    "Shaped": "shaping.work",
    "check": "checking.check",
    "dedupe_rows": "shaping.partition",
    "filter_rows": "shaping.filtering",
    "mix_rows": "shaping.mixing",
    "sample_rows": "shaping.shuffling",
    "shuffle_rows": "shaping.shuffling",
    "split_rows": "shaping.partition",
}

__all__ = [
    "FORMATS",
    "RULES",
    "TARGETS",
    "Condition",
    "Conversion",
    "DatasetReport",
    "DatasetStats",
    "Depth",
    "Examination",
    "Finding",
    "InstructionDataset",
    "LengthStats",
    "ModelTokenizer",
    "Progress",
    "RenderedRow",
    "Shaped",
    "TokenCounter",
    "check",
    "convert",
    "dedupe_rows",
    "filter_rows",
    "mix_rows",
    "sample_rows",
    "shuffle_rows",
    "split_rows",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
