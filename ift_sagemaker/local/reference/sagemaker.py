"""SageMaker and its runtime, operation by operation. A row that nothing offers yet is not shown."""

from __future__ import annotations

from ift_sagemaker.local.reference.row import Row, rule, shape

_ECHOED = (
    "keys and VPC are taken and echoed without effect; spot is interrupted by hand, warm pools are told by"
    " the clock"
)
_LISTED = "consistent at once, never throttled (both under `IFT_LOCAL_WEATHER=aws`)"
_AT_ONCE = "there at once (late under `IFT_LOCAL_WEATHER=aws`)"

TRAINING: tuple[Row, ...] = (
    rule(
        "CreateTrainingJob",
        "without an engine the job's own entrypoint runs in this machine's Python environment, not in the"
        f" image; starts as soon as a slot is free; {_ECHOED}",
        "16 instances, several of them in bubblewrap alone; refused by name, among others: jobs without an"
        " image or an instance type, serverless jobs, debugger, MLflow and remote debugging, channels from"
        " elsewhere than S3, augmented manifests, RecordIO",
    ),
    rule("DescribeTrainingJob", "billable seconds are those it ran, though nothing is billed"),
    rule("ListTrainingJobs", _LISTED),
    shape("StopTrainingJob", "the grace between SIGTERM and SIGKILL is `IFT_LOCAL_STOP_GRACE`"),
    rule("DeleteTrainingJob"),
    shape("UpdateTrainingJob", "", "`ResourceConfig.KeepAlivePeriodInSeconds` alone"),
)
PROCESSING: tuple[Row, ...] = (
    rule(
        "CreateProcessingJob",
        "without an engine the entrypoint runs in this machine's Python environment, not in the image",
        "no Athena, Redshift or Feature Store, no InstancePreferences",
    ),
    shape("DescribeProcessingJob"),
    shape("ListProcessingJobs", _LISTED),
    shape("StopProcessingJob"),
    shape("DeleteProcessingJob"),
)
HOSTING: tuple[Row, ...] = (
    rule("CreateModel", _AT_ONCE, "one container of Mode SingleModel with an Image; no model packages"),
    shape("DescribeModel"),
    shape("ListModels", _LISTED),
    shape("DeleteModel", "not listed any more at once"),
    rule(
        "CreateEndpointConfig",
        _AT_ONCE,
        "no serverless variants, instance pools, shadow variants, data capture or inference components",
    ),
    shape("DescribeEndpointConfig"),
    shape("ListEndpointConfigs", _LISTED),
    shape("DeleteEndpointConfig", "one in use is deleted, of which AWS warns"),
    rule(
        "CreateEndpoint",
        "AWS's serving images are answered by this project's `serve`, a stand-in; instance types have no"
        " effect on speed",
        "`IFT_LOCAL_ENDPOINT_SLOTS` at once",
    ),
    shape("DescribeEndpoint"),
    shape("ListEndpoints", _LISTED),
    rule("DeleteEndpoint", "Deleting for as long as the program takes to end"),
    rule("UpdateEndpoint", "", "no alarms to roll back on"),
    shape("UpdateEndpointWeightsAndCapacities", "", "weights alone: every variant has one instance"),
)
HUB: tuple[Row, ...] = (
    shape("DescribeHub", "", "SageMakerPublicHub alone, read-only"),
    shape("ListHubs", "", "SageMakerPublicHub alone"),
    shape("DescribeHubContent", "documents are made from this project's catalogue, not AWS's own"),
    shape("ListHubContents", "the models of this project's catalogue, not AWS's hundreds"),
    shape("ListHubContentVersions", "one version of each"),
)
TAGS: tuple[Row, ...] = (
    rule("AddTags"),
    shape(
        "ListTags",
        "also `ift:executed-image` and `ift:local-runner`, which say what really ran",
    ),
    shape("DeleteTags"),
)
SAGEMAKER = (*TRAINING, *PROCESSING, *HOSTING, *HUB, *TAGS)

RUNTIME: tuple[Row, ...] = (
    rule(
        "InvokeEndpoint",
        "",
        "6 MB and 60 seconds (settings); no target model, container host name, explanations or component",
    ),
    shape("InvokeEndpointWithResponseStream", "", "no target container host name or component"),
    shape("InvokeEndpointAsync", "no notifications by SNS", "endpoints with AsyncInferenceConfig"),
)
