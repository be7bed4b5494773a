"""`ModelTrainer` in local mode on this project's training image, which runs its own program."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path

import boto3
from sagemaker.core.helper.session_helper import Session
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, InputData
from sagemaker.train.model_trainer import Mode

ROLE, IMAGE, WEIGHTS, ROWS, WORK = sys.argv[1:]
logging.basicConfig(stream=sys.stderr, level=logging.INFO)

# the image's user is not root: what this process makes for /opt/ml must be writable for it, and so must the
# one folder that the SDK leaves to the engine to make, as root's
os.umask(0)
(Path(WORK) / "model").mkdir(parents=True)
trainer = ModelTrainer(
    sagemaker_session=Session(boto_session=boto3.Session(), default_bucket="local-mode"),
    role=ROLE,
    training_image=IMAGE,
    training_mode=Mode.LOCAL_CONTAINER,
    local_container_root=WORK,
    compute=Compute(instance_type="local_cpu", instance_count=1),
    hyperparameters={"max_steps": 2, "max_input_length": 64, "per_device_train_batch_size": 2},
    base_job_name="local-mode",
)
channels = [
    InputData(channel_name="training", data_source=ROWS),
    InputData(channel_name="model", data_source=WEIGHTS),
]
trainer.train(input_data_config=channels, wait=True, logs=True)
artifact = Path(WORK) / "compressed_artifacts" / "model.tar.gz"
sys.stdout.write("\n" + json.dumps({"artifact": str(artifact)}))
