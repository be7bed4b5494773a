"""How much of many rows may be in memory; the rest is in files."""

from __future__ import annotations

from ift_sagemaker.errors import ConfigError

DEFAULT_MEMORY = 256 << 20
MINIMUM_MEMORY = 1 << 20


def check_memory(memory_bytes: int) -> None:
    """Raises ConfigError for too few bytes to work with."""
    if memory_bytes < MINIMUM_MEMORY:
        raise ConfigError(
            f"memory_bytes is {MINIMUM_MEMORY} or more, got {memory_bytes}",
            field="memory_bytes",
            value=memory_bytes,
            allowed=f"{MINIMUM_MEMORY} or more",
        )
