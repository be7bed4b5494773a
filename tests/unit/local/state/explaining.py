"""A store that tells how SQLite goes about each query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ift_sagemaker.local.state.store import Store


class ExplainingStore(Store):
    """Notes how SQLite goes about each query."""

    plans: tuple[str, ...] = ()

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        explained = super().rows(f"EXPLAIN QUERY PLAN {sql}", parameters)
        self.plans += tuple(row[3] for row in explained)
        return super().rows(sql, parameters)
