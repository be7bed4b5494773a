"""`ModelTrainer.from_jumpstart_config`, then `ModelBuilder` on what it trained, then `Endpoint.invoke`."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import boto3
from sagemaker.core.helper.session_helper import Session
from sagemaker.core.jumpstart import JumpStartConfig
from sagemaker.serve import ModelBuilder
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import InputData

ROLE, MODEL, ROWS, SERVING_IMAGE = sys.argv[1:]
logging.basicConfig(stream=sys.stderr, level=logging.INFO)

session = Session(boto_session=boto3.Session(), default_bucket="jumpstart")
boto3.client("s3").create_bucket(Bucket="jumpstart")
trainer = ModelTrainer.from_jumpstart_config(
    JumpStartConfig(model_id=MODEL),
    sagemaker_session=session,
    role=ROLE,
    hyperparameters={"epoch": 1, "max_input_length": 64, "per_device_train_batch_size": 2},
)
rows = InputData(channel_name="training", data_source=str(Path(ROWS)))
trainer.train(input_data_config=[rows], wait=True, logs=True)
job = trainer._latest_training_job
artifact = job.model_artifacts.s3_model_artifacts

builder = ModelBuilder(
    image_uri=SERVING_IMAGE,
    s3_model_data_url=artifact,
    role_arn=ROLE,
    sagemaker_session=session,
    instance_type="ml.g5.xlarge",
)
builder.build()
endpoint = builder.deploy(
    endpoint_name="built-by-the-sdk", instance_type="ml.g5.xlarge", initial_instance_count=1
)
status = endpoint.endpoint_status
answer = endpoint.invoke(
    body=json.dumps({"messages": [{"role": "user", "content": "word1"}], "max_tokens": 4}).encode(),
    content_type="application/json",
)
completion = json.loads(answer.body.read())
endpoint.delete()
told = {
    "trained": job.training_job_status,
    "hyperparameters": job.hyper_parameters,
    "channels": [channel.channel_name for channel in job.input_data_config],
    "artifact": artifact,
    "served": status,
    "choices": len(completion["choices"]),
}
sys.stdout.write("\n" + json.dumps(told))
