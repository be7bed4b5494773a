"""Instruction data: reading, checking, converting, shaping, and the bytes it becomes on the wire.

What needs numpy is imported when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ift_sagemaker.data.conversion import Conversion, convert
from ift_sagemaker.data.dataset import InstructionDataset
from ift_sagemaker.data.depth import RULES, Depth
from ift_sagemaker.data.finding import Finding
from ift_sagemaker.data.formats import FORMATS
from ift_sagemaker.data.rendering import RenderedRow
from ift_sagemaker.data.report import DatasetReport, LengthStats
from ift_sagemaker.data.statistics import DatasetStats
from ift_sagemaker.data.targets import TARGETS
from ift_sagemaker.data.tokenizer import ModelTokenizer
from ift_sagemaker.data.tokens import TokenCounter

if TYPE_CHECKING:
    from ift_sagemaker.data.checking import check as check
    from ift_sagemaker.data.examination import Examination as Examination
    from ift_sagemaker.data.filtering import Condition as Condition
    from ift_sagemaker.data.filtering import filter_rows as filter_rows
    from ift_sagemaker.data.mixing import mix_rows as mix_rows
    from ift_sagemaker.data.partition import dedupe_rows as dedupe_rows
    from ift_sagemaker.data.partition import split_rows as split_rows
    from ift_sagemaker.data.shaping import Progress as Progress
    from ift_sagemaker.data.shaping import Shaped as Shaped
    from ift_sagemaker.data.shuffling import sample_rows as sample_rows
    from ift_sagemaker.data.shuffling import shuffle_rows as shuffle_rows

_MODULES = {
    "Condition": "filtering",
    "Examination": "examination",
    "Progress": "shaping",
    "Shaped": "shaping",
    "check": "checking",
    "dedupe_rows": "partition",
    "filter_rows": "filtering",
    "mix_rows": "mixing",
    "sample_rows": "shuffling",
    "shuffle_rows": "shuffling",
    "split_rows": "partition",
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
