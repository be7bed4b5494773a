"""Instruction data: reading, checking, converting, splitting, and the bytes it becomes on the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ift_sagemaker.data.conversion import Conversion, convert
from ift_sagemaker.data.dataset import InstructionDataset
from ift_sagemaker.data.depth import RULES, Depth
from ift_sagemaker.data.finding import Finding
from ift_sagemaker.data.formats import FORMATS
from ift_sagemaker.data.report import DatasetReport, LengthStats
from ift_sagemaker.data.targets import TARGETS

if TYPE_CHECKING:
    from ift_sagemaker.data.checking import check
    from ift_sagemaker.data.examination import Examination

__all__ = [
    "FORMATS",
    "RULES",
    "TARGETS",
    "Conversion",
    "DatasetReport",
    "Depth",
    "Examination",
    "Finding",
    "InstructionDataset",
    "LengthStats",
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
