"""From a plan to its job: started once, and attached to wherever the same run exists."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from ift_sagemaker.aws.client import AWSClient
from ift_sagemaker.aws.retry import Patience
from ift_sagemaker.catalog.prices import PriceBook
from ift_sagemaker.contract import names
from ift_sagemaker.errors import (
    AttachError,
    CapacityError,
    JobError,
    ResourceInUseError,
    ResourceNotFoundError,
    TrainingJobFailed,
    TrainingJobStopped,
)
from ift_sagemaker.plan.alternatives import lacked_capacity, none_left, remaining
from ift_sagemaker.plan.calls import RoutePlan
from ift_sagemaker.plan.plans import JobPlan
from ift_sagemaker.training import FAILED, STOPPED, TrainingJob
from ift_sagemaker.uploading import Uploader

Plan = JobPlan | RoutePlan
SECURITY_FIELDS = (
    ("RoleArn",),
    ("VpcConfig",),
    ("EnableNetworkIsolation",),
    ("ResourceConfig", "VolumeKmsKeyId"),
    ("OutputDataConfig", "KmsKeyId"),
)


@dataclass(frozen=True)
class Launcher:
    """Starts jobs in one account."""

    client: AWSClient
    uploader: Uploader
    patience: Patience
    prices: PriceBook

    def launch(self, plans: Mapping[str, Callable[[int], Plan]], *, retry: bool) -> TrainingJob:
        """The job of the first attempt that is alive or free, on the first type that AWS can give.

        `plans` gives the plan of each attempt, by instance type in the order of trying. Raises AttachError
        where the same run exists under other security settings or all attempts are used up, CapacityError
        where AWS has none of the types to give, TrainingJobFailed or TrainingJobStopped where it ended so and
        `retry` is False.
        """
        plan, attempt, earlier = self._next_attempt(next(iter(plans.values())))
        again = partial(self.launch, plans, retry=False) if len(plans) > 1 else None
        if earlier:
            if earlier[-1]["TrainingJobStatus"] not in {FAILED, STOPPED}:
                return self._attached(plan, earlier[-1], again=again)
            if not retry and (again is None or not lacked_capacity(earlier[-1])):
                raise _must_retry(earlier[-1])
        chosen = {name: plans[name](attempt) for name in remaining(list(plans), earlier, over=retry)}
        for candidate in chosen.values():
            candidate.check()
        for candidate in chosen.values():
            with suppress(CapacityError) if again else nullcontext():
                return self._started(candidate, again=again)
        raise none_left(list(chosen))

    def _started(self, plan: Plan, **how: Any) -> TrainingJob:
        self.uploader.send(plan)
        try:
            self.patience.call(lambda: self.client.create_training_job(plan.request))
        except ResourceInUseError:
            found = self.patience.find(partial(self.client.describe_training_job, plan.name))
            return self._attached(plan, found, **how)
        return self._handle(plan, made=True, **how)

    def _next_attempt(self, plan_of: Callable[[int], Plan]) -> tuple[Plan, int, list[dict[str, Any]]]:
        """Plan and number of the attempt that is alive or free, and the jobs before it, oldest first."""
        found: list[dict[str, Any]] = []
        for attempt in range(1, names.MAX_ATTEMPT + 1):
            plan = plan_of(attempt)
            try:
                found.append(self.patience.call(partial(self.client.describe_training_job, plan.name)))
            except ResourceNotFoundError:
                return plan, attempt, found
            if found[-1]["TrainingJobStatus"] not in {FAILED, STOPPED}:
                return plan, attempt, found
        raise AttachError(
            f"all {names.MAX_ATTEMPT} attempts of {plan_of(1).name} are used up", name=plan_of(1).name
        )

    def _attached(self, plan: Plan, there: Mapping[str, Any], **how: Any) -> TrainingJob:
        differences = [
            (".".join(path), _at(there, path), _at(plan.request, path))
            for path in SECURITY_FIELDS
            if _at(there, path) != _at(plan.request, path)
        ]
        if differences:
            listing = "; ".join(
                f"{field} is {found!r}, asked {asked!r}" for field, found, asked in differences
            )
            raise AttachError(
                f"training job {plan.name} does the same work under other security settings: {listing}. "
                "Ask for the same ones, or change what decides the run (a seed) to start another.",
                name=plan.name,
                differences=differences,
            )
        return self._handle(plan, attached=True, **how)

    def _handle(self, plan: Plan, **how: Any) -> TrainingJob:
        return TrainingJob(
            plan.name, self.client, self.patience, prices=self.prices, estimate=plan.estimate, **how
        )


def _at(document: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    """Value at a path; absent, empty and False are all None, as Describe leaves them out."""
    value: Any = document
    for part in path:
        value = value.get(part) if isinstance(value, Mapping) else None
    return value or None


def _must_retry(earlier: Mapping[str, Any]) -> JobError:
    name, status = str(earlier["TrainingJobName"]), str(earlier["TrainingJobStatus"])
    reason = str(earlier.get("FailureReason", ""))
    kind = TrainingJobFailed if status == FAILED else TrainingJobStopped
    return kind(
        f"this run exists as {name}, which ended {status}{': ' + reason if reason else ''}. "
        "Start it again with retry=True (--retry).",
        name=name,
        status=status,
        failure_reason=reason,
    )
