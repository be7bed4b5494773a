"""`ModelTrainer` in command mode with this project's program on the image of its own route."""

from __future__ import annotations

import json
import logging
import sys

import boto3
from sagemaker.core.helper.session_helper import Session
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, InputData, SourceCode

ROLE, SOURCE, IMAGE, WEIGHTS, ROWS = sys.argv[1:]
logging.basicConfig(stream=sys.stderr, level=logging.INFO)

boto = boto3.Session()
boto.client("s3").create_bucket(Bucket="command-mode")
trainer = ModelTrainer(
    sagemaker_session=Session(boto_session=boto, default_bucket="command-mode"),
    role=ROLE,
    training_image=IMAGE,
    source_code=SourceCode(source_dir=SOURCE, command="python3 ift_program.pyz train"),
    compute=Compute(instance_type="ml.g5.xlarge", instance_count=1),
    hyperparameters={"max_steps": 2, "max_input_length": 64, "per_device_train_batch_size": 2},
    base_job_name="command-mode",
)
channels = [
    InputData(channel_name="training", data_source=ROWS),
    InputData(channel_name="model", data_source=WEIGHTS),
]
trainer.train(input_data_config=channels, wait=True, logs=True)
job = trainer._latest_training_job
sys.stdout.write(
    "\n" + json.dumps({"status": job.training_job_status, "artifact": job.model_artifacts.s3_model_artifacts})
)
