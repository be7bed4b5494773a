"""Requests of the forms that AWS's public documentation shows as accepted: nothing here may refuse them."""

from __future__ import annotations

from typing import Any

import pytest

from ift_sagemaker.contract import rules, shapes

ROLE = "arn:aws:iam::111122223333:role/service-role/AmazonSageMaker-ExecutionRole"
XGBOOST = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"


def _channel(name: str) -> dict[str, Any]:
    source = {
        "S3DataType": "S3Prefix",
        "S3Uri": f"s3://amzn-s3-demo-bucket/xgboost/{name}",
        "S3DataDistributionType": "FullyReplicated",
    }
    return {
        "ChannelName": name,
        "DataSource": {"S3DataSource": source},
        "ContentType": "text/csv",
        "CompressionType": "None",
        "RecordWrapperType": "None",
        "InputMode": "File",
    }


CLASSIC_JOB: dict[str, Any] = {
    "TrainingJobName": "xgboost-2026-01-31-09-30-00",
    "RoleArn": ROLE,
    "AlgorithmSpecification": {"TrainingImage": XGBOOST, "TrainingInputMode": "File"},
    "HyperParameters": {"max_depth": "5", "eta": "0.2", "objective": "reg:squarederror", "num_round": "50"},
    "InputDataConfig": [_channel("train"), _channel("validation")],
    "OutputDataConfig": {"S3OutputPath": "s3://amzn-s3-demo-bucket/xgboost/output"},
    "ResourceConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 5},
    "StoppingCondition": {"MaxRuntimeInSeconds": 86400},
}
SPOT_JOB: dict[str, Any] = {
    **CLASSIC_JOB,
    "EnableManagedSpotTraining": True,
    "StoppingCondition": {"MaxRuntimeInSeconds": 3600, "MaxWaitTimeInSeconds": 7200},
    "CheckpointConfig": {
        "S3Uri": "s3://amzn-s3-demo-bucket/xgboost/checkpoints",
        "LocalPath": "/opt/ml/checkpoints/",
    },
}
CLASSIC_MODEL: dict[str, Any] = {
    "ModelName": "xgboost-model",
    "ExecutionRoleArn": ROLE,
    "PrimaryContainer": {
        "Image": XGBOOST,
        "ModelDataUrl": "s3://amzn-s3-demo-bucket/xgboost/output/job/output/model.tar.gz",
        "Environment": {"SAGEMAKER_CONTAINER_LOG_LEVEL": "20"},
    },
}
SERVERLESS_CONFIG: dict[str, Any] = {
    "EndpointConfigName": "xgboost-serverless",
    "ProductionVariants": [
        {
            "ModelName": "xgboost-model",
            "VariantName": "AllTraffic",
            "ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 20, "ProvisionedConcurrency": 10},
        }
    ],
}
WEIGHTED_CONFIG: dict[str, Any] = {
    "EndpointConfigName": "xgboost-two-variants",
    "ProductionVariants": [
        {
            "ModelName": f"xgboost-{name}",
            "VariantName": name,
            "InstanceType": "ml.m5.xlarge",
            "InitialInstanceCount": 1,
            "InitialVariantWeight": weight,
        }
        for name, weight in (("old", 1.0), ("new", 0.0))
    ],
}


@pytest.mark.parametrize(
    ("operation", "request_"),
    [
        ("CreateTrainingJob", CLASSIC_JOB),
        ("CreateTrainingJob", SPOT_JOB),
        ("CreateModel", CLASSIC_MODEL),
        ("CreateEndpointConfig", SERVERLESS_CONFIG),
        ("CreateEndpointConfig", WEIGHTED_CONFIG),
    ],
    ids=["classic-job", "spot-job", "classic-model", "serverless-config", "weighted-config"],
)
def test_a_request_as_aws_documents_it_is_refused_by_neither_shapes_nor_rules(
    operation: str, request_: dict[str, Any]
) -> None:
    assert shapes.violations("sagemaker", operation, request_) == []
    assert rules.violations(operation, request_) == []
