"""A session executes plans in one account: fine-tune, evaluate, and the handles of what exists."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from ift_sagemaker.aws.client import AWSClient
from ift_sagemaker.aws.retry import Patience
from ift_sagemaker.aws.transfer import Objects, split_uri
from ift_sagemaker.aws.upload import Sending, Sent
from ift_sagemaker.catalog import FoundationModel, find
from ift_sagemaker.catalog.models import Road, today
from ift_sagemaker.catalog.prices import PriceBook
from ift_sagemaker.catalog.stand_ins import stand_in_weights
from ift_sagemaker.catalog.weights import Weights, WeightsCache
from ift_sagemaker.contract import names
from ift_sagemaker.data import InstructionDataset
from ift_sagemaker.data.manifest import DATA_PREFIX, UploadedData
from ift_sagemaker.data.outgoing import Outgoing, OutgoingSet, of_dataset, of_path
from ift_sagemaker.data.sources import REMOTE, Stored
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
from ift_sagemaker.plan.calibration import Calibration
from ift_sagemaker.plan.calls import RoutePlan
from ift_sagemaker.plan.estimate import Estimate, Target
from ift_sagemaker.plan.forecast import forecast, training_of
from ift_sagemaker.plan.forms import refuse_second_labels
from ift_sagemaker.plan.offers import Offer, offers
from ift_sagemaker.plan.plans import JobPlan, Place
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
from ift_sagemaker.plan.routes.jumpstart import JUMPSTART_ROUTE, plan_jumpstart, refuse_stand_in
from ift_sagemaker.plan.spec import Compute, Customization, FineTuneSpec, Scalar
from ift_sagemaker.plan.tokens import TokenCount, count_tokens
from ift_sagemaker.plan.workload import Training
from ift_sagemaker.training import FAILED, STOPPED, Progress, TrainingJob
from ift_sagemaker.wire.artifact import PREDICTIONS_FILE
from ift_sagemaker.wire.hyperparameters import parse_hyperparameters
from ift_sagemaker.wire.program import program
from ift_sagemaker.wire.rows import read_rows
from ift_sagemaker.wire.template import PromptTemplate

Data = InstructionDataset | Stored | str | Path
Plan = JobPlan | RoutePlan
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
    sending: Sending = field(default_factory=Sending, repr=False)
    prices: PriceBook = field(default_factory=PriceBook.shipped, repr=False)
    calibrate: Callable[[AWSClient, str, Training], Calibration | None] | None = field(
        default=None, repr=False
    )
    """The speed measured on this machine; None where jobs do not run on it."""
    takes_stand_ins: bool = field(default=False, repr=False)
    """Whether jobs run on this machine, which may train other weights in place of those that only AWS has."""
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
        tokens: TokenCount | None = None,
    ) -> JobPlan | RoutePlan:
        """Uploads, the exact requests and the estimate of a fine-tuning run. Writes nothing, sends nothing.

        By the model's first route that takes jobs today, or the one that `customization` names: a JobPlan for
        our own route, `container`, a RoutePlan for the others; `fine_tune` runs the routes container and
        jumpstart. `tokens` are those of `data`; without them they are estimated from a sample of the rows.
        Raises DatasetError for bad rows, ModelNotFoundError, ConfigError for a hyperparameter or field
        outside its range, UnsupportedError for a closed road (with date and alternative) and for what is not
        at hand, WeightsError where the base weights were not pulled yet, RequestError where AWS would refuse,
        and CostLimitError where `compute.max_cost` cannot be kept.
        """
        model = find(model_id)
        spec = _spec(model_id, hyperparameters, compute, tags, customization)
        road = road_of(model, self.today(), spec.customization.route)
        if road.route != OWN_ROUTE:
            return self._route_plan(spec, model, road, data, validation)
        parse_hyperparameters(spec.hyperparameters)
        weights, place = self._found_weights(model_id), self._place()
        rows = self._dataset(data)
        held_out = None if validation is None else self._dataset(validation)
        inputs, found = self._forecast(
            self._inputs(spec, rows, held_out, weights),
            tokens or count_tokens(rows),
            held_out,
            place,
            calibrated=True,
        )
        plan = plan_training(inputs, place).with_estimate(found)
        plan.check()
        return plan

    def offers(self, found: Estimate) -> list[Offer]:
        """Instance types for the run that a plan's `estimate` is of, the best first; see `plan.offers`."""
        return offers(found.subject, found.training, found.tokens, found.target)

    def fine_tune(  # noqa: PLR0913 - each is a word of the user's
        self,
        model_id: str,
        data: Data,
        *,
        validation: Data | None = None,
        hyperparameters: Mapping[str, Scalar] | None = None,
        compute: Compute | None = None,
        customization: Customization | None = None,
        tags: Mapping[str, str] | None = None,
        retry: bool = False,
        stand_in: str | Path | None = None,
    ) -> TrainingJob:
        """The job of a fine-tuning run: started and billed, or attached to where the same run exists.

        `data` is an InstructionDataset, or the path or `s3://` address of rows; hyperparameters are those of
        `ift models show` (docs/reference/hyperparameters.md).
        Fetches the base weights first where this machine lacks them; on route jumpstart AWS has them, and the
        local AWS trains those of `stand_in` (a checkpoint's folder, or a catalogue id of route container) in
        their place: the job, its handle and its evaluation say so. Raises as `plan` does; AttachError where
        the same run exists under another role, key, network or isolation; CostLimitError before a launch that
        `compute.max_cost` forbids; TrainingJobFailed or TrainingJobStopped where it ended so and
        `retry` is False; UnsupportedError for a model of a route that nothing here runs, whose requests
        `plan` shows, and for a stand-in on AWS or of a model that our program could not train.
        """
        spec, model = _spec(model_id, hyperparameters, compute, tags, customization), find(model_id)
        road = road_of(model, self.today(), spec.customization.route)
        if stand_in is not None:
            refuse_stand_in(model, road, local=self.takes_stand_ins)
        if road.route == JUMPSTART_ROUTE:
            weights = None if stand_in is None else stand_in_weights(stand_in, self.weights, self.on_fetch)
            asked = self._route_inputs(spec, model, road, data, validation, weights)
            place = self._place()
            return self._execute(lambda attempt: plan_jumpstart(asked, place, attempt), retry=retry)
        _refuse_other_routes(model, road)
        parse_hyperparameters(hyperparameters or {})
        rows = self._dataset(data)
        held_out = None if validation is None else self._dataset(validation)
        place = self._place()
        base = self.weights.find(model_id) or self.weights.pull(model_id, self.on_fetch)
        inputs, found = self._forecast(
            self._inputs(spec, rows, held_out, base), count_tokens(rows), held_out, place
        )
        return self._execute(
            lambda attempt: plan_training(inputs, place, attempt).with_estimate(found), retry=retry
        )

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
        rows = _rows(self._dataset(data))
        handle = self.training_job(job) if isinstance(job, str) else job
        handle.require_model(allow_unfinished=allow_unfinished)
        inputs = EvaluationInputs(handle.as_tuned(), rows, program(), {"max_new_tokens": max_new_tokens})
        place = self._place(role=handle.description["RoleArn"])
        run = self._execute(lambda attempt: plan_evaluation(inputs, place, attempt), retry=retry)
        run.wait(on_progress=on_progress)
        return replace(_read_evaluation(run), stand_in=inputs.tuned.stand_in_note)

    # -- data

    def at(self, address: str) -> Stored:
        """Rows at `s3://bucket/key`, or those directly below a prefix, for `read` and `ift.data.convert`."""
        return Stored(address, self.client.files)

    def read(
        self,
        source: str | Path | Stored,
        *,
        format: str | None = None,  # noqa: A002 - the word of the field
        fields: Mapping[str, str] | None = None,
        template: PromptTemplate | None = None,
    ) -> InstructionDataset:
        """The rows of `source` as `InstructionDataset.read` gives them, an `s3://` address included."""
        remote = isinstance(source, str) and source.startswith(REMOTE)
        found = self.at(str(source)) if remote else source
        return InstructionDataset.read(found, format=format, fields=fields, template=template)

    def upload(
        self,
        source: Data,
        *,
        prefix: str = DATA_PREFIX,
        kms_key: str | None = None,
        owner: str | None = None,
    ) -> UploadedData:
        """A dataset, or any file or folder as it is, in S3 below a name made of its content.

        What is there is not sent again. `prefix` is a key prefix in the session's bucket, or
        `s3://bucket/prefix`. `kms_key` encrypts with that key; `owner` is the account the bucket must belong
        to, by default the caller's. A manifest is put beside the data. Memory does not grow with files.
        Raises ConfigError for what cannot be sent, SourceChangedError where a file changes meanwhile,
        AccessDeniedError for another owner's bucket or a missing right, ResourceNotFoundError for no bucket.
        """
        bucket, folder = self._address(prefix)
        ready = self._outgoing(source, folder)
        objects = self.client.objects if owner is None else self.client.objects.of(owner)
        if bucket is None:
            bucket = self._default_bucket()
            if owner is None:
                objects.ensure_bucket(bucket, self.client.region)
        sending = replace(self.sending, kms_key=kms_key or self.sending.kms_key)
        results = [
            (item, self._send_object(objects, bucket, key, item, sending)) for key, item in ready.keyed()
        ]
        return UploadedData(
            uri=f"s3://{bucket}/{ready.manifest.data_prefix(folder)}",
            manifest_uri=f"s3://{bucket}/{ready.manifest.key(folder)}",
            manifest=ready.manifest,
            sent=sum(sent.sent for _, sent in results),
            present=sum(item.size for item, sent in results if sent.present),
            resumed=sum(sent.resumed for _, sent in results),
            remarks=tuple(dict.fromkeys(sent.remark for _, sent in results if sent.remark)),
        )

    def _address(self, prefix: str) -> tuple[str | None, str]:
        """Bucket, None for the default one, and key prefix without slashes at its ends."""
        if "://" not in prefix:
            return self.bucket, prefix.strip("/") or DATA_PREFIX
        bucket, key = split_uri(prefix)
        return bucket, key.strip("/") or DATA_PREFIX

    def _outgoing(self, source: Data, prefix: str) -> OutgoingSet:
        if isinstance(source, InstructionDataset):
            report = source.check().to_dict()
            told = {name: value for name, value in report.items() if name not in {"path", "findings"}}
            return of_dataset(source, report=told, prefix=prefix)
        if isinstance(source, Stored):
            raise ConfigError(f"{source} is in S3 already", field="source", value=str(source))
        return of_path(Path(source), prefix=prefix, least=self.sending.part_bytes)

    # -- what exists

    def training_job(self, name: str) -> TrainingJob:
        """Handle of an existing job; raises ResourceNotFoundError for an unknown name."""
        return TrainingJob(name, self.client, self.patience, attached=True, prices=self.prices).refresh()

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

    def _execute(self, plan_of: Callable[[int], Plan], *, retry: bool) -> TrainingJob:
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
        return self._handle(plan, made=True)

    def _next_attempt(self, plan_of: Callable[[int], Plan]) -> tuple[Plan, dict[str, Any] | None]:
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

    def _attached(self, plan: Plan, there: Mapping[str, Any]) -> TrainingJob:
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
        return self._handle(plan, attached=True)

    def _handle(self, plan: Plan, **how: Any) -> TrainingJob:
        return TrainingJob(
            plan.name, self.client, self.patience, prices=self.prices, estimate=plan.estimate, **how
        )

    def _send(self, plan: Plan) -> None:
        objects = self.client.objects
        if self.bucket is None:
            objects.ensure_bucket(plan.place.bucket, plan.place.region)
        for upload in plan.uploads:
            item = Outgoing(upload.key.rpartition("/")[2], upload.source, upload.size, upload.sha256)
            self._send_object(objects, plan.place.bucket, upload.key, item, self.sending)

    def _send_object(self, objects: Objects, bucket: str, key: str, item: Outgoing, sending: Sending) -> Sent:
        counter = _Counter(key, item.size, self.on_upload)
        sent = objects.send(bucket, key, item, sending=sending, patience=self.patience, on_bytes=counter)
        if sent.present and self.on_upload:
            self.on_upload(UploadProgress(key, item.size, item.size, present=True))
        return sent

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
        return Place(identity.region, identity.account, self.bucket or self._default_bucket(), role)

    def _default_bucket(self) -> str:
        identity = self.client.identity()
        return f"sagemaker-{identity.region}-{identity.account}"

    def _route_plan(
        self, spec: FineTuneSpec, model: FoundationModel, road: Road, data: Data, validation: Data | None
    ) -> RoutePlan:
        plan = PLANNERS[road.route](self._route_inputs(spec, model, road, data, validation), self._place())
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
        form, training = rows_in_form(_local_source(data), model, road)
        refuse_second_labels(form, validation=validation is not None)
        held_out = None
        if validation is not None:
            held_out = rows_in_form(_local_source(validation), model, road, held_out=True)[1]
        return RouteInputs(spec, model, road, form, training, held_out, stand_in)

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
        held_out: InstructionDataset | None,
        place: Place,
        *,
        calibrated: bool = False,
    ) -> tuple[TrainingInputs, Estimate]:
        spec, known = inputs.spec, None
        if self.calibrate is not None and calibrated:
            known = self.calibrate(self.client, spec.model, training_of(inputs))
        target = Target(spec.compute, place.region, self.prices, self.calibrate is not None, known)
        return forecast(inputs, tokens, None if held_out is None else count_tokens(held_out), target)

    def _inputs(
        self, spec: FineTuneSpec, data: Data, validation: Data | None, weights: Weights
    ) -> TrainingInputs:
        return TrainingInputs(
            spec=spec,
            weights=weights,
            program=program(),
            training=_rows(self._dataset(data)),
            validation=None if validation is None else _rows(self._dataset(validation)),
        )

    def _dataset(self, data: Data) -> InstructionDataset:
        if isinstance(data, InstructionDataset):
            return data
        if isinstance(data, (str, Path, Stored)):
            return self.read(data)
        raise ConfigError(
            f"data is a {type(data).__name__}: give an InstructionDataset (InstructionDataset.from_rows or "
            ".from_pandas make one), the path of a JSON-lines file or its s3:// address",
            field="data",
            allowed="InstructionDataset, path or s3:// address",
        )


class _Counter:
    """Adds up the byte counts of one object; parts that are lost count back."""

    def __init__(self, key: str, size: int, report: Callable[[UploadProgress], None] | None) -> None:
        self._key, self._size, self._report, self._sent = key, size, report, 0
        self._lock = threading.Lock()

    def __call__(self, count: int) -> None:
        """Parts are sent by several threads at once."""
        with self._lock:
            self._sent += count
            if self._report:
                self._report(UploadProgress(self._key, self._size, self._sent))


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


def _local_source(data: Data) -> InstructionDataset | str | Path:
    if isinstance(data, (InstructionDataset, str, Path)):
        return data
    raise UnsupportedError(
        f"{data} cannot be planned for this route from where it lies: give the path of rows on this machine",
        feature="rows in S3 for routes other than container",
    )


def _rows(data: InstructionDataset) -> Rows:
    ready = of_dataset(data)
    files = {file.name: file.source for file in ready.files if isinstance(file.source, bytes)}
    return Rows(files, data.fingerprint, len(data), ready.manifest)


def _at(document: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    """Value at a path; absent, empty and False are all None, as Describe leaves them out."""
    value: Any = document
    for part in path:
        value = value.get(part) if isinstance(value, Mapping) else None
    return value or None


def _refuse_other_routes(model: FoundationModel, road: Road) -> None:
    if road.route != OWN_ROUTE:
        raise UnsupportedError(
            f"{model.model_id} is tuned by route {road.route}, which is planned and not run yet: `ift "
            "plan` shows its requests",
            feature=f"running route {road.route}",
        )


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
