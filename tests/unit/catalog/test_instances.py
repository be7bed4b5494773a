from __future__ import annotations

import pytest

from ift_sagemaker.catalog.instances import instance, instances
from ift_sagemaker.contract.shapes import service_model
from ift_sagemaker.contract.storage import has_local_nvme
from ift_sagemaker.errors import ConfigError

RETIRED_OR_UNREAD = {"ml.dl1", "ml.p2", "ml.p3", "ml.p6e-gb200"}


def test_a_type_with_a_price_says_where_and_when() -> None:
    found = instance("ml.g5.2xlarge")
    assert (found.vcpu, found.memory_gib, found.accelerator, found.count) == (8, 32.0, "NVIDIA A10G", 1)
    assert (found.usd_per_hour, found.price_region, found.price_confidence) == (1.515, "us-east-1", "high")
    assert found.as_of == "2026-08-17"
    assert found.local_nvme
    assert found.local_nvme_gb == 450


def test_a_type_without_a_price_has_none() -> None:
    found = instance("ml.p5en.48xlarge")
    assert (found.usd_per_hour, found.price_region) == (None, "")
    assert found.count == 8


@pytest.mark.parametrize("shape", ["TrainingInstanceType", "ProductionVariantInstanceType"])
def test_every_type_of_sagemaker_is_known_but_for_four_families(shape: str) -> None:
    unknown = set(service_model("sagemaker").shape_for(shape).enum) - set(instances())
    assert {name.rpartition(".")[0] for name in unknown} <= RETIRED_OR_UNREAD


def test_local_disks_agree_with_the_rules_about_volumes() -> None:
    assert all(entry.local_nvme == has_local_nvme(name) for name, entry in instances().items())


def test_every_price_has_region_confidence_source_and_date() -> None:
    priced = [entry for entry in instances().values() if entry.usd_per_hour is not None]
    assert len(priced) == 37
    for entry in priced:
        assert entry.usd_per_hour is not None
        assert 0 < entry.usd_per_hour < 200
        assert entry.price_region in ("us-east-1", "us-west-2")
        assert entry.price_confidence in ("high", "medium")
        assert entry.price_source
        assert entry.as_of.startswith("2026")


def test_an_unknown_type_is_told_the_closest() -> None:
    with pytest.raises(ConfigError, match=r"did you mean .*ml\.g5\.2xlarge"):
        instance("ml.g5.2xlage")
    with pytest.raises(ConfigError, match="names look like"):
        instance("??")
