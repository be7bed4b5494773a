"""What this machine can do, told by the jobs that have ended in its local AWS."""

from __future__ import annotations

from itertools import islice

from ift_sagemaker.aws.client import AWSClient
from ift_sagemaker.contract import names
from ift_sagemaker.plan.calibration import Calibration, calibrate, is_comparable
from ift_sagemaker.plan.workload import Training
from ift_sagemaker.wire.paths import MODEL_ID_VARIABLE

LOOKS = 10
"""Finished jobs of the model that are looked at, newest first."""


def measured_speed(client: AWSClient, model_id: str, training: Training) -> Calibration | None:
    """The speed of the newest finished job of the same model and comparable settings; None without one.

    `client` is the local AWS: a job's speed on AWS's instances says nothing of this machine.
    """
    prefix = f"{names.PREFIX}{names.slug(model_id)}-"
    finished = (
        job["TrainingJobName"]
        for job in client.list_training_jobs(prefix)
        if job["TrainingJobStatus"] == "Completed"
    )
    for name in islice(finished, LOOKS):
        description = client.describe_training_job(name)
        same = description.get("Environment", {}).get(MODEL_ID_VARIABLE) == model_id
        if same and is_comparable(description, training):
            lines = client.training_log(name).poll()
            if found := calibrate(description, ((line.timestamp, line.message) for line in lines)):
                return found
    return None
