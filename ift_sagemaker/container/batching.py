"""Which rows make an optimiser step, and how a step is cut into forward passes without padding much.

Rows of a pass are padded on the right and no attention mask is given: causal attention never looks to the
right, so the pad tokens cannot be seen, whatever the architecture, and rows cannot see each other.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import torch

from ift_sagemaker.container.encoding import EncodedRow

PASS_COST = {"cpu": 48, "cuda": 2048}
"""Padding tokens that cost about as much time as one more forward pass."""


def row_order(rows: int, seed: int) -> Iterator[list[int]]:
    """One shuffled order of all rows after the other, a different one each epoch, without end."""
    epoch = 0
    while True:
        order = list(range(rows))
        random.Random(f"{seed}/{epoch}").shuffle(order)  # noqa: S311 - repeatable, not secret
        yield order
        epoch += 1


def steps_per_epoch(rows: int, rows_per_step: int) -> int:
    return -(-rows // rows_per_step)


def plan_steps(rows: int, rows_per_step: int, total_steps: int, seed: int) -> list[list[int]]:
    """Row numbers of each optimiser step; the last step of an epoch takes what is left."""
    steps: list[list[int]] = []
    for order in row_order(rows, seed):
        for start in range(0, rows, rows_per_step):
            if len(steps) == total_steps:
                return steps
            steps.append(order[start : start + rows_per_step])
    raise AssertionError("row_order does not end")


def split_by_length(lengths: Sequence[int], rows_per_pass: int, pass_cost: int) -> list[list[int]]:
    """Positions in `lengths`, longest first, cut into passes of at most `rows_per_pass` at least cost.

    The cost of a pass is its padded size in tokens plus `pass_cost`.
    """
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))

    @cache
    def best(start: int) -> tuple[int, int]:
        """Least cost of the rows from `start` on, and where their first pass ends."""
        if start == len(order):
            return 0, start
        width = lengths[order[start]]
        ends = range(start + 1, min(start + rows_per_pass, len(order)) + 1)
        return min((width * (end - start) + pass_cost + best(end)[0], end) for end in ends)

    passes, start = [], 0
    while start < len(order):
        end = best(start)[1]
        passes.append(order[start:end])
        start = end
    return passes


def collate(rows: Sequence[EncodedRow]) -> dict[str, torch.Tensor]:
    """One forward pass.

    input_ids [rows, width], zero beyond a row's end; positions [n], where in the flattened input each target
    is predicted; targets [n]; owners [n], the row of each target. The last token of a row predicts nothing
    and is left out.
    """
    width = max(len(row.ids) for row in rows) - 1
    input_ids = torch.zeros(len(rows), width, dtype=torch.long)
    positions: list[int] = []
    targets: list[int] = []
    owners: list[int] = []
    for number, row in enumerate(rows):
        input_ids[number, : len(row.ids) - 1] = torch.tensor(row.ids[:-1].tolist(), dtype=torch.long)
        for start, end in row.trained:
            positions.extend(range(number * width + start - 1, number * width + end - 1))
            targets.extend(row.ids[start:end])
            owners.extend([number] * (end - start))
    return {
        "input_ids": input_ids,
        "positions": torch.tensor(positions, dtype=torch.long),
        "targets": torch.tensor(targets, dtype=torch.long),
        "owners": torch.tensor(owners, dtype=torch.long),
    }


def make_passes(
    rows: Sequence[EncodedRow], rows_per_pass: int, pass_cost: int
) -> list[dict[str, torch.Tensor]]:
    groups = split_by_length([len(row.ids) for row in rows], rows_per_pass, pass_cost)
    return [collate([rows[index] for index in group]) for group in groups]


class StepBatches(torch.utils.data.Dataset):
    """Item i: the forward passes of optimiser step i, with its `targets` and real `tokens` counted."""

    def __init__(
        self, rows: Sequence[EncodedRow], steps: Sequence[Sequence[int]], rows_per_pass: int, pass_cost: int
    ) -> None:
        self._rows, self._steps = rows, steps
        self._rows_per_pass, self._pass_cost = rows_per_pass, pass_cost

    def __len__(self) -> int:
        return len(self._steps)

    def __getitem__(self, index: int) -> dict[str, Any]:
        rows = [self._rows[number] for number in self._steps[index]]
        return {
            "passes": make_passes(rows, self._rows_per_pass, self._pass_cost),
            "targets": sum(row.trained_count for row in rows),
            "tokens": sum(len(row.ids) for row in rows),
        }
