"""Predictions to figures: base against tuned model, and the gate on them. Pure."""

from ift_sagemaker.evaluation.evaluation import METRICS, Evaluation
from ift_sagemaker.evaluation.gate import Requirement, check
from ift_sagemaker.evaluation.scores import Scores

__all__ = ["METRICS", "Evaluation", "Requirement", "Scores", "check"]
