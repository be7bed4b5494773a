"""`ModelBuilder` in the mode LOCAL_CONTAINER on this project's serving image."""

from __future__ import annotations

import json
import logging
import sys

import boto3
from sagemaker.core.helper.session_helper import Session
from sagemaker.serve import InferenceSpec, ModelBuilder, ModelServer
from sagemaker.serve.builder.schema_builder import SchemaBuilder
from sagemaker.serve.mode.function_pointers import Mode

ROLE, IMAGE, MODEL = sys.argv[1:]
logging.basicConfig(stream=sys.stderr, level=logging.INFO)
QUESTION = {"messages": [{"role": "user", "content": "word1"}], "max_tokens": 4, "temperature": 0}


class Unused(InferenceSpec):
    """Asked for by the SDK, which puts it beside the model; our server reads the model itself."""

    def load(self, model_dir: str) -> None:
        raise NotImplementedError

    def invoke(self, input_object: object, model: object) -> None:
        raise NotImplementedError


builder = ModelBuilder(
    image_uri=IMAGE,
    inference_spec=Unused(),
    model_server=ModelServer.TORCHSERVE,
    schema_builder=SchemaBuilder(json.dumps(QUESTION), "{}"),
    dependencies={"auto": False},  # looking for them starts a Python without the region that the SDK needs
    mode=Mode.LOCAL_CONTAINER,
    model_path=MODEL,
    role_arn=ROLE,
    sagemaker_session=Session(boto_session=boto3.Session(), default_bucket="local-mode"),
)
builder.build()
endpoint = builder.deploy_local(endpoint_name="local")
try:
    answer = endpoint.invoke(body=json.dumps(QUESTION), content_type="application/json")
    completion = json.loads(json.loads(answer.body.read()))  # the SDK wraps the body as one JSON string
finally:
    endpoint.local_container_mode_obj.destroy_server()
    endpoint.delete()
sys.stdout.write("\n" + json.dumps({"completion": completion}))
