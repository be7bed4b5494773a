"""`ModelTrainer` with an entry script on AWS's PyTorch image, its log tailed to the end."""

from __future__ import annotations

import json
import logging
import sys

import boto3
from sagemaker.core import image_uris
from sagemaker.core.helper.session_helper import Session
from sagemaker.train import ModelTrainer
from sagemaker.train.configs import Compute, InputData, SourceCode

ROLE, SOURCE = sys.argv[1:]
logging.basicConfig(stream=sys.stderr, level=logging.INFO)

boto = boto3.Session()
s3 = boto.client("s3")
s3.create_bucket(Bucket="script-mode")
s3.put_object(Bucket="script-mode", Key="rows/a.jsonl", Body=b'{"row": 1}\n')
trainer = ModelTrainer(
    sagemaker_session=Session(boto_session=boto, default_bucket="script-mode"),
    role=ROLE,
    training_image=image_uris.retrieve(
        "pytorch",
        "us-east-1",
        version="2.9.0",
        py_version="py312",
        instance_type="ml.m5.xlarge",
        image_scope="training",
    ),
    source_code=SourceCode(source_dir=SOURCE, entry_script="train.py"),
    compute=Compute(instance_type="ml.m5.xlarge", instance_count=1),
    hyperparameters={"epochs": 3, "note": "two words"},
    base_job_name="script-mode",
)
rows = InputData(channel_name="training", data_source="s3://script-mode/rows/")
trainer.train(input_data_config=[rows], wait=True, logs=True)
job = trainer._latest_training_job
told = {
    "status": job.training_job_status,
    "image": job.algorithm_specification.training_image,
    "artifact": job.model_artifacts.s3_model_artifacts,
}
sys.stdout.write("\n" + json.dumps(told))
