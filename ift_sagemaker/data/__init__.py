"""Instruction data: reading, checking and splitting rows, and the bytes they become on the wire."""

from ift_sagemaker.data.dataset import InstructionDataset
from ift_sagemaker.data.finding import Finding
from ift_sagemaker.data.report import DatasetReport, LengthStats

__all__ = ["DatasetReport", "Finding", "InstructionDataset", "LengthStats"]
