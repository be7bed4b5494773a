from __future__ import annotations

import pytest
import torch

from ift_sagemaker.container.precision import bfloat16_speedup, choose_precision, peak_memory_gib

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("factor", "dtype"), [(4.0, torch.bfloat16), (1.0, torch.float32), (0.1, torch.float32)]
)
def test_bfloat16_is_chosen_where_it_is_clearly_faster(factor: float, dtype: torch.dtype) -> None:
    assert choose_precision("auto", CPU, lambda: factor).dtype == dtype


@pytest.mark.parametrize("name", ["bfloat16", "float32"])
def test_a_precision_asked_for_is_not_probed(name: str) -> None:
    chosen = choose_precision(name, CPU, lambda: pytest.fail("probed"))
    assert (chosen.name, chosen.reason) == (name, "asked for")


def test_the_probe_measures_a_positive_factor() -> None:
    assert bfloat16_speedup() > 0


def test_peak_memory_is_that_of_this_process_in_gib() -> None:
    assert 0.05 < peak_memory_gib(CPU) < 24
