"""Rows that other libraries hold in memory, in plain values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ift_sagemaker.data.rows.instruction import Row

if TYPE_CHECKING:
    import pandas as pd


def rows_of_frame(frame: pd.DataFrame) -> Iterator[Row]:
    """The rows of a frame in plain values; missing ones are left out."""
    import pandas as pd

    for row in frame.astype(object).to_dict("records"):
        yield {
            str(name): value.tolist() if hasattr(value, "tolist") else value
            for name, value in row.items()
            if not (pd.api.types.is_scalar(value) and pd.isna(value))
        }


def present(row: Mapping[str, Any]) -> Row:
    """A row of Hugging Face `datasets` in plain values; arrays and tensors become lists."""
    plain = {str(name): value.tolist() if hasattr(value, "tolist") else value for name, value in row.items()}
    return {name: value for name, value in plain.items() if value is not None}
