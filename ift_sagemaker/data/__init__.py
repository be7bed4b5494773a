"""Instruction data: reading, checking, converting, splitting, and the bytes it becomes on the wire."""

from ift_sagemaker.data.conversion import Conversion, convert
from ift_sagemaker.data.dataset import InstructionDataset
from ift_sagemaker.data.finding import Finding
from ift_sagemaker.data.formats import FORMATS
from ift_sagemaker.data.rendering import RenderedRow
from ift_sagemaker.data.report import DatasetReport, LengthStats
from ift_sagemaker.data.statistics import DatasetStats
from ift_sagemaker.data.targets import TARGETS
from ift_sagemaker.data.tokenizer import ModelTokenizer
from ift_sagemaker.data.tokens import TokenCounter

__all__ = [
    "FORMATS",
    "TARGETS",
    "Conversion",
    "DatasetReport",
    "DatasetStats",
    "Finding",
    "InstructionDataset",
    "LengthStats",
    "ModelTokenizer",
    "RenderedRow",
    "TokenCounter",
    "convert",
]
