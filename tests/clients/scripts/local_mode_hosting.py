"""`LocalSession`, the SDK's local mode of hosting, on our serving image: /ping, then /invocations."""

from __future__ import annotations

import json
import logging
import sys

import boto3
from sagemaker.core.local.local_session import LocalSession

ROLE, IMAGE, MODEL, PORT = sys.argv[1:]
logging.basicConfig(stream=sys.stderr, level=logging.INFO)

session = LocalSession(boto_session=boto3.Session(), default_bucket="local-mode")
session.config = {"local": {"serving_port": int(PORT)}}
sagemaker, runtime = session.sagemaker_client, session.sagemaker_runtime_client
sagemaker.create_model(
    ModelName="m", PrimaryContainer={"Image": IMAGE, "ModelDataUrl": f"file://{MODEL}", "Environment": {}}
)
variant = {"VariantName": "one", "ModelName": "m", "InstanceType": "local", "InitialInstanceCount": 1}
sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant])
sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="c")
try:
    status = sagemaker.describe_endpoint(EndpointName="e")["EndpointStatus"]
    question = {"messages": [{"role": "user", "content": "word1"}], "max_tokens": 4, "temperature": 0}
    answer = runtime.invoke_endpoint(
        Body=json.dumps(question), EndpointName="e", ContentType="application/json"
    )
    completion = json.loads(answer["Body"].read())
    refused = runtime.invoke_endpoint(Body="no json", EndpointName="e", ContentType="application/json")
finally:
    sagemaker.delete_endpoint(EndpointName="e")
told = {
    "status": status,
    "content_type": answer["ContentType"],
    "choices": len(completion["choices"]),
    "tokens": completion["usage"]["completion_tokens"],
    "refused": refused["ResponseMetadata"]["HTTPStatusCode"],
}
sys.stdout.write("\n" + json.dumps(told))
