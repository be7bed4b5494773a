"""A limit in USD: refused before the launch, or kept by MaxRuntime."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ift_sagemaker.errors import ConfigError, CostLimitError
from ift_sagemaker.plan.budget import limited, longest_run, refuse_over_budget
from ift_sagemaker.plan.estimate import Estimate
from ift_sagemaker.plan.estimating import estimate
from ift_sagemaker.plan.quantities import STOP_GRACE_IN_SECONDS
from ift_sagemaker.plan.spec import Compute, parse
from tests.unit.plan.workloads import SUBJECT, TOKENS, TRAINING, found


def _limited(outlook: Estimate) -> Estimate:
    from dataclasses import replace

    compute = limited(outlook.target.compute, outlook)
    return estimate(SUBJECT, TRAINING, TOKENS, replace(outlook.target, compute=compute))


def test_without_a_limit_nothing_changes() -> None:
    outlook = found()
    assert limited(outlook.target.compute, outlook) is outlook.target.compute
    refuse_over_budget(outlook)


@given(
    st.floats(0.5, 5000),
    st.sampled_from(["ml.g5.xlarge", "ml.g5.2xlarge", "ml.g6e.xlarge", "ml.g7e.2xlarge"]),
)
def test_a_run_that_is_not_refused_cannot_cost_more_than_its_limit(limit: float, name: str) -> None:
    outlook = _limited(found(instance_type=name, max_cost=limit, max_runtime_in_seconds=28 * 86400))
    try:
        refuse_over_budget(outlook)
    except CostLimitError:
        return
    assert outlook.price is not None
    seconds = outlook.target.compute.max_runtime_in_seconds + outlook.margin_seconds
    assert seconds * outlook.price.usd_per_hour / 3600 <= limit + 1e-9


def test_the_margin_covers_a_stop_and_what_is_billed_around_the_run() -> None:
    outlook = found()
    assert outlook.training_seconds is not None
    assert outlook.billable_seconds is not None
    around = outlook.billable_seconds.high - outlook.training_seconds.high
    assert outlook.margin_seconds >= STOP_GRACE_IN_SECONDS + around


def test_a_limit_never_lengthens_a_run() -> None:
    assert (
        _limited(found(max_cost=1000.0, max_runtime_in_seconds=900)).target.compute.max_runtime_in_seconds
        == 900
    )


def test_a_run_that_is_likely_to_cost_more_is_refused_with_its_estimate() -> None:
    with pytest.raises(CostLimitError, match=r"likely to cost \d+\.\d\d USD.*max_cost of 0\.10") as caught:
        refuse_over_budget(found(max_cost=0.1))
    assert caught.value.max_cost == 0.1
    assert caught.value.estimate["usd"]["likely"] > 0.1
    assert isinstance(caught.value, ConfigError)


def test_a_type_without_a_price_cannot_have_a_limit() -> None:
    with pytest.raises(
        CostLimitError, match=r"no price known for 1 x ml\.p5\.4xlarge in us-east-1.*IFT_PRICES"
    ):
        refuse_over_budget(found(instance_type="ml.p5.4xlarge", max_cost=100.0))


def test_a_limit_that_leaves_no_time_to_train_names_the_least_one() -> None:
    with pytest.raises(CostLimitError, match=r"0\.04 USD is the least limit"):
        refuse_over_budget(found(instance_type="ml.m5.xlarge", max_cost=0.01))


def test_spot_is_limited_at_the_price_on_demand() -> None:
    spot, demand = (_limited(found(max_cost=2.0, spot=spot)) for spot in (True, False))
    assert spot.target.compute.max_runtime_in_seconds == demand.target.compute.max_runtime_in_seconds < 14400


def test_several_instances_share_the_limit() -> None:
    assert longest_run(10.0, 1.0, 2, 100) == 10 * 3600 // 2 - 100


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), "much"])
def test_a_limit_is_a_sum_above_nothing(value: object) -> None:
    with pytest.raises(ConfigError, match="max_cost"):
        parse(Compute, {"max_cost": value})
