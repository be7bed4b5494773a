"""Exit codes.

0 done · 1 the job or endpoint failed or was stopped · 2 usage · 3 bad data, model or configuration ·
4 AWS refused (the job goes on) · 5 timed out (the job goes on) · 6 the evaluation gate said no ·
130 interrupted (the job goes on)
"""

from __future__ import annotations

from ift_sagemaker import errors

FAILED, USAGE, BAD_INPUT, REFUSED, TIMED_OUT, GATE, INTERRUPTED = 1, 2, 3, 4, 5, 6, 130

_CODES: tuple[tuple[type[errors.IFTError], int], ...] = (
    (errors.GateError, GATE),
    (errors.WaitTimeout, TIMED_OUT),
    (errors.JobError, FAILED),
    (errors.InvocationError, FAILED),
    (errors.AWSError, REFUSED),
    (errors.IFTError, BAD_INPUT),
)


def exit_code(error: errors.IFTError) -> int:
    return next(code for kind, code in _CODES if isinstance(error, kind))
