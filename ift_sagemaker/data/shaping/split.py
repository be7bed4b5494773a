"""A partition of rows by their prompts: who goes where, from sizes alone."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from ift_sagemaker.errors import ConfigError


def split_by_prompt(prompts: Sequence[str], *, test_size: float, seed: int) -> tuple[list[int], list[int]]:
    """(train, test) indexes in order; equal prompts stay together.

    Test has as many rows as whole prompts allow, up to the share rounded to a whole number of rows, at least
    1 and leaving at least 1; where no prompt has so few rows, the prompt with the fewest.
    Prompts are drawn in the order of a hash of seed and prompt, so neither the order of the rows nor the
    version of Python matters.
    """
    check_shares(test_size)
    groups: dict[str, list[int]] = {}
    for index, prompt in enumerate(prompts):
        groups.setdefault(prompt, []).append(index)
    ordered = sorted(groups, key=lambda prompt: draw_key(prompt, seed))
    sides = draw_parts([len(groups[prompt]) for prompt in ordered], [test_size])
    test = {index for prompt, side in zip(ordered, sides, strict=True) if side for index in groups[prompt]}
    return [index for index in range(len(prompts)) if index not in test], sorted(test)


def draw_key(prompt: str, seed: int) -> bytes:
    """32 bytes by which prompts are drawn."""
    return hashlib.sha256(f"{seed}\0{prompt}".encode()).digest()


def check_share(name: str, share: float) -> None:
    """Raises ConfigError for a share that is not over 0 and under 1."""
    if not 0 < share < 1:
        raise ConfigError(
            f"{name} is a share over 0 and under 1, got {share!r}",
            field=name,
            value=share,
            allowed="over 0 and under 1",
        )


def check_shares(test_size: float, validation_size: float | None = None) -> list[float]:
    """The shares of all parts but train; raises ConfigError where they leave nothing for it."""
    named = {"test_size": test_size}
    if validation_size is not None:
        named["validation_size"] = validation_size
    for name, share in named.items():
        check_share(name, share)
    if sum(named.values()) >= 1:
        raise ConfigError(
            f"test_size and validation_size are {sum(named.values()):g} in all: nothing is left for train",
            field="validation_size",
            value=validation_size,
            allowed="under 1 with test_size",
        )
    return list(named.values())


def draw_parts(
    sizes: Sequence[int], shares: Sequence[float], strata: Sequence[int] | None = None
) -> bytearray:
    """The part of each group: 0 for train, else the place of its share, from 1.

    `sizes` are rows a group, in the order in which groups are drawn; a group of none counts for nothing.
    With `strata`, a number a group, each part has of each stratum its share of rows, as whole groups allow.
    Raises ConfigError where there are fewer groups than parts.
    """
    rows, groups = sum(sizes), sum(1 for size in sizes if size)
    if groups <= len(shares):
        raise ConfigError(
            f"{rows} rows with {groups} different prompts cannot be split in {len(shares) + 1}",
            field="test_size",
        )
    sides = bytearray(len(sizes))
    totals = _totals(sizes, strata)
    left = rows
    for part, share in enumerate(shares, start=1):
        others = len(shares) - part + 1
        target = min(max(1, round(rows * share)), left - others)
        left -= _draw(sizes, strata, sides, part, _quotas(totals, share, target), others)
    return sides


def _totals(sizes: Sequence[int], strata: Sequence[int] | None) -> Mapping[int, int]:
    if strata is None:
        return {0: sum(sizes)}
    totals: Counter[int] = Counter()
    for stratum, size in zip(strata, sizes, strict=True):
        totals[stratum] += size
    return totals


def _quotas(totals: Mapping[int, int], share: float, target: int) -> dict[int, int]:
    """Rows of each stratum, `target` in all: whole shares, and the rest to those that lack the most."""
    quotas = {stratum: int(rows * share) for stratum, rows in sorted(totals.items())}
    by_lack = sorted(quotas, key=lambda stratum: quotas[stratum] - totals[stratum] * share)
    missing = target - sum(quotas.values())
    for stratum in by_lack[: max(0, missing)]:
        quotas[stratum] += 1
    return quotas if len(quotas) > 1 else dict.fromkeys(quotas, target)


def _draw(
    sizes: Sequence[int],
    strata: Sequence[int] | None,
    sides: bytearray,
    part: int,
    quotas: dict[int, int],
    others: int,
) -> int:
    """Rows drawn for a part, in order as they fit, the last `others` groups left; never none."""
    kept = set(_last(sizes, sides, others))
    drawn = 0
    for group, size in enumerate(sizes):
        if sides[group] or not size or group in kept:
            continue
        stratum = strata[group] if strata is not None else 0
        if size <= quotas[stratum]:
            quotas[stratum] -= size
            sides[group] = part
            drawn += size
    if drawn:
        return drawn
    free = (group for group, side in enumerate(sides) if not side and sizes[group])
    smallest = min(free, key=lambda group: sizes[group])
    sides[smallest] = part
    return sizes[smallest]


def _last(sizes: Sequence[int], sides: bytearray, count: int) -> Iterator[int]:
    for group in range(len(sizes) - 1, -1, -1):
        if count and sizes[group] and not sides[group]:
            count -= 1
            yield group
