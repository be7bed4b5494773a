"""A session executes plans in one account: fine-tune, evaluate, and the handles of what exists."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ift_sagemaker.aws.client import AWSClient
from ift_sagemaker.aws.retry import Patience
from ift_sagemaker.aws.upload import Sending
from ift_sagemaker.catalog.models import today
from ift_sagemaker.catalog.prices import PriceBook
from ift_sagemaker.catalog.weights import WeightsCache
from ift_sagemaker.contract import names
from ift_sagemaker.data import InstructionDataset
from ift_sagemaker.data.reading.sources import Stored
from ift_sagemaker.data.sending.manifest import DATA_PREFIX, UploadedData
from ift_sagemaker.endpoint import Endpoint
from ift_sagemaker.evaluation import Evaluation
from ift_sagemaker.launching import Launcher
from ift_sagemaker.plan.calls import RoutePlan
from ift_sagemaker.plan.deployments.vllm import DEFAULT_INSTANCE_TYPE
from ift_sagemaker.plan.estimate import Estimate
from ift_sagemaker.plan.offers import Offer, offers
from ift_sagemaker.plan.plans import JobPlan, Place
from ift_sagemaker.plan.routes.container import EvaluationInputs, plan_evaluation
from ift_sagemaker.plan.spec import Compute, Customization, FineTuneSpec, Scalar
from ift_sagemaker.plan.tokens import TokenCount
from ift_sagemaker.planning import Calibrate, Planner, rows_on_the_wire
from ift_sagemaker.reading import Data, Reader
from ift_sagemaker.training import Progress, TrainingJob
from ift_sagemaker.uploading import Uploader, UploadProgress
from ift_sagemaker.wire.artifact import PREDICTIONS_FILE
from ift_sagemaker.wire.program import program
from ift_sagemaker.wire.rows import read_rows
from ift_sagemaker.wire.template import PromptTemplate

if TYPE_CHECKING:
    from ift_sagemaker.diagnosis import Diagnosis
    from ift_sagemaker.doctor import DoctorReport


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
    calibrate: Calibrate | None = field(default=None, repr=False)
    """The speed measured on this machine; None where jobs do not run on it."""
    today: Callable[[], date] = field(default=today, repr=False)
    """By which roads of the catalogue are open or closed."""
    takes_stand_ins: bool = field(default=False, repr=False)
    """Whether jobs run on this machine, which may train other weights in place of those that only AWS has."""
    machine: Callable[[], Mapping[str, Any]] | None = field(default=None, repr=False)
    """What this machine offers to jobs; None where they do not run on it."""

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
        tokens: TokenCount | Literal["exact"] | None = None,
    ) -> JobPlan | RoutePlan:
        """Uploads, the exact requests and the estimate of a fine-tuning run. Writes nothing, sends nothing.

        By the model's first route that takes jobs today, or the one that `customization` names: a JobPlan for
        our own route, `container`, a RoutePlan for the others; `fine_tune` runs the routes container and
        jumpstart. `tokens` are those of `data`; without them the model's own tokenizer counts a sample of the
        rows, or all of them for "exact" (about a second for a million tokens). Without the
        package tokenizers they are estimated from characters, and said to be.
        Raises DatasetError for bad rows, ModelNotFoundError, ConfigError for a hyperparameter or field
        outside its range, UnsupportedError for a closed road (with date and alternative) and for what is not
        at hand, WeightsError where the base weights were not pulled yet, RequestError where AWS would refuse,
        and CostLimitError where `compute.max_cost` cannot be kept.
        """
        spec = _spec(model_id, hyperparameters, compute, tags, customization)
        return self._planner.plan(spec, data, validation, tokens)

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
        `compute.max_cost` forbids; CapacityError where AWS has none of the types in `compute` to give;
        TrainingJobFailed or TrainingJobStopped where it ended so and `retry` is False; UnsupportedError for
        a model of a route that nothing here runs, whose requests `plan` shows, and for a stand-in on AWS or
        of a model that our program could not train.
        """
        spec = _spec(model_id, hyperparameters, compute, tags, customization)
        plans = self._planner.attempts(spec, data, validation, self.on_fetch, stand_in)
        return self._launcher.launch(plans, retry=retry)

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
        rows = rows_on_the_wire(self._reader.dataset(data))
        handle = self.training_job(job) if isinstance(job, str) else job
        handle.require_model(allow_unfinished=allow_unfinished)
        inputs = EvaluationInputs(handle.as_tuned(), rows, program(), {"max_new_tokens": max_new_tokens})
        place = self._planner.place(role=handle.description["RoleArn"])
        run = self._launcher.launch(
            {"": lambda attempt: plan_evaluation(inputs, place, attempt)}, retry=retry
        )
        run.wait(on_progress=on_progress)
        return replace(_read_evaluation(run), stand_in=inputs.tuned.stand_in_note)

    # -- data

    def at(self, address: str) -> Stored:
        """Rows at `s3://bucket/key`, or those directly below a prefix, for `read` and `ift.data.convert`."""
        return self._reader.at(address)

    def read(
        self,
        source: str | Path | Stored,
        *,
        format: str | None = None,  # noqa: A002 - the word of the field
        fields: Mapping[str, str] | None = None,
        template: PromptTemplate | None = None,
    ) -> InstructionDataset:
        """The rows of `source` as `InstructionDataset.read` gives them, an `s3://` address included."""
        return self._reader.read(source, format=format, fields=fields, template=template)

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
        return self._uploader.upload(source, prefix, kms_key, owner)

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

    def doctor(
        self,
        model_id: str | None = None,
        *,
        compute: Compute | None = None,
        endpoint_instance_type: str = DEFAULT_INSTANCE_TYPE,
    ) -> DoctorReport:
        """What this account or machine lacks for a run, with the IAM statements to add. Reads only.

        What cannot be looked at is a check of its own, `not checked`, with the reason; nothing is raised.
        """
        from ift_sagemaker.doctor.checks import examine
        from ift_sagemaker.doctor.looking import Asked, look

        asked = Asked(
            target="aws" if self.machine is None else "local",
            role=self.role,
            bucket=self.bucket,
            prices=self.prices,
            weights=self.weights,
            today=self.today(),
            model_id=model_id,
            compute=compute or Compute(),
            endpoint_instance_type=endpoint_instance_type,
            machine=self.machine,
        )
        return examine(*look(self.client, asked))

    def why(self, name: str) -> Diagnosis:
        """Why a training job or endpoint failed, stopped or waits, with what to type next. Reads only.

        Raises ResourceNotFoundError where there is neither.
        """
        from ift_sagemaker.diagnosis.seen import why

        return why(self.client, self.patience, name)

    def place(self) -> Place:
        """Where this session's jobs run; raises ConfigError where no execution role is known."""
        return self._planner.place()

    # -- who does the work, by the settings of this moment

    @property
    def _reader(self) -> Reader:
        return Reader(self.client)

    @property
    def _planner(self) -> Planner:
        return Planner(
            self.client,
            self.role,
            self.bucket,
            self.weights,
            self.prices,
            self.calibrate,
            self.today,
            takes_stand_ins=self.takes_stand_ins,
        )

    @property
    def _uploader(self) -> Uploader:
        return Uploader(self.client, self.bucket, self.sending, self.patience, self.on_upload)

    @property
    def _launcher(self) -> Launcher:
        return Launcher(self.client, self._uploader, self.patience, self.prices)


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


def _read_evaluation(run: TrainingJob) -> Evaluation:
    with tempfile.TemporaryDirectory(prefix="ift-evaluation-") as work:
        folder = run.download_output(Path(work) / "output")
        return Evaluation.from_predictions(list(read_rows(folder / PREDICTIONS_FILE)))
