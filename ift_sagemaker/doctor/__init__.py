"""What an account or machine lacks for a run: facts are gathered at the edge, verdicts are made of them."""

from __future__ import annotations

from ift_sagemaker.doctor.checks import examine
from ift_sagemaker.doctor.facts import Facts, Unknown
from ift_sagemaker.doctor.report import Check, DoctorReport

__all__ = ["Check", "DoctorReport", "Facts", "Unknown", "examine"]
