"""What AWS demands that no request shows: it rests on what is there already, or on when one asks.

A table of what the local AWS enforces beside the shapes and `rules`, and where. Rows of the weather hold only
under AWS's weather (`IFT_LOCAL_WEATHER=aws`); a row without a place is enforced nowhere and says why.
"""

from __future__ import annotations

from dataclasses import dataclass

from ift_sagemaker.contract.shared_rules import MODEL

_TRAINING = "ift_sagemaker.local.training"
_HOSTING = "ift_sagemaker.local.hosting"
_STATE = "ift_sagemaker.local.state"
_WEATHER = "ift_sagemaker.local.weather"
_READ = "2026-11-23"
_KNOWN = "general knowledge"


@dataclass(frozen=True)
class StateRule:
    """`place` is the room of the local AWS that enforces it, empty where `text` says that none does."""

    id: str
    operation: str
    text: str
    source: str
    place: str
    date: str = _READ


STATE_RULES: tuple[StateRule, ...] = (
    StateRule(
        "training-name-taken",
        "CreateTrainingJob",
        "A job's name is unique among the jobs there are, ended ones included.",
        f"{MODEL}: CreateTrainingJob, ResourceInUse; words: wordings.TAKEN",
        _TRAINING,
    ),
    StateRule(
        "training-name-free-again",
        "CreateTrainingJob",
        "The name of a deleted job can be used again.",
        f"{MODEL}: DeleteTrainingJob",
        _TRAINING,
    ),
    StateRule(
        "training-inputs-exist",
        "CreateTrainingJob",
        "Every S3 channel has an object when the job is created.",
        "aws/amazon-sagemaker-examples, threads 2489 and 2267",
        _TRAINING,
    ),
    StateRule(
        "training-exists",
        "DescribeTrainingJob",
        "A job that is asked for is there; the refusal is a ValidationException, not ResourceNotFound.",
        "boto/boto3, thread 2808; aws/aws-sdk, thread 165",
        _TRAINING,
    ),
    StateRule(
        "training-ended-before-delete",
        "DeleteTrainingJob",
        "Only a job that has ended is deleted.",
        f"{MODEL}: DeleteTrainingJob",
        _TRAINING,
    ),
    StateRule(
        "model-name-taken",
        "CreateModel",
        "A model's name is unique.",
        "astronomer/astronomer-providers, thread 1055",
        _HOSTING,
    ),
    StateRule(
        "model-data-exist",
        "CreateModel",
        "The artefact is there when the model is created.",
        "aws-ia/ecs-blueprints, thread 223",
        _HOSTING,
    ),
    StateRule(
        "config-name-taken",
        "CreateEndpointConfig",
        "A configuration's name is unique.",
        "awslabs/spot-tagging-bot-for-digital-assets, thread 2",
        _HOSTING,
    ),
    StateRule(
        "config-models-exist",
        "CreateEndpointConfig",
        "The models of a configuration are there when it is created.",
        _KNOWN,
        _HOSTING,
    ),
    StateRule(
        "endpoint-name-taken",
        "CreateEndpoint",
        "An endpoint's name is unique, also while it is failed or being deleted.",
        "aws/amazon-sagemaker-examples, thread 2491",
        _HOSTING,
    ),
    StateRule(
        "endpoint-config-exists",
        "CreateEndpoint",
        "The configuration of an endpoint is there.",
        "aws/amazon-sagemaker-examples, threads 2339 and 2524",
        _HOSTING,
    ),
    StateRule(
        "endpoint-settled-before-delete",
        "DeleteEndpoint",
        "An endpoint in Creating or Updating is not deleted.",
        "aws/amazon-sagemaker-examples, thread 3432; awslabs/stable-diffusion-aws-extension, thread 342",
        _HOSTING,
    ),
    StateRule(
        "endpoint-exists-to-invoke",
        "InvokeEndpoint",
        "An endpoint that is asked is there; the refusal is a ValidationError.",
        "aws/amazon-sagemaker-examples, threads 293, 559 and 1477",
        _HOSTING,
    ),
    StateRule(
        "tags-at-most-50",
        "AddTags",
        "A resource has at most 50 tags, those it has counted in.",
        f"{MODEL}: TagList; for tags that are there {_KNOWN}",
        _STATE,
    ),
    StateRule(
        "status-after-cut",
        "ListTrainingJobs",
        "StatusEquals is applied after MaxResults, so pages may be short or empty and have a NextToken.",
        f"{MODEL}: ListTrainingJobs; aws/aws-sdk, thread 486",
        _STATE,
    ),
    StateRule(
        "new-config-not-found",
        "CreateEndpoint",
        "A configuration made just before may not be found: ask again.",
        "https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateEndpoint.html",
        _WEATHER,
    ),
    StateRule(
        "lists-throttled",
        "ListTrainingJobs",
        "An account lists two times a second.",
        "aws-solutions/deepracer-on-aws, thread 87",
        _WEATHER,
    ),
    StateRule(
        "serverless-model-source",
        "CreateEndpointConfig",
        "A serverless variant's model has ModelDataUrl, not ModelDataSource. Enforced nowhere: the local AWS "
        "refuses serverless endpoints.",
        f"{MODEL}: ContainerDefinition.ModelDataSource",
        "",
    ),
    StateRule(
        "config-in-use-kept",
        "DeleteEndpointConfig",
        "A configuration in use is not to be deleted. Enforced nowhere: AWS warns and deletes it.",
        f"{MODEL}: DeleteEndpointConfig",
        "",
    ),
    StateRule(
        "quotas",
        "CreateTrainingJob",
        "Instances stay within the account's quotas. Enforced nowhere: the local AWS has no quotas.",
        f"{MODEL}: CreateTrainingJob, ResourceLimitExceeded",
        "",
    ),
)
