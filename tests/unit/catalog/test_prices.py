"""Prices: where they are from, what is not known, and a file of the user's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ift_sagemaker.catalog.accelerators import accelerators
from ift_sagemaker.catalog.instances import instances
from ift_sagemaker.catalog.prices import PriceBook
from ift_sagemaker.errors import ConfigError

SHIPPED = PriceBook.shipped()
FILE = """
as_of: 2026-11-01
source: enterprise agreement
prices:
  - {instance_type: ml.g5.2xlarge, region: eu-central-1, usd_per_hour: 1.7}
  - {instance_type: ml.g5.xlarge, region: us-east-1, usd_per_hour: 1.0, as_of: 2026-10-01, source: invoice}
"""


def _file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "prices.yaml"
    path.write_text(text)
    return path


def test_a_price_says_where_when_and_how_sure() -> None:
    price = SHIPPED.find("ml.g5.2xlarge", "us-east-1")
    assert price is not None
    assert (price.usd_per_hour, price.as_of, price.confidence) == (1.515, "2026-08-17", "high")
    assert "us-east-1, as of 2026-08-17, confidence high" in price.origin


def test_every_shipped_price_is_of_a_known_type_and_dated() -> None:
    assert len(SHIPPED.prices) == 37
    for (name, region), price in SHIPPED.prices.items():
        assert name in instances()
        assert region in SHIPPED.equal
        assert re.fullmatch(r"2026(-\d\d(-\d\d)?)?", price.as_of)
        assert price.source
        assert price.confidence in {"high", "medium"}


def test_regions_priced_alike_lend_each_other_a_price_and_say_so() -> None:
    price = SHIPPED.find("ml.g5.2xlarge", "us-west-2")
    assert price is not None
    assert (price.region, price.stands_for, price.confidence) == ("us-east-1", "us-west-2", "medium")
    assert "taken for us-west-2" in price.origin


@pytest.mark.parametrize(
    ("name", "region"), [("ml.g5.2xlarge", "eu-central-1"), ("ml.p5en.48xlarge", "us-east-1"), ("ml.zz", "x")]
)
def test_there_is_no_guess_where_no_price_is_known(name: str, region: str) -> None:
    assert SHIPPED.find(name, region) is None


def test_a_users_price_adds_to_the_shipped_ones_and_goes_before_them(tmp_path: Path) -> None:
    book = SHIPPED.with_file(_file(tmp_path, FILE))
    added, replaced = book.find("ml.g5.2xlarge", "eu-central-1"), book.find("ml.g5.xlarge", "us-east-1")
    assert added is not None
    assert (added.usd_per_hour, added.as_of, added.source) == (1.7, "2026-11-01", "enterprise agreement")
    assert replaced is not None
    assert (replaced.usd_per_hour, replaced.as_of, replaced.source) == (1.0, "2026-10-01", "invoice")
    assert added.confidence == replaced.confidence == "user"
    shipped = SHIPPED.find("ml.g5.xlarge", "us-east-1")
    assert shipped is not None
    assert shipped.usd_per_hour == 1.408


def test_a_users_price_of_one_region_is_not_lent_to_another(tmp_path: Path) -> None:
    assert SHIPPED.with_file(_file(tmp_path, FILE)).find("ml.g5.xlarge", "us-west-2") is None


def test_a_price_file_may_be_json(tmp_path: Path) -> None:
    text = (
        '{"as_of": "2026-11-01", "source": "s", "prices": '
        '[{"instance_type": "ml.m5.xlarge", "region": "us-east-1", "usd_per_hour": 0.2}]}'
    )
    price = SHIPPED.with_file(_file(tmp_path, text)).find("ml.m5.xlarge", "us-east-1")
    assert price is not None
    assert price.usd_per_hour == 0.2


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("ml.g5.2xlarge", "ml.g5.2xlage", r"did you mean .*ml\.g5\.2xlarge"),
        ("eu-central-1", "Frankfurt", "is no region"),
        ("1.7", "-1", "greater than 0"),
        ("1.7", ".nan", "usd_per_hour"),
        ("1.7", "99999", "less than or equal"),
        ("as_of: 2026-11-01\n", "", "as_of"),
        ("as_of: 2026-11-01", "as_of: yesterday", "as_of"),
        ("source: enterprise agreement\n", "", "source"),
        ("usd_per_hour: 1.7", "usd_per_hour: 1.7, colour: red", "colour"),
        ("ml.g5.2xlarge, region: eu-central-1", "ml.g5.xlarge, region: us-east-1", "twice"),
        ("as_of", "[", "not YAML"),
    ],
)
def test_a_wrong_price_file_is_refused_by_name(old: str, new: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        SHIPPED.with_file(_file(tmp_path, FILE.replace(old, new, 1)))


def test_everything_wrong_in_a_price_file_is_told_at_once(tmp_path: Path) -> None:
    text = FILE.replace("1.7", "0").replace("us-east-1", "nowhere")
    with pytest.raises(ConfigError, match=r"prices\.0\.usd_per_hour.*prices\.1\.region"):
        SHIPPED.with_file(_file(tmp_path, text))


def test_a_missing_price_file_says_who_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="IFT_PRICES"):
        SHIPPED.with_file(tmp_path / "none.yaml")


def test_accelerators_with_a_speed_are_those_of_instance_types() -> None:
    assert set(accelerators()) <= {entry.accelerator for entry in instances().values()}
    for entry in accelerators().values():
        low, likely, high = entry.share
        assert 0 < low <= likely <= high <= 1
