"""What a user asks for: one frozen object, whether it came from Python or from command-line flags."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ift_sagemaker.errors import ConfigError

Scalar = str | int | float | bool

MIN_RUNTIME_IN_SECONDS = 60


class Compute(BaseModel):
    """Where a job runs. Instance types as SageMaker names them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    instance_type: str = "ml.g5.xlarge"
    instance_types: tuple[str, ...] = Field(default=(), max_length=10)
    """Further types, tried in this order where AWS has none of those before; naming one is consent to it."""
    max_usd_per_hour: float | None = Field(default=None, gt=0, le=10_000, allow_inf_nan=False)
    """Of one instance on demand. Refuses a type above that is dearer, or whose price nobody knows."""
    instance_count: int = Field(default=1, ge=1, le=1)
    """One: jobs of several instances are not offered yet."""
    volume_size_in_gb: int = Field(default=50, ge=1, le=16384)
    """Left out of the request on instances whose local NVMe is used instead."""
    max_runtime_in_seconds: int = Field(default=4 * 3600, ge=MIN_RUNTIME_IN_SECONDS, le=28 * 86400)
    spot: bool = False
    max_wait_in_seconds: int | None = Field(default=None, ge=60, le=28 * 86400)
    """Spot only: waiting and running together; the default is twice the longest run."""
    subnets: tuple[str, ...] = ()
    security_group_ids: tuple[str, ...] = ()
    volume_kms_key: str | None = None
    output_kms_key: str | None = None
    network_isolation: bool = True
    max_cost: float | None = Field(default=None, gt=0, le=10_000_000, allow_inf_nan=False)
    """USD. Refuses a run that is likely to cost more, and lowers the longest run so that it cannot."""

    @model_validator(mode="after")
    def _both_parts_of_a_vpc(self) -> Self:
        if bool(self.subnets) != bool(self.security_group_ids):
            raise ValueError("subnets and security_group_ids belong together: give both or neither")
        return self


class Customization(BaseModel):
    """By which of a model's routes it is tuned, how, and under which licence."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    route: Literal["container", "jumpstart", "serverless", "recipe", "bedrock", "export"] | None = None
    """None: the first route of the model that takes jobs today and can be planned."""
    technique: str = Field(default="SFT", pattern="^[A-Z]{3,8}$")
    full: bool = False
    """Recipes: tune all weights instead of adapters (LoRA)."""
    accept_eula: bool = False
    """That the licence of a gated model is accepted; only whoever runs the job can say so."""


class FineTuneSpec(BaseModel):
    """One fine-tuning run as asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    hyperparameters: dict[str, Scalar] = Field(default_factory=dict)
    compute: Compute = Field(default_factory=Compute)
    customization: Customization = Field(default_factory=Customization)
    tags: dict[str, str] = Field(default_factory=dict)


def parse(kind: type[BaseModel], values: dict[str, Any]) -> Any:
    """An instance of `kind`; raises ConfigError listing every wrong field at once."""
    try:
        return kind(**values)
    except ValidationError as error:
        problems = [
            f"{'.'.join(str(part) for part in item['loc'])}={item['input']!r}: {item['msg']}"
            for item in error.errors()
        ]
        first = error.errors()[0]
        raise ConfigError(
            f"{kind.__name__}: " + "; ".join(problems),
            field=".".join(str(part) for part in first["loc"]),
            value=first["input"],
            allowed=first["msg"],
        ) from error
