"""botocore's errors become ours by code, operation and message."""

from __future__ import annotations

import pytest
from botocore import exceptions
from botocore.session import get_session

from ift_sagemaker import errors
from ift_sagemaker.aws.errors import classify, translated

CASES = [
    ("ExpiredTokenException", "", errors.CredentialsError),
    ("UnrecognizedClientException", "", errors.CredentialsError),
    ("AccessDeniedException", "", errors.AccessDeniedError),
    ("403", "Forbidden", errors.AccessDeniedError),
    ("ResourceLimitExceeded", "", errors.QuotaExceededError),
    ("ServiceQuotaExceededException", "", errors.QuotaExceededError),
    ("ResourceNotFound", "", errors.ResourceNotFoundError),
    ("NoSuchKey", "", errors.ResourceNotFoundError),
    ("404", "Not Found", errors.ResourceNotFoundError),
    ("ValidationException", 'Could not find model "arn:…".', errors.ResourceNotFoundError),
    ("ValidationException", "Requested resource not found.", errors.ResourceNotFoundError),
    ("ValidationError", "Endpoint x of account 1 not found.", errors.ResourceNotFoundError),
    ("ResourceInUse", "", errors.ResourceInUseError),
    ("ConflictException", "", errors.ResourceInUseError),
    ("PreconditionFailed", "", errors.ResourceInUseError),
    ("ValidationException", 'Cannot create already existing model "arn:…".', errors.ResourceInUseError),
    ("ThrottlingException", "Rate exceeded", errors.ThrottledError),
    ("RequestLimitExceeded", "", errors.ThrottledError),
    ("SlowDown", "", errors.ThrottledError),
    ("InternalFailure", "", errors.ServiceUnavailableError),
    ("ValidationException", "1 validation error detected", errors.RequestRejectedError),
]


@pytest.mark.parametrize(("code", "message", "kind"), CASES)
def test_an_answer_becomes_its_class(code: str, message: str, kind: type[errors.AWSError]) -> None:
    assert classify(code, message) is kind


def test_an_unknown_server_error_is_worth_another_try() -> None:
    assert classify("Strange", "", 502) is errors.ServiceUnavailableError


def test_every_error_shape_of_the_operations_called_has_a_class_of_its_own() -> None:
    """An error that AWS declares for an operation must not fall through to the catch-all."""
    model = get_session().get_service_model("sagemaker")
    operations = ("CreateTrainingJob", "StopTrainingJob", "DescribeTrainingJob", "CreateModel",
                  "CreateEndpoint",
                  "CreateEndpointConfig", "DeleteEndpoint", "DescribeEndpoint")  # fmt: skip
    for operation in operations:
        for shape in model.operation_model(operation).error_shapes:
            assert classify(shape.name, "") is not errors.RequestRejectedError, (operation, shape.name)


def test_the_error_keeps_operation_code_request_and_cause() -> None:
    answer = {
        "Error": {"Code": "ResourceLimitExceeded", "Message": "ml.g5.xlarge: limit 0"},
        "ResponseMetadata": {"RequestId": "r-1", "HTTPStatusCode": 400},
    }
    with pytest.raises(errors.QuotaExceededError, match=r"limit 0.*Service Quotas") as caught:
        with translated("CreateTrainingJob"):
            raise exceptions.ClientError(answer, "CreateTrainingJob")
    assert (caught.value.operation, caught.value.code, caught.value.request_id) == (
        "CreateTrainingJob",
        "ResourceLimitExceeded",
        "r-1",
    )
    assert isinstance(caught.value.__cause__, exceptions.ClientError)


def test_what_the_local_aws_does_not_offer_is_unsupported() -> None:
    answer = {"Error": {"Code": "UnsupportedOperation", "Message": "ListHubs is not offered"}}
    with pytest.raises(errors.UnsupportedError, match="ListHubs") as caught, translated("ListHubs"):
        raise exceptions.ClientError(answer, "ListHubs")
    assert caught.value.feature == "ListHubs"


def test_missing_credentials_name_both_ways_out() -> None:
    with pytest.raises(errors.CredentialsError, match=r"aws configure.*--target local"):
        with translated("GetCallerIdentity"):
            raise exceptions.NoCredentialsError


def test_a_lost_connection_is_worth_another_try() -> None:
    with pytest.raises(errors.ServiceUnavailableError):
        with translated("DescribeTrainingJob"):
            raise exceptions.EndpointConnectionError(endpoint_url="https://example.invalid")


def test_a_request_botocore_refuses_is_rejected() -> None:
    with pytest.raises(errors.RequestRejectedError):
        with translated("CreateModel"):
            raise exceptions.ParamValidationError(report="no ModelName")
