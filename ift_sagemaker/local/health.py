"""What this machine offers to the local AWS, and what runs of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ift_sagemaker.local import administration
from ift_sagemaker.local.running.engines import ENGINES, Engine
from ift_sagemaker.local.state.settings import LocalSettings

_ENDED = frozenset({"Completed", "Failed", "Stopped"})


def health(
    settings: LocalSettings, engine_works: Callable[[str], bool] = lambda name: Engine(name).works()
) -> dict[str, Any]:
    """Runner, container engines that answer, free bytes, and jobs and endpoints that have not ended."""
    status = administration.status(settings)
    living = {**status["jobs"], **status["processing_jobs"], **status["endpoints"]}
    return {
        "root": status["root"],
        "runner": status["runner"],
        "engines": [name for name in ENGINES if engine_works(name)],
        "free_bytes": shutil.disk_usage(_existing(settings.root)).free,
        "running": {name: state for name, state in living.items() if state not in _ENDED},
    }


def _existing(path: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    return next(folder for folder in (path, *path.parents) if folder.exists())
