"""The folders SageMaker promises a container, under one root.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ML_ROOT = "/opt/ml"
ML_ROOT_VARIABLE = "IFT_ML_ROOT"

CHANNEL_PROGRAM = "program"
CHANNEL_MODEL = "model"
CHANNEL_TRAINING = "training"
CHANNEL_VALIDATION = "validation"
CHANNEL_TUNED = "tuned"
CHANNEL_BASE = "base"
CHANNEL_ROWS = "rows"

PROGRAM_FILE = "ift_program.pyz"
MODEL_ID_VARIABLE = "IFT_MODEL_ID"
"""Environment variable of a job that names the base model."""
DATA_MANIFEST_VARIABLE = "IFT_DATA_MANIFEST"
"""Environment variable of a job with the S3 address of its rows' manifest, whose hash is in its name."""
VALIDATION_MANIFEST_VARIABLE = "IFT_VALIDATION_MANIFEST"


@dataclass(frozen=True)
class MLPaths:
    """Paths of the container contract. `root` is `/opt/ml` but where no namespace can provide it."""

    root: Path

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> MLPaths:
        return cls(Path(environment.get(ML_ROOT_VARIABLE, ML_ROOT)))

    @property
    def config(self) -> Path:
        return self.root / "input" / "config"

    @property
    def hyperparameters(self) -> Path:
        return self.config / "hyperparameters.json"

    @property
    def input_data_config(self) -> Path:
        return self.config / "inputdataconfig.json"

    @property
    def resource_config(self) -> Path:
        return self.config / "resourceconfig.json"

    @property
    def data(self) -> Path:
        return self.root / "input" / "data"

    def channel(self, name: str) -> Path:
        return self.data / name

    @property
    def model(self) -> Path:
        return self.root / "model"

    @property
    def output_data(self) -> Path:
        return self.root / "output" / "data"

    @property
    def failure(self) -> Path:
        return self.root / "output" / "failure"

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"
