"""A training job: watch it, read its log and metrics, stop it, take its model, deploy it."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ift_sagemaker.aws.client import AWSClient
from ift_sagemaker.aws.errors import absent, goes_on
from ift_sagemaker.aws.logs import BearableLog, LogLine, Rest
from ift_sagemaker.aws.retry import Patience
from ift_sagemaker.aws.transfer import raise_disk_error
from ift_sagemaker.catalog.prices import PriceBook
from ift_sagemaker.endpoint import Endpoint, deploy
from ift_sagemaker.errors import (
    CapacityError,
    ConfigError,
    CredentialsError,
    JobError,
    ResourceNotFoundError,
    StorageError,
    TrainingJobFailed,
    TrainingJobStopped,
    UnsupportedError,
    WaitTimeout,
)
from ift_sagemaker.plan.alternatives import lacked_capacity
from ift_sagemaker.plan.costs import JobCost, job_cost
from ift_sagemaker.plan.deployments.vllm import DEFAULT_INSTANCE_TYPE, Deployable, plan_deployment
from ift_sagemaker.plan.estimate import Estimate
from ift_sagemaker.plan.plans import DeploymentPlan, Place
from ift_sagemaker.plan.routes.container import TunedModel, compute_of
from ift_sagemaker.report.progress import watching_where_seen
from ift_sagemaker.wire.archive import unpack
from ift_sagemaker.wire.jumpstart import TAG_STAND_IN, TAG_STAND_IN_WEIGHTS, is_jumpstarts, stand_in_note
from ift_sagemaker.wire.metrics import parse_metrics
from ift_sagemaker.wire.paths import CHANNEL_MODEL, DATA_MANIFEST_VARIABLE, MODEL_ID_VARIABLE

if TYPE_CHECKING:
    import pandas as pd

IN_PROGRESS = "InProgress"
COMPLETED = "Completed"
FAILED = "Failed"
STOPPED = "Stopped"
ENDED = frozenset({COMPLETED, FAILED, STOPPED})
LOG_TAIL_LINES = 20


@dataclass(frozen=True)
class Progress:
    """What one look at a job saw: its status, where it stands, and the log lines since the look before."""

    status: str
    secondary_status: str
    lines: tuple[LogLine, ...]


@dataclass
class TrainingJob:
    """Handle of one training job: a name plus a client. It re-attaches in any process."""

    name: str
    client: AWSClient = field(repr=False)
    patience: Patience = field(default_factory=Patience, repr=False)
    attached: bool = field(default=False, repr=False)
    """True where the job was there already, so that nothing was started."""
    made: bool = field(default=False, repr=False)
    """True where this handle's caller has just created the job, so that AWS may not show it yet."""
    description: dict[str, Any] = field(default_factory=dict, repr=False)
    prices: PriceBook = field(default_factory=PriceBook.shipped, repr=False)
    estimate: Estimate | None = field(default=None, repr=False)
    """What was estimated before the launch; None for a handle of a job started elsewhere."""
    again: Callable[[], TrainingJob] | None = field(default=None, repr=False)
    """Starts the run on the next type that may be tried."""

    def refresh(self) -> Self:
        """The same handle with a fresh description; raises ResourceNotFoundError for an unknown name."""
        ask = self.patience.find if self.made and not self.description else self.patience.call
        try:
            self.description = ask(lambda: self.client.describe_training_job(self.name))
        except ResourceNotFoundError as error:
            raise absent("training job", self.name, "ift jobs list", error) from error
        return self

    @property
    def status(self) -> str:
        """InProgress, Completed, Failed, Stopping or Stopped, as SageMaker spells them."""
        if not self.description:
            self.refresh()
        return str(self.description["TrainingJobStatus"])

    @property
    def model_id(self) -> str:
        return str(self._described().get("Environment", {}).get(MODEL_ID_VARIABLE, "unknown-model"))

    @property
    def data_manifest(self) -> str:
        """`s3://…` of the manifest of the rows it trains on; empty for a job of another making."""
        return str(self._described().get("Environment", {}).get(DATA_MANIFEST_VARIABLE, ""))

    @property
    def artifact_uri(self) -> str:
        """`s3://…/model.tar.gz`; raises JobError while there is none."""
        uri = self._described().get("ModelArtifacts", {}).get("S3ModelArtifacts", "")
        if not uri or self.status not in {COMPLETED, STOPPED}:
            raise JobError(
                f"training job {self.name} is {self.status} and has left no model",
                name=self.name,
                status=self.status,
            )
        return str(uri)

    @property
    def executed(self) -> dict[str, str]:
        """What really ran, where that is not what was asked (the local AWS says so in tags); else empty."""
        tags = self.client.tags(self._described()["TrainingJobArn"])
        return {key.removeprefix("ift:"): value for key, value in tags.items() if key in _EXECUTED_TAGS}

    @property
    def stand_in(self) -> str:
        """Which weights the local AWS trained in place of the model's own, in words; else empty."""
        name = self._stand_in_tags().get(TAG_STAND_IN)
        return stand_in_note(name, self.model_id) if name else ""

    def _stand_in_tags(self) -> dict[str, str]:
        """The tags of a JumpStart job; of others they are not asked for, which some roles may not do."""
        if not is_jumpstarts(self._channels().get(CHANNEL_MODEL, "")):
            return {}
        return self.client.tags(self._described()["TrainingJobArn"])

    def _channels(self) -> dict[str, str]:
        return {
            channel["ChannelName"]: channel["DataSource"]["S3DataSource"]["S3Uri"]
            for channel in self._described().get("InputDataConfig", [])
            if "S3DataSource" in channel.get("DataSource", {})
        }

    def cost(self) -> JobCost:
        """What the job has cost so far as SageMaker tells: nothing before it has ended."""
        if not self.description.get("BillableTimeInSeconds"):
            self.refresh()
        estimated = None if self.estimate is None else self.estimate.usd
        return job_cost(self.description, self.prices, billed=not self.executed, estimated=estimated)

    def _described(self) -> dict[str, Any]:
        if not self.description:
            self.refresh()
        return self.description

    # -- watching

    def watch(self) -> Iterator[Progress]:
        """One Progress a look, until the job has ended; the last one holds the rest of the log.

        Raises CredentialsError where the credentials end meanwhile, with how to return; the job goes on.
        """
        log = BearableLog(self.client.training_log(self.name), self.patience)
        rest = Rest(self.patience)
        while True:
            try:
                status = self.refresh().status
                lines = log.new_lines()
            except CredentialsError as error:
                attach = f"`ift jobs wait {self.name}` or session.training_job({self.name!r}).wait()"
                raise goes_on(f"Training job {self.name}", attach, error) from error
            over = status in ENDED and rest.is_over(lines)
            shown = status if over or status not in ENDED else IN_PROGRESS
            yield Progress(shown, str(self.description.get("SecondaryStatus", "")), lines)
            if over:
                return
            self.patience.pause()

    def wait(
        self, timeout: float | None = None, on_progress: Callable[[Progress], None] | None = None
    ) -> Self:
        """Returns when the job is Completed; shows a progress bar where there is a terminal or a notebook.

        `on_progress` is told of each look instead of the bar.
        Raises TrainingJobFailed with FailureReason and the last log lines, TrainingJobStopped (a stopped job
        is no success), or WaitTimeout after `timeout` seconds, while the job goes on.
        """
        if on_progress is not None:
            return self._waited(timeout, on_progress)
        with watching_where_seen(self.name) as bar:
            return self._waited(timeout, bar)

    def _waited(self, timeout: float | None, on_progress: Callable[[Progress], None]) -> Self:
        started = self.patience.clock()
        recent: list[str] = []
        for progress in self._watch_all():
            recent = [*recent, *(line.message for line in progress.lines)][-LOG_TAIL_LINES:]
            on_progress(progress)
            waited = self.patience.clock() - started
            if progress.status not in ENDED and timeout is not None and waited >= timeout:
                raise WaitTimeout(
                    f"training job {self.name} is {progress.status} after {waited:.0f} s; it goes on",
                    name=self.name,
                    status=progress.status,
                    seconds=waited,
                )
        self._raise_unless_completed(recent)
        return self

    def _watch_all(self) -> Iterator[Progress]:
        """As `watch`; where AWS lacked capacity the handle goes on as the run's next attempt."""
        yield from self.watch()
        if self.again is not None and lacked_capacity(self.description):
            with suppress(CapacityError):  # then the job's own failure is told
                following = self.again()
                self.name, self.description, self.estimate = following.name, {}, following.estimate
                self.made = following.made
                yield from self._watch_all()

    def _raise_unless_completed(self, recent: list[str]) -> None:
        reason = str(self.description.get("FailureReason", ""))
        if self.status == FAILED:
            raise TrainingJobFailed(
                f"training job {self.name} failed: {reason}\n" + "\n".join(recent),
                name=self.name,
                status=self.status,
                failure_reason=reason,
                log_tail=recent,
            )
        if self.status == STOPPED:
            secondary = str(self.description.get("SecondaryStatus", STOPPED))
            raise TrainingJobStopped(
                f"training job {self.name} was stopped ({secondary}): what it left is unfinished",
                name=self.name,
                status=self.status,
                failure_reason=reason,
                log_tail=recent,
            )

    def logs(self, *, follow: bool = False) -> Iterator[LogLine]:
        """The job's log lines so far; with `follow` until the job has ended.

        The log of a job that has just ended is waited for, since CloudWatch lags behind the job.
        """
        if follow:
            for progress in self.watch():
                yield from progress.lines
            return
        tail = self.client.training_log(self.name)
        if self._has_just_ended():
            yield from Rest(self.patience).read(tail)
        else:
            yield from self.patience.call(tail.poll)

    def _has_just_ended(self) -> bool:
        """Whether lines of the job may still be on their way, by this machine's clock and AWS's."""
        known = self.description if self.description.get("TrainingJobStatus") in ENDED else None
        ended = (known or self.refresh().description).get("TrainingEndTime")
        late = self.patience.late_log_in_seconds
        return ended is not None and self.patience.now() - ended.timestamp() < late

    def metrics(self) -> pd.DataFrame:
        """One row a metric line of the log: timestamp (UTC), step, epoch, train_loss, learning_rate …"""
        import pandas as pd

        rows = [
            {"timestamp": pd.Timestamp(line.timestamp, unit="ms", tz="UTC"), **values}
            for line in self.logs()
            if (values := parse_metrics(line.message))
        ]
        return pd.DataFrame(rows)

    # -- acting

    def stop(self) -> Self:
        """Asks the job to stop; it has 120 seconds to save. One that has ended stays as it is."""
        if self.refresh().status not in ENDED:
            self.patience.call(lambda: self.client.stop_training_job(self.name))
            self.refresh()
        return self

    def download(self, folder: str | Path, on_bytes: Callable[[int], None] | None = None) -> Path:
        """Unpacks the job's model into `folder`, which must not exist; it appears only when it is whole."""
        return self._unpacked(self.artifact_uri, Path(folder), on_bytes)

    def download_output(self, folder: str | Path) -> Path:
        """Unpacks `output.tar.gz` (what the job wrote to /opt/ml/output/data) into `folder`."""
        path = self._described()["OutputDataConfig"]["S3OutputPath"].rstrip("/")
        return self._unpacked(f"{path}/{self.name}/output/output.tar.gz", Path(folder), None)

    def _unpacked(self, uri: str, folder: Path, on_bytes: Callable[[int], None] | None) -> Path:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise StorageError(f"{folder} exists and is not empty; choose another folder", path=str(folder))
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as work:
                archive, unpacked = Path(work) / "archive.tar.gz", Path(work) / "unpacked"
                if uri.endswith("/"):  # CompressionType NONE
                    self.client.objects.get_all(uri, unpacked, on_bytes)
                else:
                    self.client.objects.get(uri, archive, on_bytes)
                    unpack(archive, unpacked)
                if folder.exists():
                    folder.rmdir()
                shutil.move(unpacked, folder)
        except OSError as error:
            raise_disk_error(error, folder)
            raise
        return folder

    # -- serving

    def plan_deployment(
        self,
        *,
        endpoint_name: str | None = None,
        instance_type: str = DEFAULT_INSTANCE_TYPE,
        allow_unfinished: bool = False,
        owner: str = "",
    ) -> DeploymentPlan:
        """The exact requests of a deployment; makes read-only calls alone.

        Raises JobError for a job that is not Completed, unless it was stopped, left a model and
        `allow_unfinished` is True.
        """
        self.require_model(allow_unfinished=allow_unfinished)
        self._refuse_what_vllm_cannot_serve()
        place = self._place()
        plan = plan_deployment(
            Deployable(
                job_name=self.name,
                model_id=self.model_id,
                artifact_uri=self.artifact_uri,
                owner=owner or secrets.token_hex(8),
                endpoint_name=endpoint_name,
                instance_type=instance_type,
                network_isolation=bool(self._described().get("EnableNetworkIsolation", True)),
                vpc=self._described().get("VpcConfig"),
                data_manifest=self.data_manifest,
                stand_in=self._stand_in_tags().get(TAG_STAND_IN, ""),
            ),
            place,
        )
        plan.check()
        return plan

    def require_model(self, *, allow_unfinished: bool = False) -> None:
        """Raises JobError for a job that is not Completed, unless it was stopped and that is allowed."""
        status = self.refresh().status
        if status == COMPLETED or (status == STOPPED and allow_unfinished):
            return
        hint = "; allow_unfinished=True (--allow-unfinished) takes what it left" if status == STOPPED else ""
        raise JobError(
            f"training job {self.name} is {status}, so there is no finished model{hint}",
            name=self.name,
            status=status,
        )

    def _refuse_what_vllm_cannot_serve(self) -> None:
        """Before anything bills: an evaluation leaves no model, and an adapter alone lacks its base."""
        description = self._described()
        values = description.get("HyperParameters", {})
        if description.get("AlgorithmSpecification", {}).get("ContainerArguments") == ["evaluate"]:
            raise ConfigError(
                f"{self.name} is an evaluation and has no model to deploy",
                field="job",
                value=self.name,
                allowed="a training job",
            )
        if values.get("peft_type") == "lora" and values.get("merge_weights") == "False":
            raise UnsupportedError(
                f"training job {self.name} saved an adapter without its base (merge_weights=False), and "
                "deploying adapters is not offered yet; train with merge_weights=True",
                feature="deploying an adapter",
            )

    def deploy(
        self,
        *,
        endpoint_name: str | None = None,
        instance_type: str = DEFAULT_INSTANCE_TYPE,
        allow_unfinished: bool = False,
        wait: bool = True,
    ) -> Endpoint:
        """A real-time endpoint of this job's model. Billed from now until it is deleted.

        The same call again attaches. Raises AttachError where something else has the endpoint's name, and
        EndpointFailed where it does not come up, after taking away what this call made.
        """
        plan = self.plan_deployment(
            endpoint_name=endpoint_name, instance_type=instance_type, allow_unfinished=allow_unfinished
        )
        endpoint = deploy(self.client, plan, self.patience)
        if not wait:
            return endpoint
        try:
            return endpoint.wait()
        except BaseException as error:
            endpoint.__exit__(type(error), error, None)
            raise

    def _place(self) -> Place:
        identity = self.client.identity()
        return Place(identity.region, identity.account, "", str(self._described()["RoleArn"]))

    def as_tuned(self) -> TunedModel:
        """The job as an evaluation needs it; raises ConfigError for a job of another making."""
        description = self._described()
        uris = self._channels()
        if CHANNEL_MODEL not in uris:
            raise ConfigError(
                f"training job {self.name} has no channel {CHANNEL_MODEL!r}: no base to compare with",
                field="job",
                value=self.name,
                allowed="a job of route container, or a stand-in of route jumpstart",
            )
        base, stand_in = uris[CHANNEL_MODEL], ""
        if is_jumpstarts(base):
            tags = self._stand_in_tags()
            base, stand_in = tags.get(TAG_STAND_IN_WEIGHTS, ""), tags.get(TAG_STAND_IN, "")
        if not base:
            raise UnsupportedError(
                f"the base of {self.name} lies in JumpStart's bucket, in a form that is not known here: "
                "comparing it with the tuned model is offered for stand-ins alone",
                feature="evaluating a JumpStart job",
            )
        return TunedModel(
            job_name=self.name,
            model_id=self.model_id,
            artifact_uri=self.artifact_uri,
            base_uri=base,
            compute=compute_of(description),
            stand_in=stand_in,
        )


_EXECUTED_TAGS = frozenset({"ift:local-runner", "ift:executed-image", TAG_STAND_IN})
