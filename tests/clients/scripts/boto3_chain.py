"""boto3 alone: buckets, a training job, its log and its endpoint, with boto3's own waiters and paginators."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import boto3

ROLE, WEIGHTS, TRAINING_IMAGE, SERVING_IMAGE = sys.argv[1:]
SOON = {"Delay": 1, "MaxAttempts": 120}
PROGRAM = """
import os, pathlib
print("learning rate", 0.5, flush=True)
pathlib.Path("/opt/ml/model/weights").write_bytes(os.urandom(9 << 20))
"""

s3, sagemaker, logs = boto3.client("s3"), boto3.client("sagemaker"), boto3.client("logs")
runtime, iam, sts = boto3.client("sagemaker-runtime"), boto3.client("iam"), boto3.client("sts")

iam.get_waiter("role_exists").wait(RoleName=ROLE.rpartition("/")[2])
assumed = sts.assume_role(RoleArn=ROLE, RoleSessionName="chain")["Credentials"]
as_role = boto3.Session(
    assumed["AccessKeyId"], assumed["SecretAccessKey"], assumed["SessionToken"], region_name="us-east-1"
)
identity = as_role.client("sts").get_caller_identity()["Arn"]

s3.create_bucket(Bucket="chain")
s3.get_waiter("bucket_exists").wait(Bucket="chain")
s3.put_object(Bucket="chain", Key="program/main.py", Body=PROGRAM.encode())
s3.get_waiter("object_exists").wait(Bucket="chain", Key="program/main.py")
SOURCE = {
    "S3DataType": "S3Prefix",
    "S3Uri": "s3://chain/program/",
    "S3DataDistributionType": "FullyReplicated",
}
sagemaker.create_training_job(
    TrainingJobName="chain",
    RoleArn=ROLE,
    AlgorithmSpecification={
        "TrainingImage": TRAINING_IMAGE,
        "TrainingInputMode": "File",
        "ContainerEntrypoint": ["python3", "/opt/ml/input/data/program/main.py"],
        "MetricDefinitions": [{"Name": "rate", "Regex": "learning rate ([0-9.]+)"}],
    },
    InputDataConfig=[{"ChannelName": "program", "DataSource": {"S3DataSource": SOURCE}}],
    OutputDataConfig={"S3OutputPath": "s3://chain/out"},
    ResourceConfig={"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 10},
    StoppingCondition={"MaxRuntimeInSeconds": 600},
)
waiter = sagemaker.get_waiter("training_job_completed_or_stopped")
waiter.wait(TrainingJobName="chain", WaiterConfig=SOON)
job = sagemaker.describe_training_job(TrainingJobName="chain")
pages = sagemaker.get_paginator("list_training_jobs").paginate(NameContains="chain", MaxResults=1)
listed = [found["TrainingJobName"] for page in pages for found in page["TrainingJobSummaries"]]
events = logs.get_paginator("filter_log_events").paginate(
    logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix="chain/"
)
lines = [event["message"] for page in events for event in page["events"]]

bucket, _, key = job["ModelArtifacts"]["S3ModelArtifacts"].removeprefix("s3://").partition("/")
with tempfile.TemporaryDirectory() as folder:
    archive = Path(folder) / "model.tar.gz"
    s3.download_file(bucket, key, str(archive))  # above 8 MB: in ranges
    s3.upload_file(str(archive), "chain", "copy.tar.gz")  # and in parts
    sizes = {archive.stat().st_size, s3.head_object(Bucket="chain", Key="copy.tar.gz")["ContentLength"]}

DATA = {"S3Uri": WEIGHTS, "S3DataType": "S3Prefix", "CompressionType": "None"}
sagemaker.create_model(
    ModelName="chain",
    ExecutionRoleArn=ROLE,
    PrimaryContainer={"Image": SERVING_IMAGE, "ModelDataSource": {"S3DataSource": DATA}},
)
VARIANT = {
    "VariantName": "one",
    "ModelName": "chain",
    "InstanceType": "ml.g5.xlarge",
    "InitialInstanceCount": 1,
}
sagemaker.create_endpoint_config(EndpointConfigName="chain", ProductionVariants=[VARIANT])
sagemaker.create_endpoint(EndpointName="chain", EndpointConfigName="chain")
sagemaker.get_waiter("endpoint_in_service").wait(EndpointName="chain", WaiterConfig=SOON)
answer = runtime.invoke_endpoint(
    EndpointName="chain",
    ContentType="application/json",
    Body=json.dumps({"messages": [{"role": "user", "content": "hi"}], "max_tokens": 2}),
)
choices = json.loads(answer["Body"].read())["choices"]
sagemaker.delete_endpoint(EndpointName="chain")
sagemaker.get_waiter("endpoint_deleted").wait(EndpointName="chain", WaiterConfig=SOON)

told = {
    "identity": identity,
    "status": job["TrainingJobStatus"],
    "metrics": {metric["MetricName"]: metric["Value"] for metric in job["FinalMetricDataList"]},
    "listed": listed,
    "lines": lines,
    "sizes": sorted(sizes),
    "variant": answer["InvokedProductionVariant"],
    "choices": len(choices),
}
sys.stdout.write("\n" + json.dumps(told))
