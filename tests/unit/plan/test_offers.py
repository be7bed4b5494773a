"""Instance types, ranked; those that do not do say why."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from ift_sagemaker.plan.estimate import Target
from ift_sagemaker.plan.offers import Offer, offers, trainable_types
from ift_sagemaker.plan.spec import Compute
from ift_sagemaker.plan.workload import Training
from tests.unit.plan.workloads import SUBJECT, TOKENS, TRAINING, of_size

EAST = Target(Compute(), "us-east-1")


def _all(region: str = "us-east-1") -> list[Offer]:
    return offers(SUBJECT, TRAINING, TOKENS, replace(EAST, region=region))


def test_every_type_that_training_jobs_may_have_is_judged() -> None:
    assert {offer.instance_type for offer in _all()} == set(trainable_types())
    assert len(trainable_types()) > 100


def test_what_fits_and_has_a_price_comes_first_and_the_cheapest_before() -> None:
    usable = [offer for offer in _all() if offer.usable]
    priced = [
        offer
        for offer in usable
        if offer.estimate.usd and offer.estimate.fit == "fits" and ".g4dn." not in offer.instance_type
    ]
    assert usable[: len(priced)] == priced
    sums = [offer.estimate.usd.likely for offer in priced if offer.estimate.usd]
    assert sums == sorted(sums)
    assert len(priced) >= 5


def test_types_without_bfloat16_come_after_those_with_it() -> None:
    names = [offer.instance_type for offer in _all()]
    assert names.index("ml.g6.xlarge") < names.index("ml.g6e.8xlarge") < names.index("ml.g4dn.xlarge")


def test_what_does_not_do_comes_last_with_a_reason() -> None:
    found = _all()
    usable = [offer.usable for offer in found]
    assert usable == sorted(usable, reverse=True)
    assert all(offer.refusal for offer in found if not offer.usable)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("ml.g5.12xlarge", "the program would use one of 4 accelerators, and all are billed"),
        ("ml.trn1.2xlarge", "the program does not run on Trainium"),
        ("ml.g7e.2xlarge", "nothing is known of NVIDIA RTX PRO Server 6000's speed"),
        ("ml.g5.xlarge", ""),
    ],
)
def test_the_reason_says_why_a_type_does_not_do(name: str, reason: str) -> None:
    (offer,) = offers(SUBJECT, TRAINING, TOKENS, EAST, [name])
    assert offer.refusal == reason


def test_a_model_too_big_for_a_device_is_told_what_it_needs() -> None:
    (offer,) = offers(of_size(7_000_000_000), Training(method="full"), TOKENS, EAST, ["ml.g5.xlarge"])
    assert re.fullmatch(r"needs about 1\d\d\.\d GiB of memory and has 22\.4", offer.refusal)


def test_no_sum_is_given_where_the_region_has_no_price() -> None:
    assert all(offer.estimate.usd is None for offer in _all("eu-central-1"))


def test_an_offer_is_plain_data() -> None:
    plain = json.loads(json.dumps([offer.to_dict() for offer in _all()]))
    assert plain[0]["usable"]
    assert plain[0]["usd"]["likely"] > 0
    assert plain[-1]["refusal"]
