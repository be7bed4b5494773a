"""Instruction data: reading, checking, converting, splitting, and the bytes it becomes on the wire."""

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
    from ift_sagemaker.data.checking import check
    from ift_sagemaker.data.examination import Examination

__all__ = [
    "FORMATS",
    "RULES",
    "TARGETS",
    "Conversion",
    "DatasetReport",
    "DatasetStats",
    "Depth",
    "Examination",
    "Finding",
    "InstructionDataset",
    "LengthStats",
    "ModelTokenizer",
    "RenderedRow",
    "TokenCounter",
    "check",
    "convert",
]


def __getattr__(name: str) -> Any:
    """What brings numpy is imported when it is used."""
    if name == "check":
        from ift_sagemaker.data.checking import check

        return check
    if name == "Examination":
        from ift_sagemaker.data.examination import Examination

        return Examination
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
