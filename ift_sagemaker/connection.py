"""Composition root: wires a Session to AWS or to the local AWS."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ift_sagemaker.errors import ConfigError

if TYPE_CHECKING:
    from ift_sagemaker.catalog.prices import PriceBook
    from ift_sagemaker.session import Session

TARGETS = ("aws", "local")
CONFIG_FIELDS = ("target", "role", "bucket", "region", "prices")
NOTEBOOK_METADATA = Path("/opt/ml/metadata/resource-metadata.json")
"""Where SageMaker Studio and notebook instances say who they are."""
LOCAL_INTERVAL_IN_SECONDS = 0.25


def connect(
    target: str | None = None,
    *,
    role: str | None = None,
    bucket: str | None = None,
    region: str | None = None,
    boto_session: Any | None = None,
    environment: Mapping[str, str] | None = None,
) -> Session:
    """A Session on AWS (`target="aws"`, the default) or on this machine (`target="local"`).

    A price file (IFT_PRICES, or `prices` in the configuration file) goes before the shipped prices.
    Each setting resolves as argument → environment (IFT_TARGET, IFT_ROLE, IFT_BUCKET; AWS_REGION and
    AWS_DEFAULT_REGION on AWS) → configuration file → the notebook's execution role, the profile's region.
    Makes no call to AWS. Raises ConfigError for an unknown target, a damaged configuration or price
    file.
    """
    found = os.environ if environment is None else environment
    settings = _read_config(_config_path(found))
    target = target or found.get("IFT_TARGET") or settings.get("target") or "aws"
    if target not in TARGETS:
        raise ConfigError(
            f"target {target!r} is none of {', '.join(TARGETS)}",
            field="target",
            value=target,
            allowed=", ".join(TARGETS),
        )
    role = role or found.get("IFT_ROLE") or settings.get("role")
    bucket = bucket or found.get("IFT_BUCKET") or settings.get("bucket")
    prices = _prices(found.get("IFT_PRICES") or settings.get("prices"))
    if target == "local":
        return _local(role, bucket, region or settings.get("region"), prices)
    region = region or found.get("AWS_REGION") or found.get("AWS_DEFAULT_REGION") or settings.get("region")
    session = _aws(role or _notebook_role(NOTEBOOK_METADATA), bucket, region, boto_session)
    session.prices = prices
    return session


def _prices(path: str | None) -> PriceBook:
    """The shipped prices and, before them, those of the user's file."""
    from ift_sagemaker.catalog.prices import PriceBook

    shipped = PriceBook.shipped()
    return shipped.with_file(Path(path).expanduser()) if path else shipped


def _aws(role: str | None, bucket: str | None, region: str | None, boto_session: Any | None) -> Session:
    from ift_sagemaker.aws.client import AWSClient
    from ift_sagemaker.session import Session

    return Session(AWSClient(boto_session, region=region), role=role, bucket=bucket)


def _local(role: str | None, bucket: str | None, region: str | None, prices: PriceBook) -> Session:
    from ift_sagemaker import local
    from ift_sagemaker.aws.client import AWSClient
    from ift_sagemaker.aws.retry import Patience
    from ift_sagemaker.local.health import health
    from ift_sagemaker.local.state.settings import ROLE_ARN, LocalSettings
    from ift_sagemaker.local.weather.profile import weather_of
    from ift_sagemaker.machine import measured_speed
    from ift_sagemaker.session import Session

    settings = LocalSettings.from_environment(region=region)
    weather = weather_of(settings)
    return Session(
        AWSClient(local.boto3_session(region=region)),
        role=role or ROLE_ARN,
        bucket=bucket,
        patience=Patience(
            interval_in_seconds=LOCAL_INTERVAL_IN_SECONDS,
            late_log_in_seconds=2 * weather.late_log if weather else 0.0,
        ),
        prices=prices,
        calibrate=measured_speed,
        machine=partial(health, settings),
        takes_stand_ins=True,
    )


def _config_path(environment: Mapping[str, str]) -> Path:
    if named := environment.get("IFT_CONFIG"):
        return Path(named).expanduser()
    from platformdirs import user_config_path

    return user_config_path("ift-sagemaker") / "config.yaml"


def _read_config(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    import yaml

    try:
        values = yaml.safe_load(path.read_text("utf-8")) or {}
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", field="config") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {error}", field="config") from error
    unknown = set(values) - set(CONFIG_FIELDS) if isinstance(values, dict) else {"not a mapping"}
    if unknown:
        raise ConfigError(
            f"{path}: unknown: {', '.join(sorted(map(str, unknown)))}; there are {', '.join(CONFIG_FIELDS)}",
            field="config",
            allowed=", ".join(CONFIG_FIELDS),
        )
    return {key: str(value) for key, value in values.items() if value is not None}


def _notebook_role(path: Path) -> str | None:
    """Execution role of the notebook this runs in; None elsewhere."""
    try:
        return str(json.loads(path.read_text("utf-8"))["ExecutionRoleArn"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
