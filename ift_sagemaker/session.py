"""A session executes plans in one account: fine-tune, evaluate, and the handles of what exists."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from ift_sagemaker.aws.client import AWSClient
from ift_sagemaker.aws.retry import Patience
from ift_sagemaker.catalog import FoundationModel, find
from ift_sagemaker.catalog.models import Road, today
from ift_sagemaker.catalog.weights import Weights, WeightsCache
from ift_sagemaker.contract import names
from ift_sagemaker.data import InstructionDataset
from ift_sagemaker.endpoint import Endpoint
from ift_sagemaker.errors import (
    AttachError,
    ConfigError,
    JobError,
    ResourceInUseError,
    ResourceNotFoundError,
    TrainingJobFailed,
    TrainingJobStopped,
    UnsupportedError,
    WeightsError,
)
from ift_sagemaker.evaluation import Evaluation
from ift_sagemaker.plan.calls import RoutePlan
from ift_sagemaker.plan.forms import refuse_second_labels
from ift_sagemaker.plan.plans import JobPlan, Place, Upload
from ift_sagemaker.plan.reading import rows_in_form
from ift_sagemaker.plan.roads import PLANNERS, road_of
from ift_sagemaker.plan.routes.container import (
    EvaluationInputs,
    Rows,
    TrainingInputs,
    plan_evaluation,
    plan_training,
)
from ift_sagemaker.plan.routes.job import RouteInputs
from ift_sagemaker.plan.spec import Compute, Customization, FineTuneSpec, Scalar
from ift_sagemaker.training import FAILED, STOPPED, Progress, TrainingJob
from ift_sagemaker.wire.artifact import PREDICTIONS_FILE
from ift_sagemaker.wire.hyperparameters import parse_hyperparameters
from ift_sagemaker.wire.program import program
from ift_sagemaker.wire.rows import read_rows

Data = InstructionDataset | str | Path
OWN_ROUTE = "container"
SECURITY_FIELDS = (
    ("RoleArn",),
    ("VpcConfig",),
    ("EnableNetworkIsolation",),
    ("ResourceConfig", "VolumeKmsKeyId"),
    ("OutputDataConfig", "KmsKeyId"),
)


@dataclass(frozen=True)
class UploadProgress:
    """One object on its way: `sent` of `size` bytes; `present` where it was there already."""

    key: str
    size: int
    sent: int
    present: bool = False


@dataclass
class Session:
    """Fine-tuning in one AWS account and region. Made by `ift.connect`; makes no call when it is made."""

    client: AWSClient = field(repr=False)
    role: str | None = None
    bucket: str | None = None
    weights: WeightsCache = field(default_factory=WeightsCache, repr=False)
    patience: Patience = field(default_factory=Patience, repr=False)
    on_upload: Callable[[UploadProgress], None] | None = field(default=None, repr=False)
    on_fetch: Callable[[str], None] | None = field(default=None, repr=False)
    """Told in words what is being done while base weights are fetched."""
    today: Callable[[], date] = field(default=today, repr=False)
    """By which roads of the catalogue are open or closed."""

    # -- planning

    def plan(
        self,
        model_id: str,
        data: Data,
        *,
        validation: Data | None = None,
        hyperparameters: Mapping[str, Scalar] | None = None,
        compute: Compute | None = None,
        customization: Customization | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> JobPlan | RoutePlan:
        """Uploads and the exact requests of a fine-tuning run. Writes nothing, sends nothing.

        By the model's first route that takes jobs today, or the one that `customization` names: a JobPlan for
        our own route, `container`, which `fine_tune` runs, a RoutePlan for the others, which nothing here
        runs yet. Raises DatasetError for bad rows, ModelNotFoundError, ConfigError for a hyperparameter or
        field outside its range, UnsupportedError for a closed road (with date and alternative) and for what
        is not at hand, WeightsError where the base weights were not pulled yet, and RequestError where AWS
        would refuse.
        """
        model = find(model_id)
        spec = _spec(model_id, hyperparameters, compute, tags, customization)
        road = road_of(model, self.today(), spec.customization.route)
        if road.route != OWN_ROUTE:
            return self._route_plan(spec, model, road, data, validation)
        parse_hyperparameters(spec.hyperparameters)
        plan = plan_training(
            self._inputs(spec, data, validation, self._found_weights(model_id)), self._place()
        )
        plan.check()
        return plan

    def fine_tune(
        self,
        model_id: str,
        data: Data,
        *,
        validation: Data | None = None,
        hyperparameters: Mapping[str, Scalar] | None = None,
        compute: Compute | None = None,
        tags: Mapping[str, str] | None = None,
        retry: bool = False,
    ) -> TrainingJob:
        """The job of a fine-tuning run: started and billed, or attached to where the same run exists.

        `data` is an InstructionDataset or the path of a JSON-lines file; hyperparameters are those of
        `ift models show` (docs/reference/hyperparameters.md).
        Fetches the base weights first where this machine lacks them. Raises as `plan` does; AttachError where
        the same run exists under another role, key, network or isolation; TrainingJobFailed or
        TrainingJobStopped where it ended so and `retry` is False; UnsupportedError for a model of another
        route than our own, whose requests `plan` shows.
        """
        self._refuse_other_routes(find(model_id))
        parse_hyperparameters(hyperparameters or {})
        spec = _spec(model_id, hyperparameters, compute, tags)
        rows = _dataset(data)
        held_out = None if validation is None else _dataset(validation)
        place = self._place()
        weights = self.weights.find(model_id) or self.weights.pull(model_id, self.on_fetch)
        inputs = self._inputs(spec, rows, held_out, weights)
        return self._execute(lambda attempt: plan_training(inputs, place, attempt), retry=retry)

    def evaluate(
        self,
        job: TrainingJob | str,
        data: Data,
        *,
        max_new_tokens: int = 128,
        allow_unfinished: bool = False,
        retry: bool = False,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Evaluation:
        """Base against tuned over held-out rows: greedy answers and the loss of the references.

        Runs as a training job of its own on the job's instance type (billed); the same call again reads the
        result that is there. Raises JobError where the job is not Completed (one that was stopped and left a
        model is taken with `allow_unfinished`), TrainingJobFailed where the evaluation failed.
        """
        rows = _rows(_dataset(data))
        handle = self.training_job(job) if isinstance(job, str) else job
        handle.require_model(allow_unfinished=allow_unfinished)
        inputs = EvaluationInputs(handle.as_tuned(), rows, program(), {"max_new_tokens": max_new_tokens})
        place = self._place(role=handle.description["RoleArn"])
        run = self._execute(lambda attempt: plan_evaluation(inputs, place, attempt), retry=retry)
        run.wait(on_progress=on_progress)
        return _read_evaluation(run)

    # -- what exists

    def training_job(self, name: str) -> TrainingJob:
        """Handle of an existing job; raises ResourceNotFoundError for an unknown name."""
        return TrainingJob(name, self.client, self.patience, attached=True).refresh()

    def training_jobs(self, prefix: str = names.PREFIX) -> Iterator[dict[str, Any]]:
        """Summaries of the jobs this library made, newest first, as ListTrainingJobs gives them."""
        found = self.client.list_training_jobs(prefix)
        return (job for job in found if job["TrainingJobName"].startswith(prefix))

    def endpoint(self, name: str) -> Endpoint:
        """Handle of an existing endpoint; raises ResourceNotFoundError for an unknown name."""
        return Endpoint(name, self.client, self.patience).refresh()

    def endpoints(self, prefix: str = names.PREFIX) -> Iterator[dict[str, Any]]:
        """Summaries of the endpoints this library made, as ListEndpoints gives them."""
        found = self.client.list_endpoints(prefix)
        return (endpoint for endpoint in found if endpoint["EndpointName"].startswith(prefix))

    # -- executing

    def _execute(self, plan_of: Callable[[int], JobPlan], *, retry: bool) -> TrainingJob:
        plan, earlier = self._next_attempt(plan_of)
        if earlier is not None:
            if earlier["TrainingJobStatus"] not in {FAILED, STOPPED}:
                return self._attached(plan, earlier)
            if not retry:
                raise _must_retry(earlier)
        plan.check()
        self._send(plan)
        try:
            self.patience.call(lambda: self.client.create_training_job(plan.request))
        except ResourceInUseError:
            return self._attached(
                plan, self.patience.find(partial(self.client.describe_training_job, plan.name))
            )
        return TrainingJob(plan.name, self.client, self.patience, made=True)

    def _next_attempt(self, plan_of: Callable[[int], JobPlan]) -> tuple[JobPlan, dict[str, Any] | None]:
        """The plan of the attempt that is alive or free, and the newest job found on the way."""
        found = None
        for attempt in range(1, names.MAX_ATTEMPT + 1):
            plan = plan_of(attempt)
            try:
                found = self.patience.call(partial(self.client.describe_training_job, plan.name))
            except ResourceNotFoundError:
                return plan, found
            if found["TrainingJobStatus"] not in {FAILED, STOPPED}:
                return plan, found
        raise AttachError(
            f"all {names.MAX_ATTEMPT} attempts of {plan_of(1).name} are used up", name=plan_of(1).name
        )

    def _attached(self, plan: JobPlan, there: Mapping[str, Any]) -> TrainingJob:
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
        return TrainingJob(plan.name, self.client, self.patience, attached=True)

    def _send(self, plan: JobPlan) -> None:
        objects = self.client.objects
        if self.bucket is None:
            objects.ensure_bucket(plan.place.bucket, plan.place.region)
        bucket = plan.place.bucket
        for upload in plan.uploads:
            there = self.patience.call(partial(objects.size, bucket, upload.key, upload.sha256))
            if there == upload.size:
                self._report(upload, upload.size, present=True)
            else:
                counter = _Counter(upload, self._report)
                objects.put(bucket, upload.key, upload.source, upload.sha256, counter)

    def _report(self, upload: Upload, sent: int, *, present: bool = False) -> None:
        if self.on_upload:
            self.on_upload(UploadProgress(upload.key, upload.size, sent, present))

    # -- inputs

    def _place(self, role: str | None = None) -> Place:
        identity = self.client.identity()
        role = role or self.role
        if not role:
            raise ConfigError(
                "no execution role: pass role= (--role), set IFT_ROLE, or put `role:` into the configuration "
                "file (docs/how-to/configure.md)",
                field="role",
                allowed="arn:aws:iam::ACCOUNT:role/NAME",
            )
        bucket = self.bucket or f"sagemaker-{identity.region}-{identity.account}"
        return Place(identity.region, identity.account, bucket, role)

    def _refuse_other_routes(self, model: FoundationModel) -> None:
        road = road_of(model, self.today())
        if road.route != OWN_ROUTE:
            raise UnsupportedError(
                f"{model.model_id} is tuned by route {road.route}, which is planned and not run yet: `ift "
                "plan` shows its requests",
                feature=f"running route {road.route}",
            )

    def _route_plan(
        self, spec: FineTuneSpec, model: FoundationModel, road: Road, data: Data, validation: Data | None
    ) -> RoutePlan:
        form, training = rows_in_form(_source(data), model, road)
        refuse_second_labels(form, validation=validation is not None)
        held_out = None
        if validation is not None:
            held_out = rows_in_form(_source(validation), model, road, held_out=True)[1]
        inputs = RouteInputs(spec, model, road, form, training, held_out)
        plan = PLANNERS[road.route](inputs, self._place())
        plan.check()
        return plan

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

    def _inputs(
        self, spec: FineTuneSpec, data: Data, validation: Data | None, weights: Weights
    ) -> TrainingInputs:
        return TrainingInputs(
            spec=spec,
            weights=weights,
            program=program(),
            training=_rows(_dataset(data)),
            validation=None if validation is None else _rows(_dataset(validation)),
        )


class _Counter:
    """Adds up the transfer manager's byte counts of one object."""

    def __init__(self, upload: Upload, report: Callable[[Upload, int], None]) -> None:
        self._upload, self._report, self._sent = upload, report, 0
        self._lock = threading.Lock()

    def __call__(self, count: int) -> None:
        """Parts are sent by several threads at once."""
        with self._lock:
            self._sent += count
            self._report(self._upload, self._sent)


def _spec(
    model_id: str,
    hyperparameters: Mapping[str, Scalar] | None,
    compute: Compute | None,
    tags: Mapping[str, str] | None,
    customization: Customization | None = None,
) -> FineTuneSpec:
    return FineTuneSpec(
        model=model_id,
        hyperparameters=dict(hyperparameters or {}),
        compute=compute or Compute(),
        customization=customization or Customization(),
        tags=dict(tags or {}),
    )


def _dataset(data: Data) -> InstructionDataset:
    source = _source(data)
    return source if isinstance(source, InstructionDataset) else InstructionDataset.read(source)


def _source(data: Data) -> Data:
    if isinstance(data, (InstructionDataset, str, Path)):
        return data
    raise ConfigError(
        f"data is a {type(data).__name__}: give an InstructionDataset (InstructionDataset.from_rows or "
        ".from_pandas make one) or the path of a JSON-lines file",
        field="data",
        allowed="InstructionDataset or path",
    )


def _rows(data: InstructionDataset) -> Rows:
    return Rows(data.wire_files(), data.fingerprint, len(data))


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


def _read_evaluation(run: TrainingJob) -> Evaluation:
    with tempfile.TemporaryDirectory(prefix="ift-evaluation-") as work:
        folder = run.download_output(Path(work) / "output")
        return Evaluation.from_predictions(list(read_rows(folder / PREDICTIONS_FILE)))
