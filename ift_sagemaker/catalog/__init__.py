"""Foundation models, instances, images and weights: facts as versioned data files, and their look-up."""

from __future__ import annotations

from ift_sagemaker.catalog.comparison import compare
from ift_sagemaker.catalog.models import FoundationModel, WeightsSource, find, models

__all__ = ["FoundationModel", "WeightsSource", "compare", "find", "models"]
