"""In which words AWS refuses what no shape declares: code and message, by what happened to which kind.

SageMaker declares no error for a missing model or a name that is taken, so programs tell them apart by these
words, and ours does as well (`ift_sagemaker.aws.errors`). A wording is `seen` where a public log, thread or
page shows these very words; the others are general knowledge. `{arn}` and `{name}` stand for the resource.
"""

from __future__ import annotations

from dataclasses import dataclass

_INVALID = "ValidationException"
_BY_ANALOGY = "by analogy with the other kinds, general knowledge"


@dataclass(frozen=True)
class Wording:
    """One refusal. `source` is a thread or page with these words, or says that there is none."""

    code: str
    text: str
    source: str
    date: str
    seen: bool = True

    def message(self, **values: str) -> str:
        """The text with its places filled in."""
        return self.text.format(**values)


def _known(code: str, text: str, source: str) -> Wording:
    return Wording(code, text, source, "2026-11-23")


def _assumed(code: str, text: str, source: str = _BY_ANALOGY) -> Wording:
    return Wording(code, text, source, "2026-11-23", seen=False)


MISSING: dict[str, Wording] = {
    "training-job": _known(
        _INVALID,
        "Requested resource not found.",
        "aws/amazon-sagemaker-examples, thread 2360; the code also in boto/boto3, thread 2808",
    ),
    "processing-job": _assumed(
        _INVALID, "Could not find requested job with name: {name}", "general knowledge; no log found"
    ),
    "model": _assumed(_INVALID, 'Could not find model "{arn}".'),
    "endpoint-config": _known(
        _INVALID,
        'Could not find endpoint configuration "{arn}".',
        "aws/amazon-sagemaker-examples, threads 2339 and 2524",
    ),
    "endpoint": _assumed(_INVALID, 'Could not find endpoint "{arn}".'),
}
"""What Describe, Stop, Delete and whatever needs the resource answer, by kind as it stands in an ARN."""

TAKEN: dict[str, Wording] = {
    "training-job": _known(
        "ResourceInUse",
        "Training job names must be unique within an AWS account and region, and a training job with this"
        " name already exists ({arn})",
        "aws/amazon-sagemaker-examples, threads 3108 and 3109; SuperCowPowers/workbench, thread 384",
    ),
    "processing-job": _assumed(
        "ResourceInUse",
        "Job name must be unique within an AWS account and region, and a job with this name already exists"
        " ({arn})",
        "the code: botocore 1.44.5, CreateProcessingJob; the words: general knowledge",
    ),
    "model": _known(
        _INVALID,
        'Cannot create already existing model "{arn}".',
        "astronomer/astronomer-providers, thread 1055",
    ),
    "endpoint-config": _known(
        _INVALID,
        'Cannot create already existing endpoint configuration "{arn}".',
        "awslabs/spot-tagging-bot-for-digital-assets, thread 2",
    ),
    "endpoint": _known(
        _INVALID,
        'Cannot create already existing endpoint "{arn}".',
        "aws/amazon-sagemaker-examples, thread 2491;"
        " ministryofjustice/modernisation-platform-environments, thread 9383",
    ),
}
"""What Create answers where the name is in use."""

OTHERS: dict[str, Wording] = {
    "no-input": _known(
        _INVALID,
        'No S3 objects found under S3 URL "{uri}" given in input data source. Please ensure that the bucket'
        " exists in the selected region and that objects exist under that S3 prefix.",
        "aws/amazon-sagemaker-examples, threads 2489 and 2267",
    ),
    "no-model-data": _known(
        _INVALID, "Could not find model data at {uri}.", "aws-ia/ecs-blueprints, thread 223"
    ),
    "endpoint-in-progress": _assumed(
        _INVALID,
        'Cannot update in-progress endpoint "{arn}".',
        "that it is refused: aws/amazon-sagemaker-examples, thread 3432; the words: general knowledge",
    ),
    "no-endpoint-to-invoke": _known(
        "ValidationError",
        "Endpoint {name} of account {account} not found.",
        "aws/amazon-sagemaker-examples, threads 293, 559 and 1477",
    ),
    "throttled": _known(
        "ThrottlingException",
        "Rate exceeded",
        "aws/sagemaker-python-sdk, threads 645 and 2293; syne-tune/syne-tune, thread 634",
    ),
    "expired": _assumed(
        "ExpiredTokenException",
        "The security token included in the request is expired",
        "that it happens while waiting: autogluon/autogluon-cloud, thread 133; the words: general knowledge",
    ),
    "expired-query": _assumed(
        "ExpiredToken",
        "The security token included in the request is expired",
        "general knowledge",
    ),
    "expired-s3": _known(
        "ExpiredToken",
        "The provided token has expired.",
        "https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html",
    ),
}
"""The rest, by what happened."""
