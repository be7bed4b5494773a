"""A partition of rows by their prompts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from ift_sagemaker.errors import ConfigError


def split_by_prompt(prompts: Sequence[str], *, test_size: float, seed: int) -> tuple[list[int], list[int]]:
    """(train, test) indexes in order; equal prompts stay together.

    Test has as many rows as whole prompts allow, up to the share rounded to a whole number of rows, at least
    1 and leaving at least 1; where no prompt has so few rows, the prompt with the fewest.
    Prompts are drawn in the order of a hash of seed and prompt, so neither the order of the rows nor the
    version of Python matters.
    """
    if not 0 < test_size < 1:
        raise ConfigError(
            f"test_size is a share over 0 and under 1, got {test_size!r}",
            field="test_size",
            value=test_size,
            allowed="over 0 and under 1",
        )
    groups: dict[str, list[int]] = {}
    for index, prompt in enumerate(prompts):
        groups.setdefault(prompt, []).append(index)
    if len(groups) < 2:
        raise ConfigError(
            f"{len(prompts)} rows with {len(groups)} different prompts cannot be split", field="test_size"
        )
    target = min(max(1, round(len(prompts) * test_size)), len(prompts) - 1)
    test = set(_drawn(groups, target, seed))
    return [index for index in range(len(prompts)) if index not in test], sorted(test)


def _drawn(groups: dict[str, list[int]], target: int, seed: int) -> list[int]:
    ordered = sorted(groups, key=lambda prompt: hashlib.sha256(f"{seed}\0{prompt}".encode()).digest())
    drawn: list[int] = []
    for prompt in ordered[:-1]:
        if len(drawn) + len(groups[prompt]) <= target:
            drawn += groups[prompt]
    return drawn or min((groups[prompt] for prompt in ordered), key=len)
