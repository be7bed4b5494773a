"""Every known failure is told by the words that it shows, and by no others."""

from __future__ import annotations

import re

import pytest

from ift_sagemaker.diagnosis import Evidence, diagnose
from ift_sagemaker.diagnosis.known import ENDPOINT, JOB, ROWS

REASONS = [
    (
        "quota",
        JOB,
        (
            "ResourceLimitExceeded: The account-level service limit 'ml.p2.xlarge for training job usage' is"
            " 0 Instances, with current utilization of 0 Instances and a request delta of 1 Instances."
        ),
    ),
    (
        "capacity",
        JOB,
        (
            "CapacityError: Unable to provision requested ML compute capacity. Please retry using a different"
            " ML instance type."
        ),
    ),
    (
        "capacity",
        ENDPOINT,
        "Request failed: InsufficientInstanceCapacity for ml.g6.12xlarge",
    ),
    (
        "local endpoint slots",
        ENDPOINT,
        (
            "Unable to provision requested compute capacity: all 2 endpoint slots are taken; delete an"
            " endpoint or set IFT_LOCAL_ENDPOINT_SLOTS"
        ),
    ),
    ("disk full", JOB, "InternalServerError: no space left on the disk of the local AWS: [Errno 28]"),
    ("disk full", JOB, "AlgorithmError: OSError: [Errno 28] No space left on device, exit code: 1"),
    (
        "accelerator memory",
        JOB,
        "AlgorithmError: OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB",
    ),
    ("memory kill", JOB, "AlgorithmError: , exit code: 137 (killed, probably out of memory)"),
    (
        "EULA not accepted",
        ENDPOINT,
        (
            "The AcceptEula value must be explicitly defined as True in order to accept the end-user license"
            " agreement (EULA) that this model requires"
        ),
    ),
    (
        "gated weights denied",
        JOB,
        (
            "ClientError: Data download failed:Unable to download object"
            " s3://sagemaker-repository-dub/model-data (AccessDenied: Access Denied)"
        ),
    ),
    (
        "role not assumable",
        JOB,
        "ClientError: SageMaker was unable to assume the role 'arn:aws:iam::123456789012:role/r'",
    ),
    (
        "role not assumable",
        JOB,
        (
            "ClientError: TrainingHostAgent Initialization failed:InvalidInputException: SageMaker is unable"
            " to perform: sts:AssumeRole on the role. Check if you have a trust relationship for"
            " 'sagemaker.amazonaws.com' to assume the role."
        ),
    ),
    (
        "image not pulled",
        JOB,
        (
            "ClientError: Cannot pull algorithm container. Either the image does not exist or its permissions"
            " are incorrect."
        ),
    ),
    ("image not pulled", JOB, "ClientError: API error (404): manifest for x:1 not found: manifest unknown"),
    ("KMS denied", JOB, "ClientError: User is not authorized to perform: kms:Decrypt on this key"),
    (
        "access denied",
        JOB,
        "ClientError: Data download failed: AccessDenied: Access Denied (s3://bucket/rows)",
    ),
    ("input missing", JOB, "ClientError: Data download failed:S3 key: s3://b/rows/ matched no files on s3"),
    ("model data damaged", ENDPOINT, 'Failed to extract model data archive from URL "s3://b/m.tar.gz": cut'),
    ("model data missing", ENDPOINT, "Could not find model data at s3://b/model.tar.gz."),
    (
        "health check",
        ENDPOINT,
        (
            "The primary container for production variant AllTraffic did not pass the ping health check."
            " Please check CloudWatch logs for this endpoint."
        ),
    ),
    ("container not started", JOB, "ClientError: The container could not be started: python9: not found"),
    (
        "rows wrong",
        JOB,
        "AlgorithmError: 3 rows of channel 'training' have no `messages`, exit code: 1",
    ),
    ("rows wrong", JOB, "AlgorithmError: channel 'training' holds no rows (*.jsonl), exit code: 1"),
    ("hyperparameter", JOB, "AlgorithmError: hyperparameter epoch=-5 is outside its range, exit code: 1"),
    ("loss not finite", JOB, "AlgorithmError: the loss is nan at step 3, exit code: 1"),
    ("supervisor died", JOB, "InternalServerError: the supervisor of this training job died (it was killed)"),
    ("isolation", JOB, "UnsupportedOperation: Isolation cannot be given: bubblewrap is required"),
    (
        "network isolated",
        JOB,
        "AlgorithmError: [Errno -3] Temporary failure in name resolution, exit code: 1",
    ),
    ("package missing", JOB, "AlgorithmError: ModuleNotFoundError: No module named 'peft', exit code: 1"),
    ("driver", ENDPOINT, "CUDA driver version is insufficient for CUDA runtime version"),
    ("throttled", JOB, "ClientError: ThrottlingException: Rate exceeded"),
    ("service fault", JOB, "InternalServerError: We encountered an internal error. Please try again."),
    ("program failed", JOB, "AlgorithmError: ValueError: x, exit code: 1"),
]
STATUSES = [
    ("stopped", "Stopped", "Stopped", ""),
    ("max runtime", "Stopped", "MaxRuntimeExceeded", ""),
    ("spot interrupted", "Stopped", "MaxWaitTimeExceeded", ""),
    ("spot interrupted", "InProgress", "Interrupted", ""),
    (
        "waits for capacity",
        "InProgress",
        "Starting",
        "Insufficient capacity error from EC2 while launching instances, retrying!",
    ),
]


@pytest.mark.parametrize(
    ("failure", "kind", "reason"), REASONS, ids=[f"{row[0]}: {row[2][:24]}" for row in REASONS]
)
def test_a_failure_is_told_by_its_reason(failure: str, kind: str, reason: str) -> None:
    found = diagnose(Evidence(kind, "ift-x", "Failed", reason=reason, instance_type="ml.g5.xlarge"))
    assert found.causes[0].failure == failure
    assert found.causes[0].seen_in == "failure reason"


@pytest.mark.parametrize(("failure", "status", "secondary", "message"), STATUSES)
def test_what_did_not_fail_is_told_by_its_status(
    failure: str, status: str, secondary: str, message: str
) -> None:
    found = diagnose(Evidence(JOB, "ift-x", status, secondary, messages=(message,)))
    assert found.causes[0].failure == failure


def test_every_row_has_a_case_of_its_own() -> None:
    assert {row.failure for row in ROWS} == {case[0] for case in [*REASONS, *STATUSES]}


def test_every_command_is_one_of_ours_or_of_the_aws_cli() -> None:
    from ift_sagemaker.cli.tree import ift

    known = {name: set(getattr(command, "_commands_at", ())) for name, command in _commands(ift)}
    for row in ROWS:
        for command in row.next:
            first, *words = command.split()
            if first != "ift":
                assert command.startswith(("aws ", "df ")), command
                continue
            assert words[0] in known, command
            assert not known[words[0]] or words[1] in known[words[0]], command


def test_every_option_in_a_command_exists() -> None:
    from ift_sagemaker.cli.tree import ift

    for row in ROWS:
        for command in row.next:
            if not command.startswith("ift "):
                continue
            words, options = command.split("#")[0].split()[1:], set(re.findall(r"--[a-z-]+", command))
            group: object = dict(_commands(ift))[words[0]]
            if hasattr(group, "_commands_at"):
                group = dict(_commands(group))[words[1]]
            offered = {text for param in group.params for text in param.opts}  # type: ignore[attr-defined]
            assert options <= offered, command


def _commands(group: object) -> list[tuple[str, object]]:
    import click

    assert isinstance(group, click.Group)
    context = click.Context(group)
    return [(name, group.get_command(context, name)) for name in group.list_commands(context)]
