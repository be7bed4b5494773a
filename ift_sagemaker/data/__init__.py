"""Instruction data: reading, checking, converting, shaping, and the bytes it becomes on the wire.

The functions that shape files are loaded when they are first used: they need numpy.
"""

from typing import TYPE_CHECKING, Any

from ift_sagemaker.data.conversion import Conversion, convert
from ift_sagemaker.data.dataset import InstructionDataset
from ift_sagemaker.data.finding import Finding
from ift_sagemaker.data.formats import FORMATS
from ift_sagemaker.data.report import DatasetReport, LengthStats
from ift_sagemaker.data.targets import TARGETS

if TYPE_CHECKING:
    from ift_sagemaker.data.filtering import Condition as Condition
    from ift_sagemaker.data.filtering import filter_rows as filter_rows
    from ift_sagemaker.data.mixing import mix_rows as mix_rows
    from ift_sagemaker.data.partition import dedupe_rows as dedupe_rows
    from ift_sagemaker.data.partition import split_rows as split_rows
    from ift_sagemaker.data.shaping import Progress as Progress
    from ift_sagemaker.data.shaping import Shaped as Shaped
    from ift_sagemaker.data.shuffling import sample_rows as sample_rows
    from ift_sagemaker.data.shuffling import shuffle_rows as shuffle_rows

_SHAPING = {
    "Condition": "filtering",
    "Progress": "shaping",
    "Shaped": "shaping",
    "dedupe_rows": "partition",
    "filter_rows": "filtering",
    "mix_rows": "mixing",
    "sample_rows": "shuffling",
    "shuffle_rows": "shuffling",
    "split_rows": "partition",
}

__all__ = [
    "FORMATS",
    "TARGETS",
    "Condition",
    "Conversion",
    "DatasetReport",
    "Finding",
    "InstructionDataset",
    "LengthStats",
    "Progress",
    "Shaped",
    "convert",
    "dedupe_rows",
    "filter_rows",
    "mix_rows",
    "sample_rows",
    "shuffle_rows",
    "split_rows",
]


def __getattr__(name: str) -> Any:
    if name not in _SHAPING:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_SHAPING[name]}"), name)
