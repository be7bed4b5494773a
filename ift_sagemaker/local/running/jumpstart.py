"""What a JumpStart training job means on this machine: our program, and weights that its tags name. Pure.

JumpStart's script and weights lie in AWS's buckets, which are not here. The request stays as AWS would take
it; the job records where its channels really came from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ift_sagemaker.local.state.resources import invalid, split_s3
from ift_sagemaker.wire.jumpstart import (
    CHANNEL_CODE,
    CONTENT_BUCKET,
    LOCAL_FOLDER,
    SCRIPT,
    TAG_STAND_IN,
    TAG_STAND_IN_WEIGHTS,
    is_jumpstarts,
    stand_in_note,
)
from ift_sagemaker.wire.paths import PROGRAM_FILE
from ift_sagemaker.wire.program import program

_ARCHIVE = "sourcedir.tar.gz"
_TAG_MODEL = "ift:model-id"


def script_folder() -> str:
    """The prefix in JumpStart's bucket of the local AWS that holds our script's archive and our program."""
    return f"{LOCAL_FOLDER}transfer_learning/{program().sha256[:12]}/"


def script_key() -> str:
    """The key of the archive."""
    return script_folder() + _ARCHIVE


def program_key() -> str:
    """The key of the program by itself."""
    return script_folder() + PROGRAM_FILE


def runs_its_script(request: Mapping[str, Any]) -> bool:
    """Whether the image is to run a script of JumpStart's, for which our program stands in."""
    algorithm = request.get("AlgorithmSpecification", {})
    named = request.get("HyperParameters", {}).get("sagemaker_program") == SCRIPT
    return (
        named and not algorithm.get("ContainerEntrypoint") and any(_is_code(*each) for each in _uris(request))
    )


def sources(request: Mapping[str, Any]) -> dict[str, str]:
    """Where the channels of a JumpStart job really come from, by the address that was asked for.

    Raises:
        ServiceError: the tag of the stand-in holds no S3 prefix.
    """
    found, weights = {}, _tags(request).get(TAG_STAND_IN_WEIGHTS, "")
    if weights and not split_s3(weights)[1]:
        raise invalid(f"the tag {TAG_STAND_IN_WEIGHTS} names no S3 prefix: {weights!r}")
    for name, uri in _uris(request):
        if _is_code(name, uri):
            found[uri] = f"s3://{split_s3(uri)[0]}/{script_folder()}"
        elif weights and is_jumpstarts(uri):
            found[uri] = weights
    return found


def stand_in_of(request: Mapping[str, Any]) -> str:
    """What the job's log says of its stand-in; empty where it has none."""
    tags = _tags(request)
    if TAG_STAND_IN_WEIGHTS not in tags:
        return ""
    stand_in = tags.get(TAG_STAND_IN, tags[TAG_STAND_IN_WEIGHTS])
    return stand_in_note(stand_in, tags.get(_TAG_MODEL, "the weights that were asked for"))


def remedy(uri: str) -> str:
    """What to do where weights of JumpStart's are missing; empty for any other address."""
    if not is_jumpstarts(uri):
        return ""
    return (
        " JumpStart's own weights are not on this machine: name others that are trained in their place"
        f" (fine_tune(stand_in=), ift train --stand-in, or the tags {TAG_STAND_IN} and"
        f" {TAG_STAND_IN_WEIGHTS})."
    )


def _is_code(channel: str, uri: str) -> bool:
    return channel == CHANNEL_CODE and uri.startswith(f"s3://{CONTENT_BUCKET}") and is_jumpstarts(uri)


def _uris(request: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        (channel["ChannelName"], channel["DataSource"]["S3DataSource"]["S3Uri"])
        for channel in request.get("InputDataConfig", [])
        if "S3DataSource" in channel["DataSource"]
    ]


def _tags(request: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in request.get("Tags", [])}
