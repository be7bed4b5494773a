"""The engines of the tier `engine`: which there are, with which images, and a container to look into."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from functools import cache

from ift_sagemaker.local.running.engines import Engine
from ift_sagemaker.local.running.images import SERVE_STAND_IN, TRAIN_STAND_IN

TESTED = ("podman", "docker")
REQUIRED = "IFT_REQUIRE_ENGINES"
"""Set where a missing engine must fail the tests: with it none is skipped."""


@cache
def missing(name: str) -> str | None:
    """Why an engine cannot be tested here, None where it can."""
    engine = Engine(name, seconds=30)
    if not engine.works():
        return f"{name} is not installed or does not answer"
    lacking = [image for image in (TRAIN_STAND_IN, SERVE_STAND_IN) if engine.image_id(image) is None]
    if lacking:
        return f"{name} has no {' and no '.join(lacking)}: make images ENGINE={name}"
    return None


def required() -> bool:
    return os.environ.get(REQUIRED) == "1"


def run(engine: Engine, *words: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
    """One command of an engine, with its output."""
    return subprocess.run(
        engine.command(*words), capture_output=True, text=True, timeout=seconds, check=False
    )


SHUT: Sequence[str] = (
    *("--pull=never", "--network", "none", "--read-only", "--tmpfs", "/tmp"),  # noqa: S108 - inside
    *("--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--pids-limit", "256"),
    *("--ulimit", "nofile=4096:4096", "--ulimit", "nproc=4096:4096"),
)
"""How a careful user starts a training container by hand."""
