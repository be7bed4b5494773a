"""Instruction fine-tuning on AWS SageMaker: one code path, online and offline.

Importing this package does no work: every public name is loaded when it is first used (PEP 562).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "Compute": "ift_sagemaker.plan.spec",
    "Customization": "ift_sagemaker.plan.spec",
    "Endpoint": "ift_sagemaker.endpoint",
    "Evaluation": "ift_sagemaker.evaluation",
    "FineTuneSpec": "ift_sagemaker.plan.spec",
    "InstructionDataset": "ift_sagemaker.data",
    "PromptTemplate": "ift_sagemaker.wire.template",
    "Session": "ift_sagemaker.session",
    "TrainingJob": "ift_sagemaker.training",
    "compare": "ift_sagemaker.catalog",
    "connect": "ift_sagemaker.connection",
    "errors": "ift_sagemaker",
    "models": "ift_sagemaker.catalog",
}

__all__ = sorted(_HOME)  # noqa: PLE0605 - a list of the keys above

if TYPE_CHECKING:
    from ift_sagemaker import errors as errors
    from ift_sagemaker.catalog import compare as compare
    from ift_sagemaker.catalog import models as models
    from ift_sagemaker.connection import connect as connect
    from ift_sagemaker.data import InstructionDataset as InstructionDataset
    from ift_sagemaker.endpoint import Endpoint as Endpoint
    from ift_sagemaker.evaluation import Evaluation as Evaluation
    from ift_sagemaker.plan.spec import Compute as Compute
    from ift_sagemaker.plan.spec import Customization as Customization
    from ift_sagemaker.plan.spec import FineTuneSpec as FineTuneSpec
    from ift_sagemaker.session import Session as Session
    from ift_sagemaker.training import TrainingJob as TrainingJob
    from ift_sagemaker.wire.template import PromptTemplate as PromptTemplate


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    if home == __name__:
        return import_module(f"{home}.{name}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
