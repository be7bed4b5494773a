"""Instruction data: reading, checking, converting, splitting, and the bytes it becomes on the wire."""

from ift_sagemaker.data.conversion import Conversion, convert
from ift_sagemaker.data.dataset import InstructionDataset
from ift_sagemaker.data.finding import Finding
from ift_sagemaker.data.formats import FORMATS
from ift_sagemaker.data.report import DatasetReport, LengthStats
from ift_sagemaker.data.targets import TARGETS

__all__ = [
    "FORMATS",
    "TARGETS",
    "Conversion",
    "DatasetReport",
    "Finding",
    "InstructionDataset",
    "LengthStats",
    "convert",
]
