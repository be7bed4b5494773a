"""Foundation models, instances, images and weights: facts as versioned data files, and their look-up."""

from __future__ import annotations

from ift_sagemaker.catalog.comparison import compare
from ift_sagemaker.catalog.models import FoundationModel, Road, WeightsSource, find, models, search

__all__ = ["FoundationModel", "Road", "WeightsSource", "compare", "find", "models", "search"]
