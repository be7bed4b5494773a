"""Requests that AWS would accept, to be changed in one place by each test."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

ROLE = "arn:aws:iam::123456789012:role/ift"
CHANNEL: dict[str, Any] = {
    "ChannelName": "training",
    "DataSource": {
        "S3DataSource": {
            "S3DataType": "S3Prefix",
            "S3Uri": "s3://bucket/ift/data/0123/",
            "S3DataDistributionType": "FullyReplicated",
        }
    },
    "InputMode": "File",
}
TRAINING: dict[str, Any] = {
    "TrainingJobName": "ift-smollm2-135m-instruct-0123456789ab",
    "RoleArn": ROLE,
    "AlgorithmSpecification": {
        "TrainingImage": "763104351884.dkr.ecr.us-east-1.amazonaws.com/huggingface-pytorch-training:2.9.0",
        "TrainingInputMode": "File",
        "ContainerEntrypoint": ["python3", "/opt/ml/input/data/program/ift_program.pyz"],
        "ContainerArguments": ["train"],
    },
    "InputDataConfig": [CHANNEL],
    "OutputDataConfig": {"S3OutputPath": "s3://bucket/ift/jobs"},
    "ResourceConfig": {"InstanceType": "ml.g5.2xlarge", "InstanceCount": 1},
    "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
    "HyperParameters": {"epoch": "2"},
    "EnableNetworkIsolation": True,
    "Tags": [{"Key": "ift:owner", "Value": "0123"}],
}
PROCESSING: dict[str, Any] = {
    "ProcessingJobName": "clean-rows",
    "RoleArn": ROLE,
    "AppSpecification": {"ImageUri": "image", "ContainerEntrypoint": ["python3", "main.py"]},
    "ProcessingInputs": [
        {
            "InputName": "rows",
            "S3Input": {
                "S3Uri": "s3://bucket/rows/",
                "LocalPath": "/opt/ml/processing/input",
                "S3DataType": "S3Prefix",
                "S3InputMode": "File",
            },
        }
    ],
    "ProcessingOutputConfig": {
        "Outputs": [
            {
                "OutputName": "clean",
                "S3Output": {
                    "S3Uri": "s3://bucket/clean",
                    "LocalPath": "/opt/ml/processing/output",
                    "S3UploadMode": "EndOfJob",
                },
            }
        ]
    },
    "ProcessingResources": {
        "ClusterConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 10}
    },
}

ARTEFACT: dict[str, Any] = {
    "S3Uri": "s3://bucket/ift/jobs/job/output/model.tar.gz",
    "S3DataType": "S3Object",
    "CompressionType": "Gzip",
}
MODEL: dict[str, Any] = {
    "ModelName": "ift-smollm2-135m-instruct-0123456789ab",
    "ExecutionRoleArn": ROLE,
    "PrimaryContainer": {
        "Image": "763104351884.dkr.ecr.us-east-1.amazonaws.com/vllm:server-sagemaker-cuda-v2.6",
        "ModelDataSource": {"S3DataSource": ARTEFACT},
    },
}
ENDPOINT_CONFIG: dict[str, Any] = {
    "EndpointConfigName": "ift-smollm2-135m-instruct-0123456789ab-config",
    "ProductionVariants": [
        {
            "VariantName": "AllTraffic",
            "ModelName": "ift-smollm2-135m-instruct-0123456789ab",
            "InstanceType": "ml.g5.xlarge",
            "InitialInstanceCount": 1,
        }
    ],
}
SERVERLESS_VARIANT: dict[str, Any] = {
    "VariantName": "AllTraffic",
    "ModelName": "m",
    "ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 2},
}
ENDPOINT: dict[str, Any] = {"EndpointName": "e", "EndpointConfigName": "c"}
BLUE_GREEN: dict[str, Any] = {
    "TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 60}
}
ACCEPTED = {
    "CreateTrainingJob": TRAINING,
    "CreateProcessingJob": PROCESSING,
    "CreateModel": MODEL,
    "CreateEndpointConfig": ENDPOINT_CONFIG,
    "CreateEndpoint": ENDPOINT,
}


def changed(request: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A copy with each `Structure__Field__0__Field=value` set; a value of None takes the field away."""
    copy = deepcopy(request)
    for path, value in changes.items():
        *parents, last = [int(part) if part.isdigit() else part for part in path.split("__")]
        target: Any = copy
        for part in parents:
            target = target[part] if isinstance(part, int) else target.setdefault(part, {})
        if value is None:
            target.pop(last)
        else:
            target[last] = value
    return copy
