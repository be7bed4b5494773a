"""Why a job or endpoint is as it is, in plain words: known failures, what they mean, what to type next."""

from __future__ import annotations

from ift_sagemaker.diagnosis.diagnosing import Cause, Diagnosis, Evidence, diagnose

__all__ = ["Cause", "Diagnosis", "Evidence", "diagnose"]
