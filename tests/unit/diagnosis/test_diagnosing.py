"""A diagnosis says what is known, where it was seen, and what to type."""

from __future__ import annotations

import json

import pytest

from ift_sagemaker.diagnosis import Evidence, diagnose
from ift_sagemaker.diagnosis.known import ENDPOINT, JOB
from ift_sagemaker.diagnosis.seen import why
from ift_sagemaker.errors import AccessDeniedError, CredentialsError, ResourceNotFoundError
from tests.unit.handles.fakes import Clock, FakeAWS

NAME = "ift-m-0123456789ab"


def _job(**fields: object) -> FakeAWS:
    aws = FakeAWS()
    aws.jobs[NAME] = {
        "TrainingJobName": NAME,
        "TrainingJobStatus": "Failed",
        "SecondaryStatus": "Failed",
        "ResourceConfig": {"InstanceType": "ml.g5.xlarge"},
        **fields,
    }
    return aws


def _why(aws: FakeAWS) -> dict[str, object]:
    return why(aws, Clock().patience(), NAME).to_dict()  # type: ignore[arg-type]


def test_what_the_log_says_goes_before_a_reason_that_says_nothing() -> None:
    reason = "AlgorithmError: , exit code: 1"
    log = ("step 1", "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20 MiB", "bye")
    found = diagnose(Evidence(JOB, NAME, "Failed", reason=reason, log=log))
    assert [(cause.failure, cause.seen_in) for cause in found.causes] == [("accelerator memory", "log")]


def test_several_causes_are_told_the_reason_s_first() -> None:
    log = ("CUDA out of memory",)
    reason = "The primary container for production variant v did not pass the ping health check."
    found = diagnose(Evidence(ENDPOINT, NAME, "Failed", reason=reason, log=log))
    assert [cause.failure for cause in found.causes] == ["health check", "accelerator memory"]
    assert "also       accelerator memory" in str(found)


@pytest.mark.parametrize(("kind", "status"), [(JOB, "Completed"), (ENDPOINT, "InService")])
def test_nothing_is_found_wrong_with_what_is_fine(kind: str, status: str) -> None:
    found = diagnose(Evidence(kind, NAME, status, log=("CUDA out of memory", "exit code: 137")))
    assert found.causes == ()
    assert "Nothing is wrong" in found.summary


def test_what_is_under_way_is_not_called_failed() -> None:
    found = diagnose(Evidence(JOB, NAME, "InProgress", "Training", log=("No module named x",)))
    assert (found.causes, found.next) == ((), (f"ift jobs wait {NAME}",))
    assert "has not ended" in found.summary


def test_an_unknown_failure_is_said_to_be_unknown() -> None:
    found = diagnose(Evidence(JOB, NAME, "Failed", reason="ClientError: zork"))
    assert found.causes == ()
    assert "No known failure fits" in found.summary
    assert "zork" in str(found)


def test_a_failed_job_is_told_with_its_last_lines_and_type() -> None:
    aws = _job(FailureReason="CapacityError: Unable to provision requested ML compute capacity.")
    aws.logs = [[f"line {number}" for number in range(300)]]
    found = _why(aws)
    assert "ml.g5.xlarge" in str(found["summary"])
    assert found["log_tail"] == [f"line {number}" for number in range(280, 300)]
    json.dumps(found)


def test_a_log_that_cannot_be_read_does_not_hide_the_reason() -> None:
    aws = _job(FailureReason="AlgorithmError: , exit code: 137 (killed, probably out of memory)")
    aws.log_error = AccessDeniedError("no logs:GetLogEvents")
    found = _why(aws)
    assert found["log_lost"] == "no logs:GetLogEvents"
    assert "main memory ran out" in str(found["summary"])


def test_credentials_that_ended_are_no_diagnosis() -> None:
    aws = _job()
    aws.log_error = CredentialsError("expired")
    with pytest.raises(CredentialsError):
        _why(aws)


def test_of_a_completed_job_its_endpoint_of_the_same_name_is_meant() -> None:
    aws = _job(TrainingJobStatus="Completed", SecondaryStatus="Completed")
    assert _why(aws)["kind"] == JOB
    aws.hosting["endpoint"][NAME] = {
        "EndpointName": NAME,
        "EndpointConfigName": "c",
        "EndpointStatus": "Failed",
        "FailureReason": "Could not find model data at s3://b/k.",
    }
    found = _why(aws)
    assert (found["kind"], found["status"]) == (ENDPOINT, "Failed")
    assert "ift endpoints delete" in str(found["remark"])


def test_a_rolled_back_update_is_told_of_an_endpoint_that_serves() -> None:
    aws = FakeAWS()
    aws.hosting["endpoint"][NAME] = {
        "EndpointConfigName": "c",
        "EndpointStatus": "InService",
        "FailureReason": "The primary container did not pass the ping health check.",
    }
    found = _why(aws)
    assert "rolled back" in str(found["remark"])
    assert "/ping" in str(found["summary"])


def test_a_name_that_nothing_has_is_refused() -> None:
    with pytest.raises(ResourceNotFoundError, match=NAME):
        _why(FakeAWS())


def test_a_notebook_shows_no_markup_of_a_log() -> None:
    page = diagnose(Evidence(JOB, NAME, "Failed", reason="<b>", log=("<script>",)))._repr_html_()
    assert "<script>" not in page
    assert "&lt;b&gt;" in page
