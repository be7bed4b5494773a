"""botocore's errors become ours by code, operation and message."""

from __future__ import annotations

import pickle

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
    ("ResourceLimitExceeded", "", errors.QuotaError),
    ("ServiceQuotaExceededException", "", errors.QuotaError),
    ("InsufficientInstanceCapacity", "", errors.CapacityError),
    ("EC2InsufficientCapacityError", "", errors.CapacityError),
    ("CapacityError", "Unable to provision requested ML compute capacity.", errors.CapacityError),
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
    with pytest.raises(errors.QuotaError, match=r"limit 0.*Service Quotas") as caught:
        with translated("CreateTrainingJob"):
            raise exceptions.ClientError(answer, "CreateTrainingJob")
    assert (caught.value.operation, caught.value.code, caught.value.request_id) == (
        "CreateTrainingJob",
        "ResourceLimitExceeded",
        "r-1",
    )
    assert isinstance(caught.value.__cause__, exceptions.ClientError)


def _raised(code: str, message: str) -> errors.AWSError:
    answer = {"Error": {"Code": code, "Message": message}}
    with pytest.raises(errors.AWSError) as caught, translated("CreateTrainingJob"):
        raise exceptions.ClientError(answer, "CreateTrainingJob")
    return caught.value


def test_a_quota_error_tells_the_limit_its_type_and_the_counts() -> None:
    found = _raised(
        "ResourceLimitExceeded",
        "The account-level service limit 'ml.p2.xlarge for training job usage' is 0 Instances, with current"
        " utilization of 2 Instances and a request delta of 1 Instances. Please contact AWS support to"
        " request an increase for this limit.",
    )
    assert isinstance(found, errors.QuotaError)
    assert (found.limit, found.instance_type) == ("ml.p2.xlarge for training job usage", "ml.p2.xlarge")
    assert (found.allowed, found.used, found.asked) == (0, 2, 1)


def test_a_quota_error_in_older_words_tells_as_much() -> None:
    found = _raised(
        "ResourceLimitExceeded",
        "The account-level service limit for training-job/ml.p2.xlarge is 0 Instances, with current"
        " utilization of 0 Instances and a request delta of 2 Instances.",
    )
    assert isinstance(found, errors.QuotaError)
    assert (found.limit, found.instance_type, found.asked) == (
        "training-job/ml.p2.xlarge",
        "ml.p2.xlarge",
        2,
    )


def test_a_quota_error_in_unknown_words_invents_no_figures() -> None:
    found = _raised("ResourceLimitExceeded", "You have reached a limit.")
    assert isinstance(found, errors.QuotaError)
    assert (found.limit, found.instance_type, found.allowed) == ("", "", None)


def test_a_capacity_error_tells_the_type_and_what_allows_others() -> None:
    found = _raised(
        "EC2InsufficientCapacityError",
        "Instance type 'ml.g5.48xlarge' is temporarily unavailable in supported availability zones"
        " [euw1-az1]. Try again in a few minutes, or try a different instance type.",
    )
    assert isinstance(found, errors.CapacityError)
    assert found.instance_type == "ml.g5.48xlarge"
    assert "instance_types" in str(found)


@pytest.mark.parametrize("kind", [errors.QuotaError, errors.CapacityError])
def test_its_fields_survive_a_process_boundary(kind: type[errors.QuotaError]) -> None:
    error = pickle.loads(pickle.dumps(kind("x", code="c", instance_type="ml.g5.xlarge")))  # noqa: S301
    assert (error.code, error.instance_type, str(error)) == ("c", "ml.g5.xlarge", "x")


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
