"""Every error of the library, one tree.

IFTError
├── ConfigError (ValueError)              a setting, hyperparameter or request field is wrong
│   ├── RequestError                      a request that the service's shapes or rules refuse
│   └── CostLimitError                    the run may cost more than max_cost, or nobody can tell
├── DataError (ValueError)
│   ├── DatasetError                      rows that cannot be used, all findings at once
│   ├── SourceChangedError                a file changed while it was sent
│   └── TemplateError                     a placeholder without a column
│       └── TemplateMismatchError         a model is asked by another template than it was trained with
├── ModelNotFoundError (LookupError)      no such model in the catalogue
├── WeightsError                          weights are absent, damaged or not what was promised
├── UnsupportedError                      the library (or the local AWS) does not do this
├── AttachError                           something of that name exists and is not the same thing
├── StorageError (OSError)                the disk is full or not writable
├── AWSError                              the service answered with an error
│   ├── CredentialsError
│   ├── AccessDeniedError
│   ├── QuotaError                        an account limit is reached (earlier QuotaExceededError)
│   ├── CapacityError                     AWS has no instance of that type at the moment
│   ├── ResourceNotFoundError (LookupError)
│   ├── ResourceInUseError
│   ├── RequestRejectedError
│   ├── ThrottledError
│   └── ServiceUnavailableError
├── JobError
│   ├── TrainingJobFailed
│   ├── TrainingJobStopped
│   ├── ProcessingJobFailed
│   ├── ProcessingJobStopped
│   └── EndpointFailed
├── InvocationError                       the endpoint answered a request with an error
├── GateError                             the evaluation gate said no
└── WaitTimeout (TimeoutError)            the wait ended, the job goes on

Messages say what happened, to what, and what to do next. Fields carry the same facts for programs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class IFTError(Exception):
    """Root of every error this library raises on purpose."""

    def __init__(self, message: str, **fields: Any) -> None:
        super().__init__(message)
        self.message = message
        self._fields = fields
        for name, value in fields.items():
            setattr(self, name, value)

    @property
    def fields(self) -> Mapping[str, Any]:
        """The facts that the error carries, by name."""
        return self._fields

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.message, self._fields))


def _rebuild(kind: type[IFTError], message: str, fields: Mapping[str, Any]) -> IFTError:
    error = kind.__new__(kind)
    IFTError.__init__(error, message, **fields)
    return error


class ConfigError(IFTError, ValueError):
    """A setting is missing or outside what is allowed."""

    field: str
    value: Any
    allowed: str

    def __init__(self, message: str, *, field: str = "", value: Any = None, allowed: str = "") -> None:
        super().__init__(message, field=field, value=value, allowed=allowed)


class RequestError(ConfigError):
    """A request that AWS would refuse; `violations` lists every reason, shapes and rules alike."""

    operation: str
    violations: tuple[str, ...]

    def __init__(self, operation: str, violations: Sequence[str]) -> None:
        lines = "".join(f"\n  - {violation}" for violation in violations)
        IFTError.__init__(
            self,
            f"{operation} would be refused:{lines}",
            operation=operation,
            violations=tuple(violations),
            field="",
            value=None,
            allowed="",
        )


class CostLimitError(ConfigError):
    """A run that is likely to cost more than `max_cost` USD, or whose cost nobody can tell.

    `estimate` is the estimate as plain data (`Estimate.to_dict`).
    """

    max_cost: float
    estimate: Mapping[str, Any]

    def __init__(self, message: str, *, max_cost: float, estimate: Mapping[str, Any]) -> None:
        IFTError.__init__(
            self,
            message,
            max_cost=max_cost,
            estimate=dict(estimate),
            field="max_cost",
            value=max_cost,
            allowed="",
        )


class DataError(IFTError, ValueError):
    """Input data cannot be used."""


class DatasetError(DataError):
    """Rows that cannot be used. `findings` holds all of them, in file order, each printable."""

    path: str
    findings: tuple[Any, ...]

    def __init__(self, message: str, *, path: str = "", findings: Sequence[Any] = ()) -> None:
        super().__init__(message, path=path, findings=tuple(findings))


class SourceChangedError(DataError):
    """A file changed between being hashed and being sent; nothing of it was left in S3."""

    path: str

    def __init__(self, message: str, *, path: str = "") -> None:
        super().__init__(message, path=path)


class TemplateError(DataError):
    """A template names a field that the rows do not have, or cannot be parsed."""

    field: str

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message, field=field)


class TemplateMismatchError(TemplateError):
    """A model's template is not the one it was trained with; both are fingerprints of 12 hex digits."""

    trained: str
    found: str

    def __init__(self, message: str, *, trained: str, found: str) -> None:
        IFTError.__init__(self, message, field="", trained=trained, found=found)


class ModelNotFoundError(IFTError, LookupError):
    """No such model; `closest` holds the nearest names."""

    model_id: str
    closest: tuple[str, ...]

    def __init__(self, message: str, *, model_id: str, closest: Sequence[str] = ()) -> None:
        super().__init__(message, model_id=model_id, closest=tuple(closest))


class WeightsError(IFTError):
    """Weights are not on this machine, or are not what the catalogue promises."""

    model_id: str

    def __init__(self, message: str, *, model_id: str = "") -> None:
        super().__init__(message, model_id=model_id)


class UnsupportedError(IFTError):
    """Asked for something that is deliberately not offered; `feature` names it."""

    feature: str

    def __init__(self, message: str, *, feature: str) -> None:
        super().__init__(message, feature=feature)


class AttachError(IFTError):
    """A resource of the derived name exists and differs in `differences` (field, there, asked)."""

    name: str
    differences: tuple[tuple[str, Any, Any], ...]

    def __init__(self, message: str, *, name: str, differences: Sequence[tuple[str, Any, Any]] = ()) -> None:
        super().__init__(message, name=name, differences=tuple(differences))


class StorageError(IFTError, OSError):
    """The disk is full or not writable; nothing is left under its final name."""

    path: str

    def __init__(self, message: str, *, path: str = "") -> None:
        super().__init__(message, path=path)


class AWSError(IFTError):
    """AWS answered with an error. `__cause__` is botocore's."""

    operation: str
    code: str
    request_id: str

    def __init__(self, message: str, *, operation: str = "", code: str = "", request_id: str = "") -> None:
        super().__init__(message, operation=operation, code=code, request_id=request_id)


class CredentialsError(AWSError):
    """No credentials, or they are expired or invalid."""


class AccessDeniedError(AWSError):
    """The identity may not do this."""


class QuotaError(AWSError):
    """An account limit is reached; asking again does not help.

    `limit` is its name as AWS tells it, `allowed`, `used` and `asked` count what it limits, `instance_type`
    is the one it is for. Empty and None where AWS's words do not tell.
    """

    limit: str
    allowed: float | None
    used: float | None
    asked: float | None
    instance_type: str

    def __init__(
        self,
        message: str,
        *,
        operation: str = "",
        code: str = "",
        request_id: str = "",
        limit: str = "",
        instance_type: str = "",
        counts: tuple[float | None, float | None, float | None] = (None, None, None),
    ) -> None:
        super().__init__(message, operation=operation, code=code, request_id=request_id)
        allowed, used, asked = counts
        more = {
            "limit": limit,
            "instance_type": instance_type,
            "allowed": allowed,
            "used": used,
            "asked": asked,
        }
        self._fields |= more
        for name, value in more.items():
            setattr(self, name, value)


QuotaExceededError = QuotaError
"""The earlier name of QuotaError."""


class CapacityError(AWSError):
    """AWS has no instance of `instance_type` to give now; another type, or the same one later, may do.

    `tried` are the types that were asked for in vain, in order.
    """

    instance_type: str
    tried: tuple[str, ...]

    def __init__(
        self,
        message: str,
        *,
        operation: str = "",
        code: str = "",
        request_id: str = "",
        instance_type: str = "",
        tried: Sequence[str] = (),
    ) -> None:
        super().__init__(message, operation=operation, code=code, request_id=request_id)
        more = {"instance_type": instance_type, "tried": tuple(tried)}
        self._fields |= more
        self.instance_type, self.tried = instance_type, tuple(tried)


class ResourceNotFoundError(AWSError, LookupError):
    """The named resource does not exist."""


class ResourceInUseError(AWSError):
    """The name is taken or the resource is busy."""


class RequestRejectedError(AWSError):
    """The service refuses the request as it stands."""


class ThrottledError(AWSError):
    """Too many calls; ask again later."""


class ServiceUnavailableError(AWSError):
    """The service or the way to it is down; ask again later."""


class JobError(IFTError):
    """A job or endpoint ended, but not well."""

    name: str
    status: str
    failure_reason: str
    log_tail: tuple[str, ...]

    def __init__(
        self, message: str, *, name: str, status: str, failure_reason: str = "", log_tail: Sequence[str] = ()
    ) -> None:
        super().__init__(
            message, name=name, status=status, failure_reason=failure_reason, log_tail=tuple(log_tail)
        )


class TrainingJobFailed(JobError):  # noqa: N818 - named after the status it reports
    """The training job ended `Failed`."""


class TrainingJobStopped(JobError):  # noqa: N818
    """The training job ended `Stopped`: whatever it left is unfinished."""


class ProcessingJobFailed(JobError):  # noqa: N818
    """The processing job ended `Failed`."""


class ProcessingJobStopped(JobError):  # noqa: N818
    """The processing job ended `Stopped`, by somebody or by its longest run."""


class EndpointFailed(JobError):  # noqa: N818
    """The endpoint ended `Failed`."""


class InvocationError(IFTError):
    """The model container answered with an error."""

    endpoint: str
    status_code: int
    body: str

    def __init__(self, message: str, *, endpoint: str, status_code: int, body: str = "") -> None:
        super().__init__(message, endpoint=endpoint, status_code=status_code, body=body)


class GateError(IFTError):
    """The evaluation missed a requirement; `missed` holds each as text."""

    missed: tuple[str, ...]

    def __init__(self, message: str, *, missed: Sequence[str]) -> None:
        super().__init__(message, missed=tuple(missed))


class WaitTimeout(IFTError, TimeoutError):  # noqa: N818
    """The wait ended before the resource did; the resource goes on."""

    name: str
    status: str
    seconds: float

    def __init__(self, message: str, *, name: str, status: str, seconds: float) -> None:
        super().__init__(message, name=name, status=status, seconds=seconds)
