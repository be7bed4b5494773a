"""The estimate of a run: what it says, what it warns of, and what it does not know."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from ift_sagemaker.catalog.prices import PriceBook
from ift_sagemaker.plan.calibration import Calibration
from ift_sagemaker.plan.estimate import SPOT_SHARE, Estimate, Target
from ift_sagemaker.plan.estimating import estimate
from ift_sagemaker.plan.quantities import Range, usd
from ift_sagemaker.plan.spec import Compute
from ift_sagemaker.plan.tokens import TokenCount, count_tokens
from ift_sagemaker.plan.workload import Training
from tests.unit.plan.workloads import SUBJECT, TOKENS, TRAINING, found, of_size


def _warned(outlook: Estimate) -> str:
    return "\n".join(outlook.warnings)


def test_money_is_seconds_times_instances_times_price_to_the_cent() -> None:
    outlook = found(instance_type="ml.g5.2xlarge")
    assert outlook.usd is not None
    assert outlook.billable_seconds is not None
    for name in ("low", "likely", "high"):
        seconds, sum_ = getattr(outlook.billable_seconds, name), getattr(outlook.usd, name)
        assert sum_ == round(seconds * 1 * 1.515 / 3600, 2)


@pytest.mark.parametrize(
    ("seconds", "count", "price", "sum_"),
    [
        (3600, 1, 1.515, 1.52),
        (1800, 2, 1.515, 1.52),
        (100, 1, 1.408, 0.04),
        (1, 1, 0.2, 0.0),
        (360, 3, 7.0, 2.1),
    ],
)
def test_a_sum_is_rounded_to_the_cent(seconds: float, count: int, price: float, sum_: float) -> None:
    assert usd(seconds, count, price) == sum_


def test_trained_tokens_are_those_of_all_epochs_without_what_is_held_out() -> None:
    assert found().training_tokens.likely == 2 * 2_100_000
    held = found(training=replace(TRAINING, validation_share=0.1))
    assert held.training_tokens.likely == pytest.approx(0.9 * 2 * 2_100_000)


def test_a_number_of_steps_decides_instead_of_epochs() -> None:
    assert found(training=replace(TRAINING, steps=10)).training_tokens.likely == pytest.approx(10 * 8 * 210)


def test_held_out_rows_are_forward_passes_and_cost_less_than_trained_ones() -> None:
    with_rows = found(subject=replace(SUBJECT, held_out=TOKENS)).flops.likely
    assert found().flops.likely < with_rows < 1.6 * found().flops.likely


def test_preparation_and_upload_are_billed_and_waiting_is_not() -> None:
    outlook = found()
    assert outlook.training_seconds is not None
    assert outlook.billable_seconds is not None
    assert outlook.billable_seconds.low > outlook.training_seconds.low + 59
    assert "waiting, not billed" in str(outlook)


def test_small_models_are_held_up_by_launches_not_by_arithmetic() -> None:
    slow, fast = found(instance_type="ml.g5.xlarge"), found(instance_type="ml.p5.4xlarge")
    assert slow.training_seconds is not None
    assert fast.training_seconds is not None
    assert fast.training_seconds.likely > slow.training_seconds.likely / 3, "an H100 has 14 times the peak"


def test_spot_is_a_labelled_guess_that_never_passes_on_demand() -> None:
    outlook = found(spot=True)
    assert outlook.usd is not None
    assert outlook.spot_usd is not None
    assert outlook.spot_usd.high <= outlook.usd.high
    assert outlook.spot_usd.likely == pytest.approx(SPOT_SHARE.likely * outlook.usd.likely, abs=0.01)
    assert "a guess" in str(outlook)
    assert any("spot" in text for text in outlook.assumptions)


def test_no_price_means_no_sum_and_says_where_one_is_known() -> None:
    outlook = found(region="eu-central-1")
    assert (outlook.price, outlook.usd, outlook.ceiling_usd) == (None, None, None)
    assert "no price known for ml.g5.xlarge in eu-central-1" in _warned(outlook)
    assert "1.408 in us-east-1" in _warned(outlook)
    assert "unknown" in str(outlook)


def test_what_is_not_known_of_a_processor_is_not_guessed() -> None:
    outlook = found(instance_type="ml.m5.xlarge")
    assert (outlook.training_seconds, outlook.usd, outlook.confidence) == (None, None, "none")
    assert "no speed known" in _warned(outlook)
    assert outlook.ceiling_usd is not None, "MaxRuntime bounds it all the same"


def test_a_type_outside_the_catalogue_is_called_unknown() -> None:
    outlook = found(instance_type="ml.zz.large")
    assert (outlook.fit, outlook.memory_available, outlook.disk_available) == ("unknown", None, None)
    assert "not in the catalogue" in _warned(outlook)


def test_a_model_that_cannot_fit_is_told_with_what_it_needs() -> None:
    outlook = found(subject=of_size(70_000_000_000))
    assert outlook.fit == "too small"
    assert "does not fit: likely" in _warned(outlook)


@pytest.mark.parametrize(
    ("runtime", "words"), [(14400, ""), (600, "may stop it"), (120, "is likely to stop it")]
)
def test_a_longest_run_that_is_too_short_is_told(runtime: int, words: str) -> None:
    warned = _warned(found(max_runtime_in_seconds=runtime))
    assert words in warned
    assert ("MaxRuntime" in warned) == bool(words)


def test_a_volume_that_is_too_small_is_told_and_local_disks_are_taken_as_they_are() -> None:
    big = of_size(3_000_000_000)
    assert "disk is too small" in _warned(found(big, instance_type="ml.m5.4xlarge", volume_size_in_gb=5))
    assert found(big, instance_type="ml.g5.2xlarge", volume_size_in_gb=5).disk_available == 450e9


def test_arithmetic_that_an_accelerator_lacks_is_told() -> None:
    assert "no bfloat16" in _warned(found(instance_type="ml.g4dn.xlarge"))


def test_rows_longer_than_the_limit_are_told() -> None:
    assert "max_input_length is 128" in _warned(found(training=replace(TRAINING, max_length=128)))


def test_confidence_follows_what_was_counted() -> None:
    assert found().confidence == "medium"
    assert found(subject=of_size(1_000_000_000)).confidence == "low"
    assert found(tokens=replace(TOKENS, counted=False)).confidence == "low"


def _local(calibration: Calibration | None) -> Estimate:
    target = Target(Compute(), "us-east-1", PriceBook.shipped(), local=True, calibration=calibration)
    return estimate(SUBJECT, TRAINING, TOKENS, target)


def test_time_on_this_machine_comes_from_a_job_that_has_ended_here() -> None:
    outlook = _local(Calibration("ift-job", Range(300, 350, 400), 20.0, 12))
    assert outlook.here_seconds == Range(4_200_000 / 400 + 10, 4_200_000 / 350 + 20, 4_200_000 / 300 + 40)
    assert "350 tokens/s over 12 steps of ift-job" in str(outlook)


def test_without_such_a_job_the_machine_is_called_not_calibrated() -> None:
    outlook = _local(None)
    assert outlook.here_seconds is None
    assert "not calibrated on this machine" in str(outlook)
    assert "this machine" not in str(found())


def test_an_estimate_is_plain_data_text_and_html() -> None:
    outlook = _local(Calibration("<job>", Range(1, 1, 1), 0.0, 3))
    plain: dict[str, Any] = json.loads(json.dumps(outlook.to_dict()))
    assert plain["usd"]["low"] <= plain["usd"]["likely"] <= plain["usd"]["high"]
    assert plain["price"]["as_of"] == "2026-08-17"
    assert plain["memory_bytes"]["total"]["likely"] == outlook.memory.total.likely
    assert plain["calibration"]["job_name"] == "<job>"
    html = outlook._repr_html_()
    assert "<table>" in html
    assert "&lt;job&gt;" in html
    assert "<job>" not in html
    assert "Estimate, not a quote" in str(outlook)


@pytest.mark.parametrize("value", [(2, 1, 3), (1, 3, 2), (-1, 0, 1), (0, 0, float("inf"))])
def test_a_range_out_of_order_does_not_exist(value: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="low <= likely <= high"):
        Range(*value)


def test_a_data_set_of_one_row_has_an_estimate_too() -> None:
    from ift_sagemaker.data import InstructionDataset

    one = InstructionDataset.from_rows([{"instruction": "a", "output": "b"}])
    assert found(tokens=count_tokens(one)).usd is not None
    assert found(tokens=TokenCount.of_lengths([0], 1), training=Training()).usd is not None
