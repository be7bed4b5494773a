"""Where a session's settings come from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ift_sagemaker.connection import _notebook_role, connect
from ift_sagemaker.errors import ConfigError


def _environment(tmp_path: Path, **values: str) -> dict[str, str]:
    return {"IFT_CONFIG": str(tmp_path / "config.yaml"), **values}


def test_an_argument_goes_before_the_environment_and_that_before_the_file(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("role: file\nbucket: file\n")
    environment = _environment(tmp_path, IFT_ROLE="environment", IFT_TARGET="aws")
    session = connect(environment=environment, region="us-east-1")
    assert (session.role, session.bucket) == ("environment", "file")
    assert connect(role="argument", environment=environment).role == "argument"


def test_the_local_target_has_a_role_of_its_own(tmp_path: Path) -> None:
    session = connect("local", environment=_environment(tmp_path))
    assert session.role == "arn:aws:iam::123456789012:role/ift-local"
    assert session.client.identity().account == "123456789012"


def test_an_unknown_target_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="aws, local"):
        connect("moon", environment=_environment(tmp_path))


@pytest.mark.parametrize("text", ["role: [", "- a\n", "colour: red\n"])
def test_a_damaged_file_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ConfigError):
        connect(environment=_environment(tmp_path))


def test_a_notebook_lends_its_role(tmp_path: Path) -> None:
    path = tmp_path / "metadata.json"
    assert _notebook_role(path) is None
    path.write_text(json.dumps({"ExecutionRoleArn": "arn:role"}))
    assert _notebook_role(path) == "arn:role"


def test_the_region_of_the_environment_goes_before_that_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("region: eu-west-1\nrole:\n")
    assert connect(environment=_environment(tmp_path)).client.region == "eu-west-1"
    environment = _environment(tmp_path, AWS_REGION="us-west-2", AWS_DEFAULT_REGION="us-east-2")
    session = connect(environment=environment)
    assert session.client.region == "us-west-2"
    assert session.role is None, "an empty entry is none"


def test_a_price_file_is_named_by_the_environment_or_the_configuration(tmp_path: Path) -> None:
    text = (
        "as_of: 2026-11-01\nsource: s\n"
        "prices: [{instance_type: ml.m5.xlarge, region: sa-east-1, usd_per_hour: %s}]\n"
    )
    (tmp_path / "one.yaml").write_text(text % 1)
    (tmp_path / "two.yaml").write_text(text % 2)
    (tmp_path / "config.yaml").write_text(f"prices: {tmp_path / 'one.yaml'}\n")
    for target in ("aws", "local"):
        file = connect(target, environment=_environment(tmp_path), region="us-east-1")
        named = _environment(tmp_path, IFT_PRICES=str(tmp_path / "two.yaml"))
        environment = connect(target, environment=named, region="us-east-1")
        found = [session.prices.find("ml.m5.xlarge", "sa-east-1") for session in (file, environment)]
        assert [price and price.usd_per_hour for price in found] == [1, 2]


def test_a_wrong_price_file_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="IFT_PRICES"):
        connect(environment=_environment(tmp_path, IFT_PRICES=str(tmp_path / "none")), region="us-east-1")


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "cannot be read"), (b"role: \xe9\n", "is not YAML"), (b"a: [", "is not YAML")],
)
def test_a_configuration_file_that_cannot_be_read_is_named(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    path = tmp_path / "config.yaml"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=f"config.yaml {said}"):
        connect(environment={"IFT_CONFIG": str(path)})
