"""A local AWS under a weather of the test's own, whose time stands still until the test moves it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config

from ift_sagemaker.local.context import create_context
from ift_sagemaker.local.door.app import create_app
from ift_sagemaker.local.door.transport import session_on
from ift_sagemaker.local.state.settings import ROLE_ARN, Context, LocalSettings
from ift_sagemaker.local.weather.profile import Weather
from tests.unit.local.machine import SERVER_IMAGE, FakeTime

ONCE = Config(retries={"total_max_attempts": 1})
NOTHING = Weather(
    capacity=(0, 0),
    stale_read=0,
    stale_list=0,
    deleting=0,
    late_log=0,
    list_calls_per_second=1000,
    empty_pages=0,
    token_life=10**9,
)
"""A weather in which nothing happens, for a test to change in one place."""


class Outdoors:
    """The clients of one local AWS under a weather; none of them asks twice."""

    def __init__(self, context: Context, weather: Weather | None, time: FakeTime) -> None:
        self.context, self.time = context, time
        self._session = session_on(create_app(context, weather), context.settings.region)

    def client(self, service: str) -> Any:
        return self._session.client(service, config=ONCE)

    @property
    def sagemaker(self) -> Any:
        return self.client("sagemaker")

    def create_model(self, name: str) -> None:
        self.sagemaker.create_model(
            ModelName=name, ExecutionRoleArn=ROLE_ARN, PrimaryContainer={"Image": SERVER_IMAGE}
        )

    def create_config(self, name: str, model: str) -> None:
        variant = {
            "VariantName": "AllTraffic",
            "ModelName": model,
            "InitialInstanceCount": 1,
            "InstanceType": "ml.m5.xlarge",
        }
        self.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])

    def models(self) -> list[str]:
        return [found["ModelName"] for found in self.sagemaker.list_models()["Models"]]


@pytest.fixture
def under(tmp_path: Path) -> Iterator[Callable[..., Outdoors]]:
    """Makes the local AWS under a weather; every call sees the same state and the same time."""
    time = FakeTime()
    context = create_context(LocalSettings(root=tmp_path / "aws"), time)
    (tmp_path / "aws" / "images.json").write_text('[{"image": "*/my-server:*", "command": ["python3"]}]')
    yield lambda weather: Outdoors(context, weather, time)
    context.store.close()
