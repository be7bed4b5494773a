"""The doctor's verdicts on the terminal."""

from __future__ import annotations

from rich.table import Table

from ift_sagemaker.doctor.report import DoctorReport


def doctor_table(report: DoctorReport) -> Table:
    """One line a check; what to do stands below what was found."""
    table = Table("state", "check", "found, and what to do", title=f"{report.target}: {report.summary}")
    for check in report.checks:
        told = f"{check.found}\n-> {check.remedy}" if check.remedy else check.found
        table.add_row(check.state, check.name, told)
    return table
