"""FailureReason for what broke in the local AWS itself."""

from __future__ import annotations

import sqlite3

from ift_sagemaker.local.protocol.errors import DISK_FULL, ServiceError


def broken(error: Exception) -> str:
    """The text for an error that nobody foresaw."""
    full = isinstance(error, OSError) and error.errno in DISK_FULL
    full = full or (isinstance(error, ServiceError) and error.status == 507)
    full = full or (isinstance(error, sqlite3.OperationalError) and "full" in str(error))
    if full:
        return f"InternalServerError: no space left on the disk of the local AWS: {error}"
    return f"InternalServerError: {type(error).__name__}: {error}"
