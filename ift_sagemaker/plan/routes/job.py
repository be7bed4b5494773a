"""What the routes of this folder are given, and what each asks of it before it makes a request."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ift_sagemaker.catalog.models import FoundationModel, Road
from ift_sagemaker.catalog.prices import PriceBook
from ift_sagemaker.catalog.weights import Weights
from ift_sagemaker.errors import ConfigError, CostLimitError, UnsupportedError
from ift_sagemaker.plan.plans import Place
from ift_sagemaker.plan.routes.container import (
    TAG_FINGERPRINT,
    TAG_KIND,
    TAG_MODEL,
    Rows,
    fingerprint_of,
)
from ift_sagemaker.plan.spec import FineTuneSpec

OFFERED_TECHNIQUES = ("SFT",)
_INSTANCE_FIELDS = (
    "instance_type",
    "instance_count",
    "volume_size_in_gb",
    "volume_kms_key",
    "spot",
    "max_wait_in_seconds",
)


@dataclass(frozen=True)
class RouteInputs:
    """Everything that decides a request but the place it runs in. Rows are in the form named `form`."""

    spec: FineTuneSpec
    model: FoundationModel
    road: Road
    form: str
    training: Rows
    validation: Rows | None = None
    prices: PriceBook = field(default_factory=PriceBook.shipped, repr=False)
    stand_in: Weights | None = None
    """What the local AWS trains in place of weights that only AWS has."""

    def fingerprint(self, hyperparameters: dict[str, str], **decisive: Any) -> str:
        """Of route, model, rows and hyperparameters; slugs of ids are not unique, so the id is in it."""
        return fingerprint_of(
            {
                "route": self.road.route,
                "model": self.model.model_id,
                "training": self.training.fingerprint,
                "validation": self.validation.fingerprint if self.validation else None,
                "hyperparameters": hyperparameters,
                **({"stand_in": self.stand_in.content_hash} if self.stand_in else {}),
                **decisive,
            }
        )

    def tags(self, fingerprint: str, **more: str) -> dict[str, str]:
        own = {TAG_MODEL: self.model.model_id, TAG_FINGERPRINT: fingerprint, TAG_KIND: "training"}
        return {**self.spec.tags, **{key: tag_value(value) for key, value in {**own, **more}.items()}}

    def technique(self) -> str:
        """SFT, with -LORA for adapters. Raises UnsupportedError for what is not offered or not there."""
        asked = self.spec.customization
        if asked.technique not in OFFERED_TECHNIQUES:
            raise UnsupportedError(
                f"{asked.technique} is not offered yet: {', '.join(OFFERED_TECHNIQUES)} is",
                feature=f"technique {asked.technique}",
            )
        name = asked.technique if asked.full else f"{asked.technique}-LORA"
        if name not in self.road.techniques:
            raise UnsupportedError(
                f"{self.model.model_id} has no {name} by route {self.road.route}; it has "
                f"{', '.join(self.road.techniques)} ({self.road.source}, {self.road.date})",
                feature=f"{name} of {self.model.model_id}",
            )
        return name

    def require_eula(self) -> bool:
        """Whether the model is gated; raises ConfigError where its licence was not accepted."""
        if self.model.gated and not self.spec.customization.accept_eula:
            raise ConfigError(
                f"{self.model.model_id} is gated: read its licence at {self.model.eula} and say "
                "accept_eula=True (--accept-eula)",
                field="accept_eula",
                value=False,
                allowed="True, by whoever accepts the licence",
            )
        return self.model.gated

    def require_region(self, place: Place) -> None:
        if self.road.regions and place.region not in self.road.regions:
            allowed = ", ".join(self.road.regions)
            raise ConfigError(
                f"{self.model.model_id} is tuned in {allowed}, not in {place.region}",
                field="region",
                value=place.region,
                allowed=allowed,
            )

    def refuse_cost_limit(self) -> None:
        """Raises CostLimitError for a limit on a route that charges by the token: no price is known here."""
        limit = self.spec.compute.max_cost
        if limit is not None:
            raise CostLimitError(
                f"max_cost of {limit:.2f} USD cannot be kept: route {self.road.route} charges by the token, "
                "at prices that are not in this catalogue, and no longest run caps it",
                max_cost=limit,
                estimate={},
            )

    def refuse_instances(self) -> None:
        """Raises ConfigError for a field about machines on a route where AWS chooses them."""
        given = [name for name in _INSTANCE_FIELDS if name in self.spec.compute.model_fields_set]
        if given:
            raise ConfigError(
                f"route {self.road.route} has no machines to choose: leave out {', '.join(given)}",
                field=given[0],
            )


def tag_value(text: str) -> str:
    """The text as a tag may have it. Tags allow letters, digits, spaces and _.:/=+-@."""
    return "".join(
        character if character.isalnum() or character in " _.:/=+-@" else "-" for character in text
    )
