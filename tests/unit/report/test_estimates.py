"""Estimates and offers on the terminal."""

from __future__ import annotations

from ift_sagemaker.plan.offers import offers
from ift_sagemaker.report import estimate_table, offers_table, to_text
from tests.unit.plan.workloads import SUBJECT, TOKENS, TRAINING, found


def test_an_estimate_shows_ranges_warnings_and_what_was_assumed() -> None:
    text = to_text(estimate_table(found(max_runtime_in_seconds=120)), 150)
    for word in ("Estimate, not a quote", "low", "likely", "high", "USD on demand", "10,000 rows, once"):
        assert word in text
    assert "warning: MaxRuntime of 120 s" in text
    assert "assumed: tokens: all rows counted" in text


def test_what_is_not_known_is_called_unknown() -> None:
    text = to_text(estimate_table(found(region="eu-central-1")), 150)
    assert "unknown" in text
    assert "no price known" in text


def test_offers_show_the_best_first_and_why_others_do_not_do() -> None:
    text = to_text(offers_table(offers(SUBJECT, TRAINING, TOKENS, found().target)), 160)
    assert text.index("ml.g6.xlarge") < text.index("ml.g5.2xlarge")
    assert "and all are billed" in text
    assert "more that do not; --json has all" in text
    assert "more that do; --json has all" in text


def test_a_terminal_of_80_columns_has_each_offer_on_a_line_of_its_own() -> None:
    every = offers(SUBJECT, TRAINING, TOKENS, found().target)
    text = to_text(offers_table(every), 80)
    assert max(map(len, text.splitlines())) <= 80
    shown = [line for line in text.splitlines() if line.startswith("ml.") and ":" not in line]
    assert [line.split()[0] for line in shown] == [offer.instance_type for offer in every[: len(shown)]]
    likely = [offer.estimate.usd.likely for offer in every if offer.estimate.usd]
    assert all(f"{usd:.2f}" in line for usd, line in zip(likely, shown, strict=False))
