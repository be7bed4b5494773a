"""JumpStart's bucket: what it holds is put there when somebody first asks for it.

Manifest, specs and the training script are made from the catalogue; a model's weights come from this
machine's weights cache and are copied once for each local root.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from ift_sagemaker.catalog.weights import Weights, WeightsCache
from ift_sagemaker.local.hub import formats
from ift_sagemaker.local.hub.record import (
    MANIFEST_KEY,
    PROPRIETARY_MANIFEST_KEY,
    HubModel,
    content_bucket,
    hub_models,
)
from ift_sagemaker.local.protocol.errors import HTTPAnswer, ServiceError
from ift_sagemaker.local.protocol.request import Request
from ift_sagemaker.local.running.jumpstart import program_key, script_key
from ift_sagemaker.local.s3 import service as s3
from ift_sagemaker.local.state.resources import split_s3
from ift_sagemaker.local.state.settings import Context
from ift_sagemaker.wire.jumpstart import SCRIPT
from ift_sagemaker.wire.paths import PROGRAM_FILE
from ift_sagemaker.wire.program import program

FindWeights = Callable[[str], Weights | None]
Operation = Callable[[Context, dict[str, Any]], dict[str, Any]]

ENTRY_POINT = SCRIPT
"""What the SDK runs of a JumpStart training script."""
_READING = ("GET", "HEAD")
_MARKER = "config.json"
_SCRIPT = f"""\
# The training program reads hyperparameters.json itself; the arguments that drivers add say the same.
import os
import sys

program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "{PROGRAM_FILE}")
os.execv(sys.executable, [sys.executable, program, "train"])
"""


def cached_weights(model_id: str) -> Weights | None:
    """The weights in this machine's cache, None where they were not pulled."""
    return WeightsCache().find(model_id)


def answer_s3(context: Context, request: Request, find_weights: FindWeights = cached_weights) -> HTTPAnswer:
    """S3's answer on JumpStart's bucket, which is filled before it is read.

    Raises:
        ServiceError: AccessDenied for a write to that bucket, and every refusal of S3.
    """
    bucket, key = s3.address(request.host, request.path)
    if bucket == content_bucket(context.settings.region):
        if request.method not in _READING:
            raise ServiceError("AccessDenied", "Access Denied", 403)
        put_documents(context)
        _put_weights(context, key or request.query.get("prefix", ""), find_weights)
    return s3.answer(context, request)


def with_content(operation: Operation, find_weights: FindWeights = cached_weights) -> Operation:
    """The operation, with all that its parameters name of JumpStart's bucket put there before."""

    def filled(context: Context, params: dict[str, Any]) -> dict[str, Any]:
        for uri in _addresses(params, f"s3://{content_bucket(context.settings.region)}/"):
            _require(context, split_s3(uri)[1], find_weights)
        return operation(context, params)

    return filled


def _addresses(value: Any, start: str) -> Iterator[str]:
    """Every text below `value` that begins with `start`."""
    if isinstance(value, str):
        yield from [value] if value.startswith(start) else []
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _addresses(item, start)
    elif isinstance(value, Sequence):
        for item in value:
            yield from _addresses(item, start)


def _require(context: Context, key: str, find_weights: FindWeights) -> None:
    """Raises a ServiceError that names the remedy where the weights of a model are not on this machine."""
    put_documents(context)
    missing = _put_weights(context, key, find_weights)
    if missing is not None:
        raise ServiceError(
            "ValidationException",
            f'No S3 objects found under S3 URL "{missing.uri(missing.weights_prefix)}": the weights of '
            f"{missing.model_id} are not on this machine; fetch them with `ift models pull "
            f"{missing.model_id}`",
        )


def put_documents(context: Context) -> None:
    """Puts manifest, specs and script into the bucket, where they are not there or another version."""
    region = context.settings.region
    bucket = content_bucket(region)
    context.objects.create_bucket(bucket, region)
    for key, (content, digest) in _documents(region).items():
        found = context.objects.get(bucket, key)
        if found is None or found.etag != digest:
            context.objects.put(bucket, key, content)


@cache
def _documents(region: str) -> dict[str, tuple[bytes, str]]:
    offered = hub_models(region)
    documents = {MANIFEST_KEY: formats.manifest(offered), PROPRIETARY_MANIFEST_KEY: []}
    contents = {key: _json(value) for key, value in documents.items()}
    contents |= {model.spec_key: _json(formats.spec(model)) for model in offered}
    contents |= {script_key(): script_archive(), program_key(): program().content}
    return {
        key: (content, hashlib.md5(content, usedforsecurity=False).hexdigest())
        for key, content in contents.items()
    }


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1).encode()


@cache
def script_archive() -> bytes:
    """The training script as JumpStart keeps one: a tar.gz of the entry point and our program."""
    buffer = io.BytesIO()
    with (
        gzip.GzipFile("", "wb", fileobj=buffer, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as tar,
    ):
        for name, content in ((ENTRY_POINT, _SCRIPT.encode()), (PROGRAM_FILE, program().content)):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _put_weights(context: Context, key: str, find_weights: FindWeights) -> HubModel | None:
    """Puts the weights that a key or prefix points at; the model whose weights are not on this machine."""
    for model in hub_models(context.settings.region):
        if key.startswith(model.weights_prefix.rstrip("/")) and not _has_weights(context, model):
            weights = find_weights(model.model_id)
            if weights is None:
                return model
            for file in sorted(weights.files, key=lambda file: file.path == _MARKER):
                with (weights.folder / file.path).open("rb") as source:
                    context.objects.put(model.bucket, model.weights_prefix + file.path, source)
    return None


def _has_weights(context: Context, model: HubModel) -> bool:
    """Whether all of them are there: this one is put last."""
    return context.objects.get(model.bucket, model.weights_prefix + _MARKER) is not None
