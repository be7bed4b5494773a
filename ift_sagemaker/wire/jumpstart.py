"""JumpStart's buckets and script, and the tags by which a job names weights that stand in for JumpStart's."""

from __future__ import annotations

CONTENT_BUCKET = "jumpstart-cache-prod-"
GATED_BUCKET = "jumpstart-private-cache-prod-"
"""How the names of JumpStart's buckets begin; the region follows."""
LOCAL_FOLDER = "ift/"
"""Below it the local AWS keeps what only its own JumpStart bucket has."""
SCRIPT = "transfer_learning.py"
"""What `sagemaker_program` names in a request for JumpStart's training script."""
CHANNEL_CODE = "code"

TAG_STAND_IN = "ift:stand-in"
"""The name of the weights that the local AWS trains in place of those that JumpStart keeps."""
TAG_STAND_IN_WEIGHTS = "ift:stand-in-weights"
"""The S3 prefix they lie under."""


def is_jumpstarts(uri: str) -> bool:
    """Whether an S3 address lies in a bucket of JumpStart's, outside of what the local AWS adds to it."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket.startswith((CONTENT_BUCKET, GATED_BUCKET)) and not key.startswith(LOCAL_FOLDER)


def stand_in_note(stand_in: str, model_id: str) -> str:
    """What a job, its evaluation and the command line say of a stand-in."""
    return f"stand-in: {stand_in} trained in place of {model_id}"
