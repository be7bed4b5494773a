"""What the weather does to jobs and endpoints: they wait for capacity, and take their time to go."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ift_sagemaker.local.context import create_context
from ift_sagemaker.local.hosting.run import EndpointRun
from ift_sagemaker.local.running.runner import ProcessRunner
from ift_sagemaker.local.state.resources import ENDPOINT, TRAINING_JOB
from ift_sagemaker.local.state.settings import LocalSettings
from ift_sagemaker.local.supervision.launch import begin
from ift_sagemaker.local.supervision.leases import Lease, acquire, lease_path
from ift_sagemaker.local.supervision.slots import Slots
from ift_sagemaker.local.supervision.waiting import Time
from ift_sagemaker.local.weather.profile import Weather
from tests.unit.local.machine import FakeTime


def _start(root: Path, kind: str, name: str, lease: Lease) -> None:
    """No supervisor: the test is it."""


def test_a_job_gets_no_slot_before_there_is_capacity(tmp_path: Path) -> None:
    clock = FakeTime()
    calm = create_context(LocalSettings(root=tmp_path / "aws", runner="process"), clock)
    stormy = replace(calm, settings=replace(calm.settings, weather="aws"))
    job = {"TrainingJobName": "j", "TrainingJobStatus": "InProgress", "CreationTime": clock.now}
    begin(stormy, TRAINING_JOB, "j", job, 1, _start)
    supervisor = acquire(lease_path(calm.store.root, TRAINING_JOB, "j"))
    assert supervisor is not None
    slots = Slots(calm.store.root, TRAINING_JOB, 1, clock)
    waits = Weather().waits_for_capacity(TRAINING_JOB, "j")
    clock.now += waits - 0.01
    assert slots.take("j") is None
    clock.now += 0.02
    assert slots.take("j") is not None
    supervisor.release()
    calm.store.close()


def test_a_deleted_endpoint_stays_deleting_for_a_while(tmp_path: Path) -> None:
    clock = FakeTime()
    context = create_context(LocalSettings(root=tmp_path / "aws", weather="aws"), clock)
    endpoint = {"EndpointName": "end", "EndpointStatus": "Deleting", "CreationTime": clock.now}
    context.store.insert(ENDPOINT, "end", endpoint)
    seen: list[tuple[float, bool]] = []

    def sleep(seconds: float) -> None:
        seen.append((seconds, context.store.get(ENDPOINT, "end") is not None))
        clock.sleep(seconds)

    EndpointRun(context, endpoint, ProcessRunner(), Time(sleep, clock)).run()
    assert seen == [(Weather().deleting, True)], "it is there while it is being deleted"
    assert context.store.get(ENDPOINT, "end") is None
    context.store.close()
