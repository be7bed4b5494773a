"""The kinds of SageMaker resources: ARNs, what of a document is public, and AWS's refusals by kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ift_sagemaker.contract.wordings import MISSING, TAKEN, Wording
from ift_sagemaker.local.protocol.errors import ServiceError
from ift_sagemaker.local.state.settings import Context

TRAINING_JOB = "training-job"
PROCESSING_JOB = "processing-job"
MODEL = "model"
ENDPOINT_CONFIG = "endpoint-config"
ENDPOINT = "endpoint"
KINDS = (TRAINING_JOB, PROCESSING_JOB, MODEL, ENDPOINT_CONFIG, ENDPOINT)

MAX_REASON = 1024

Document = dict[str, Any]


def arn_of(context: Context, kind: str, name: str) -> str:
    """The ARN of a resource, whether or not it exists."""
    return context.settings.arn("sagemaker", f"{kind}/{name}")


def invalid(message: str) -> ServiceError:
    """A ValidationException."""
    return ServiceError("ValidationException", message)


def refused(wording: Wording, **values: str) -> ServiceError:
    """A refusal in AWS's own words."""
    return ServiceError(wording.code, wording.message(**values))


def not_offered_yet(what: str) -> ServiceError:
    """The typed refusal of a request, or a part of one, that AWS would take."""
    return ServiceError("UnsupportedOperation", f"{what}: not offered yet by the local AWS of ift_sagemaker")


def missing(context: Context, kind: str, name: str) -> ServiceError:
    """AWS's refusal where there is no such resource."""
    return refused(MISSING[kind], arn=arn_of(context, kind, name), name=name)


def taken(context: Context, kind: str, name: str) -> ServiceError:
    """AWS's refusal where the name is in use."""
    return refused(TAKEN[kind], arn=arn_of(context, kind, name), name=name)


def require(context: Context, kind: str, name: str) -> Document:
    """The document of a resource; a ServiceError where there is none."""
    document = context.store.get(kind, name)
    if document is None:
        raise missing(context, kind, name)
    return document


def insert(context: Context, kind: str, name: str, document: Mapping[str, Any]) -> None:
    """Stores a new resource; a ServiceError where the name is in use."""
    try:
        context.store.insert(kind, name, document)
    except KeyError:
        raise taken(context, kind, name) from None


def public(document: Mapping[str, Any]) -> Document:
    """What an answer may show: no private keys, and nothing empty (strict clients trip over `{}`)."""
    return {
        name: value
        for name, value in document.items()
        if not name.startswith("_") and value not in (None, {}, [], "")
    }


def split_s3(uri: str) -> tuple[str, str]:
    """Bucket and key (or prefix) of an `s3://` address.

    Raises:
        ServiceError: another form of address, which AWS would take. Its text may hold a signature: not told.
    """
    scheme, separator, path = uri.partition("://")
    if scheme != "s3" or not separator:
        form = f"{scheme}://" if separator else "no scheme"
        raise not_offered_yet(f"an S3 address with {form} in place of s3://")
    bucket, _, key = path.partition("/")
    return bucket, key
