"""From what a user asks for to a plan: its rows, place, requests and estimate. Writes and sends nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Literal

from ift_sagemaker.aws.client import AWSClient
from ift_sagemaker.catalog import FoundationModel, find
from ift_sagemaker.catalog.models import Road
from ift_sagemaker.catalog.prices import PriceBook
from ift_sagemaker.catalog.stand_ins import stand_in_weights
from ift_sagemaker.catalog.weights import Weights, WeightsCache
from ift_sagemaker.data import InstructionDataset
from ift_sagemaker.data.reading.sources import REMOTE, Stored
from ift_sagemaker.data.sending.outgoing import of_dataset
from ift_sagemaker.errors import ConfigError, UnsupportedError, WeightsError
from ift_sagemaker.plan.alternatives import allowed
from ift_sagemaker.plan.calibration import Calibration
from ift_sagemaker.plan.calls import RoutePlan
from ift_sagemaker.plan.estimate import Estimate, Target
from ift_sagemaker.plan.forecast import forecast, training_of
from ift_sagemaker.plan.forms import refuse_second_labels
from ift_sagemaker.plan.plans import JobPlan, Place
from ift_sagemaker.plan.reading import rows_in_form
from ift_sagemaker.plan.roads import PLANNERS, refuse_unheard, road_of
from ift_sagemaker.plan.routes.container import Rows, TrainingInputs, plan_training
from ift_sagemaker.plan.routes.export import plan_export
from ift_sagemaker.plan.routes.job import RouteInputs
from ift_sagemaker.plan.routes.jumpstart import JUMPSTART_ROUTE, plan_jumpstart, refuse_stand_in
from ift_sagemaker.plan.spec import Compute, FineTuneSpec
from ift_sagemaker.plan.tokens import RowTokens, TokenCount
from ift_sagemaker.plan.workload import Training
from ift_sagemaker.reading import Data, Reader
from ift_sagemaker.wire.hyperparameters import parse_hyperparameters
from ift_sagemaker.wire.program import program

OWN_ROUTE = "container"
Plan = JobPlan | RoutePlan
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+", re.ASCII)
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
Calibrate = Callable[[AWSClient, str, Training], Calibration | None]


@dataclass(frozen=True)
class Planner:
    """Plans for one account and region, by the catalogue as it is `today`."""

    client: AWSClient
    role: str | None
    bucket: str | None
    weights: WeightsCache
    prices: PriceBook
    calibrate: Calibrate | None
    today: Callable[[], date]
    takes_stand_ins: bool = False

    def plan(
        self,
        spec: FineTuneSpec,
        data: Data,
        validation: Data | None,
        tokens: TokenCount | Literal["exact"] | None = None,
    ) -> JobPlan | RoutePlan:
        """What `Session.plan` gives."""
        model = find(spec.model)
        road = road_of(model, self.today(), spec.customization.route)
        refuse_unheard(spec.customization, road)
        if road.route != OWN_ROUTE:
            if tokens == "exact":
                raise UnsupportedError(
                    f"no tokens are counted for a run by route {road.route}", feature="exact counts of tokens"
                )
            return self._route_plan(spec, model, road, data, validation)
        parse_hyperparameters(spec.hyperparameters)
        weights, place = self._found_weights(spec.model), self.place()
        allowed(spec.compute, self.prices, place.region)
        rows = self.reader.dataset(data)
        held_out = None if validation is None else self.reader.dataset(validation)
        counted = RowTokens(weights.folder, exact=tokens == "exact")
        inputs, found = self._forecast(
            _inputs(spec, rows, held_out, weights),
            tokens if isinstance(tokens, TokenCount) else counted.of(rows),
            None if held_out is None else counted.of(held_out),
            place,
            calibrated=True,
        )
        plan = plan_training(inputs, place).with_estimate(found)
        plan.check()
        return plan

    def attempts(
        self,
        spec: FineTuneSpec,
        data: Data,
        validation: Data | None,
        on_fetch: Callable[[str], None] | None,
        stand_in: str | Path | None = None,
    ) -> Mapping[str, Callable[[int], Plan]]:
        """The plan of each attempt of a run, by instance type in the order of trying.

        Fetches weights that this machine lacks. Raises UnsupportedError for a model of a route that nothing
        here runs, and for a stand-in where there can be none.
        """
        model = find(spec.model)
        road = road_of(model, self.today(), spec.customization.route)
        refuse_unheard(spec.customization, road)
        if stand_in is not None:
            refuse_stand_in(model, road, local=self.takes_stand_ins)
        if road.route == JUMPSTART_ROUTE:
            weights = None if stand_in is None else stand_in_weights(stand_in, self.weights, on_fetch)
            return self._jumpstart_attempts(self._route_inputs(spec, model, road, data, validation, weights))
        _refuse_other_routes(model, road)
        return self._own_attempts(spec, data, validation, on_fetch)

    def _jumpstart_attempts(self, inputs: RouteInputs) -> dict[str, Callable[[int], RoutePlan]]:
        compute, place = inputs.spec.compute, self.place()
        if compute.instance_types or compute.max_usd_per_hour is not None:
            raise UnsupportedError(
                "other instance types and max_usd_per_hour are for route container; route jumpstart takes "
                "one of the types that the model's script is known to run on",
                feature="alternative instance types on route jumpstart",
            )
        return {"": lambda attempt: plan_jumpstart(inputs, place, attempt)}

    def _own_attempts(
        self, spec: FineTuneSpec, data: Data, validation: Data | None, on_fetch: Callable[[str], None] | None
    ) -> dict[str, Callable[[int], JobPlan]]:
        parse_hyperparameters(spec.hyperparameters)
        rows = self.reader.dataset(data)
        held_out = None if validation is None else self.reader.dataset(validation)
        place = self.place()
        weights = self.weights.find(spec.model) or self.weights.pull(spec.model, on_fetch)
        counted = RowTokens(weights.folder)
        tokens, more = counted.of(rows), None if held_out is None else counted.of(held_out)
        inputs = _inputs(spec, rows, held_out, weights)

        def planner(compute: Compute) -> Callable[[int], JobPlan]:
            asked = replace(inputs, spec=spec.model_copy(update={"compute": compute}))
            limited, found = self._forecast(asked, tokens, more, place)
            return lambda attempt: plan_training(limited, place, attempt).with_estimate(found)

        computes = allowed(spec.compute, self.prices, place.region)
        return {name: planner(compute) for name, compute in computes.items()}

    def place(self, role: str | None = None) -> Place:
        """Where jobs run; raises ConfigError without an execution role, and for what is no role or bucket."""
        identity = self.client.identity()
        role = role or self.role
        if not role:
            raise ConfigError(
                "no execution role: pass role= (--role), set IFT_ROLE, or put `role:` into the configuration "
                "file (docs/how-to/configure.md)",
                field="role",
                allowed="arn:aws:iam::ACCOUNT:role/NAME",
            )
        _refuse_other_than("role", role, _ROLE, "arn:aws:iam::ACCOUNT:role/NAME")
        bucket = self.bucket or identity.default_bucket
        _refuse_other_than("bucket", bucket, _BUCKET, "3 to 63 of a-z, 0-9, '.' and '-'")
        return Place(identity.region, identity.account, bucket, role)

    @property
    def reader(self) -> Reader:
        return Reader(self.client)

    def _route_plan(
        self, spec: FineTuneSpec, model: FoundationModel, road: Road, data: Data, validation: Data | None
    ) -> RoutePlan:
        inputs = self._route_inputs(spec, model, road, data, validation)
        if road.route == "export":
            return plan_export(inputs)
        plan = PLANNERS[road.route](inputs, self.place())
        plan.check()
        return plan

    def _route_inputs(
        self,
        spec: FineTuneSpec,
        model: FoundationModel,
        road: Road,
        data: Data,
        validation: Data | None,
        stand_in: Weights | None = None,
    ) -> RouteInputs:
        form, training = rows_in_form(self._at_hand(data), model, road)
        refuse_second_labels(form, validation=validation is not None)
        held_out = None
        if validation is not None:
            held_out = rows_in_form(self._at_hand(validation), model, road, held_out=True)[1]
        return RouteInputs(spec, model, road, form, training, held_out, self.prices, stand_in)

    def _at_hand(self, data: Data) -> InstructionDataset | str | Path:
        """Rows or a path of this machine: what lies in S3 is read."""
        if isinstance(data, Stored) or (isinstance(data, str) and data.startswith(REMOTE)):
            return self.reader.read(data)
        return data

    def _found_weights(self, model_id: str) -> Weights:
        find(model_id)
        weights = self.weights.find(model_id)
        if weights is None:
            raise WeightsError(
                f"the weights of {model_id} are not on this machine, and a plan fetches nothing: "
                f"run `ift models pull {model_id}` first",
                model_id=model_id,
            )
        return weights

    def _forecast(
        self,
        inputs: TrainingInputs,
        tokens: TokenCount,
        held_out: TokenCount | None,
        place: Place,
        *,
        calibrated: bool = False,
    ) -> tuple[TrainingInputs, Estimate]:
        spec, known = inputs.spec, None
        if self.calibrate is not None and calibrated:
            known = self.calibrate(self.client, spec.model, training_of(inputs))
        target = Target(spec.compute, place.region, self.prices, self.calibrate is not None, known)
        return forecast(inputs, tokens, held_out, target)


def _refuse_other_than(field: str, value: str, pattern: re.Pattern[str], allowed: str) -> None:
    if pattern.fullmatch(value) is None:
        raise ConfigError(f"{field} {value!r} is none: {allowed}", field=field, value=value, allowed=allowed)


def _refuse_other_routes(model: FoundationModel, road: Road) -> None:
    if road.route != OWN_ROUTE:
        raise UnsupportedError(
            f"{model.model_id} is tuned by route {road.route}, which is planned and not run yet: `ift "
            "plan` shows its requests",
            feature=f"running route {road.route}",
        )


def _inputs(
    spec: FineTuneSpec, rows: InstructionDataset, held_out: InstructionDataset | None, weights: Weights
) -> TrainingInputs:
    return TrainingInputs(
        spec=spec,
        weights=weights,
        program=program(),
        training=rows_on_the_wire(rows),
        validation=None if held_out is None else rows_on_the_wire(held_out),
    )


def rows_on_the_wire(data: InstructionDataset) -> Rows:
    """The files that carry the rows of a data set."""
    ready = of_dataset(data)
    files = {file.name: file.source for file in ready.files if isinstance(file.source, bytes)}
    return Rows(files, data.fingerprint, len(data), ready.manifest)
