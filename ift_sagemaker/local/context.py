"""Opening a local AWS: its store and its objects, under one root, on one clock."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from ift_sagemaker.errors import ConfigError, StorageError
from ift_sagemaker.local.s3.objects import ObjectStore
from ift_sagemaker.local.state.settings import Context, LocalSettings
from ift_sagemaker.local.state.store import Store

LEAST_FREE_BYTES = 8 * 2**20


def create_context(settings: LocalSettings, clock: Callable[[], float] = time.time) -> Context:
    """Store and objects under `settings.root`, made when absent, wired to one clock.

    Raises StorageError where the root cannot be written, ConfigError where its state is damaged.
    """
    try:
        store = Store(settings.root, clock)
        return Context(settings=settings, store=store, objects=ObjectStore(store), clock=clock)
    except (OSError, sqlite3.OperationalError) as error:
        raise StorageError(
            f"the local AWS cannot keep its state in {settings.root}: {error}. Free some space, or set "
            "IFT_LOCAL_ROOT to a folder that can be written",
            path=str(settings.root),
        ) from error
    except sqlite3.DatabaseError as error:
        raise ConfigError(
            f"the state of the local AWS in {settings.root} is damaged ({error}): remove it with "
            "`ift local reset`, or set IFT_LOCAL_ROOT to another folder",
            field="IFT_LOCAL_ROOT",
            value=str(settings.root),
        ) from error


def has_no_space(root: Path) -> bool:
    """Whether the disk of the root has less left than the state's own log may need."""
    try:
        return shutil.disk_usage(root).free < LEAST_FREE_BYTES
    except OSError:
        return False
