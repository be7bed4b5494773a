"""A running job's document and its log, for whoever runs it."""

from __future__ import annotations

from collections.abc import Callable

from ift_sagemaker.local.logs.lines import Metrics
from ift_sagemaker.local.logs.shipping import Events, Ship
from ift_sagemaker.local.state.resources import TRAINING_JOB, Document
from ift_sagemaker.local.state.settings import Context
from ift_sagemaker.local.supervision.folders import FIRST_HOST
from ift_sagemaker.local.training import document as job_document
from ift_sagemaker.local.training.document import StopAsked


class JobRecord:
    """The job `name` in the store of `context`. `asked` is its document as it was when the run began."""

    def __init__(self, context: Context, asked: Document) -> None:
        self.context = context
        self.asked = asked
        self.name: str = asked["TrainingJobName"]

    def now(self) -> Document | None:
        """The document as it stands, None where it was deleted."""
        return self.context.store.get(TRAINING_JOB, self.name)

    def update(self, change: Callable[[Document, float], Document]) -> Document:
        """The document after `change`, which gets it and the time."""
        now = self.context.clock()
        return self.context.store.update(TRAINING_JOB, self.name, lambda job: change(job, now))

    def is_stopped(self) -> bool:
        """Whether somebody asked to stop the job."""
        job = self.now()
        return job is None or job["TrainingJobStatus"] != "InProgress"

    def refuse_stopped(self) -> None:
        """Raises StopAsked where somebody asked to stop the job."""
        if self.is_stopped():
            raise StopAsked

    def ship_of(self, host: str = FIRST_HOST) -> Ship:
        """Appends to the log stream of a host."""
        stream = job_document.log_stream(self.asked, host)

        def ship(events: Events) -> None:
            self.context.store.append_log_events(job_document.LOG_GROUP, stream, events)

        return ship

    def tell(self, text: str) -> None:
        """A line of our own in the log of the first host."""
        self.ship_of()([(int(self.context.clock() * 1000), f"ift-local: {text}")])


class JobMetrics:
    """The metrics that a job's MetricDefinitions find in the log lines of all its hosts."""

    def __init__(self, record: JobRecord) -> None:
        self._record = record
        self._metrics = Metrics(record.asked["AlgorithmSpecification"].get("MetricDefinitions", []))
        self._changed = False

    def see(self, line: str) -> None:
        """Takes in a line."""
        self._changed |= self._metrics.read(line, self._record.context.clock())

    def publish(self) -> None:
        """Brings the document up to date where there is anything new."""
        if self._changed:
            self._changed = False
            self._record.update(lambda job, _: self.put(job))

    def put(self, job: Document) -> Document:
        """The document with the metrics as they stand."""
        found = self._metrics.final()
        return {**job, "FinalMetricDataList": found} if found else job
