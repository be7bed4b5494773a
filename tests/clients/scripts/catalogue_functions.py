"""What the SDK's look-ups find of our catalogue in JumpStart's bucket."""

from __future__ import annotations

import json
import sys

import boto3
from sagemaker.core import (
    hyperparameters,
    image_uris,
    instance_types,
    metric_definitions,
    model_uris,
    script_uris,
)
from sagemaker.core.helper.session_helper import Session

MODEL = sys.argv[1]
model = {
    "model_id": MODEL,
    "model_version": "*",
    "sagemaker_session": Session(boto_session=boto3.Session(), default_bucket="look-ups"),
}
image = {"framework": None, "region": "us-east-1", "instance_type": "ml.g5.xlarge", **model}

refused = ""
try:
    hyperparameters.validate(hyperparameters={"epoch": "-5"}, **model)
except Exception as error:  # noqa: BLE001 - whatever the SDK raises is what is told
    refused = str(error)
hyperparameters.validate(hyperparameters=hyperparameters.retrieve_default(**model), **model)
told = {
    "hyperparameters": hyperparameters.retrieve_default(**model),
    "refused": refused,
    "instance_type": instance_types.retrieve_default(scope="training", **model),
    "training_image": image_uris.retrieve(image_scope="training", **image),
    "serving_image": image_uris.retrieve(image_scope="inference", **image),
    "weights": model_uris.retrieve(model_scope="training", **model),
    "script": script_uris.retrieve(script_scope="training", **model),
    "metrics": [metric["Name"] for metric in metric_definitions.retrieve_default(**model)],
}
sys.stdout.write("\n" + json.dumps(told))
