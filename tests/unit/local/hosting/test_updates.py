"""UpdateEndpoint: a new fleet beside the old one, no request without an answer, and rolling back."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.local.machine import SERVER, LocalAWS, Settle, refusal

Make = Callable[..., LocalAWS]
BLUE_GREEN = {
    "BlueGreenUpdatePolicy": {
        "TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0},
        "TerminationWaitInSeconds": 0,
    }
}


class Asker(threading.Thread):
    """Asks an endpoint over and over, and counts which model answered and what went wrong."""

    def __init__(self, aws: LocalAWS) -> None:
        super().__init__()
        self._aws, self._done = aws, threading.Event()
        self.answers: Counter[str] = Counter()
        self.errors: list[str] = []

    def run(self) -> None:
        while not self._done.is_set():
            try:
                self.answers[who_answers(self._aws)] += 1
            except Exception as error:  # noqa: BLE001 - the test tells of any
                self.errors.append(repr(error))

    def finish(self) -> None:
        self._done.set()
        self.join(10)


def who_answers(aws: LocalAWS, body: bytes = b"sleep 0.01", **headers: str) -> str:
    """The value of the model's own variable MODEL."""
    answer = aws.runtime.invoke_endpoint(EndpointName="end", Body=body, **headers)
    return str(json.loads(answer["Body"].read())["environment"]["MODEL"])


def prepared(aws: LocalAWS, script: str = SERVER, **container: Any) -> LocalAWS:
    """An endpoint in service with model `old`, and a configuration `new` to update it to."""
    aws.host(Environment={"MODEL": "old"})
    aws.add_model("new", script, **{"Environment": {"MODEL": "new"}, **container})
    aws.create_config("new")
    assert aws.settled()["EndpointStatus"] == "InService", aws.endpoint_log()
    return aws


def update(aws: LocalAWS, **params: Any) -> None:
    aws.sagemaker.update_endpoint(EndpointName="end", EndpointConfigName="new", **params)


def test_an_update_moves_the_traffic_without_a_single_failed_answer(either_aws: LocalAWS) -> None:
    aws = prepared(either_aws)
    askers = [Asker(aws) for _ in range(3)]
    for asker in askers:
        asker.start()
    update(aws, DeploymentConfig=BLUE_GREEN)
    during = aws.endpoint()
    assert during["EndpointStatus"] == "Updating"
    assert during["EndpointConfigName"] == "end"
    assert during["PendingDeploymentSummary"]["EndpointConfigName"] == "new"
    after = aws.settled()
    assert Settle().until(lambda: len(aws.store.get("endpoint", "end")["_fleet"]["variants"]) == 1)  # type: ignore[index]
    assert Settle().until(lambda: not (aws.root / "endpoints/end/traffic-1").exists())
    for asker in askers:
        asker.finish()
    assert [asker.errors for asker in askers] == [[], [], []]
    seen = sum((asker.answers for asker in askers), Counter())
    assert set(seen) == {"old", "new"}
    assert (after["EndpointStatus"], after["EndpointConfigName"]) == ("InService", "new")
    assert "PendingDeploymentSummary" not in after
    assert after["LastDeploymentConfig"] == BLUE_GREEN
    assert not list((aws.root / "endpoints/end").glob("1-*"))


def test_a_request_that_the_old_model_is_answering_is_answered_to_its_end(aws: LocalAWS) -> None:
    prepared(aws)
    answers: list[str] = []
    slow = threading.Thread(target=lambda: answers.append(who_answers(aws, b"sleep 1.5")))
    slow.start()
    update(aws)
    assert aws.settled()["EndpointConfigName"] == "new"
    assert who_answers(aws) == "new"
    slow.join(10)
    assert answers == ["old"]


def test_an_update_whose_model_never_gets_healthy_is_rolled_back_and_says_why(aws: LocalAWS) -> None:
    prepared(aws, "print('no such weights')\nraise SystemExit(1)")
    asker = Asker(aws)
    asker.start()
    update(aws)
    after = aws.settled()
    asker.finish()
    assert (after["EndpointStatus"], after["EndpointConfigName"]) == ("InService", "end")
    assert after["FailureReason"].startswith(
        "The primary container for production variant AllTraffic did not pass the ping health check."
    )
    assert after["FailureReason"].endswith("Last lines: no such weights")
    assert (asker.errors, set(asker.answers)) == ([], {"old"})
    aws.add_model("better", Environment={"MODEL": "better"})
    aws.create_config("better")
    aws.sagemaker.update_endpoint(EndpointName="end", EndpointConfigName="better")
    assert "FailureReason" not in aws.endpoint()
    assert aws.settled()["EndpointConfigName"] == "better"
    assert who_answers(aws) == "better"


def test_an_endpoint_in_the_middle_of_an_update_is_neither_updated_nor_deleted(aws: LocalAWS) -> None:
    prepared(aws, Environment={"PING": "503"})
    update(aws)
    in_progress = (
        "ValidationException",
        f'Cannot update in-progress endpoint "{aws.endpoint()["EndpointArn"]}".',
    )
    client = aws.sagemaker
    assert refusal(client.update_endpoint, EndpointName="end", EndpointConfigName="new") == in_progress
    assert refusal(client.delete_endpoint, EndpointName="end") == in_progress
    weights = [{"VariantName": "AllTraffic", "DesiredWeight": 1}]
    call = client.update_endpoint_weights_and_capacities
    assert refusal(call, EndpointName="end", DesiredWeightsAndCapacities=weights) == in_progress


def test_model_and_configuration_may_be_deleted_while_the_endpoint_uses_them(aws: LocalAWS) -> None:
    prepared(aws)
    aws.sagemaker.delete_endpoint_config(EndpointConfigName="end")
    aws.sagemaker.delete_model(ModelName="end")
    assert who_answers(aws) == "old"
    update(aws)
    assert aws.settled()["EndpointConfigName"] == "new"
    gone = aws.endpoint()["EndpointArn"].replace("endpoint/end", "endpoint-config/end")
    assert refusal(aws.sagemaker.update_endpoint, EndpointName="end", EndpointConfigName="end") == (
        "ValidationException",
        f'Could not find endpoint configuration "{gone}".',
    )


@pytest.mark.parametrize(
    ("params", "code", "words"),
    [
        (
            {"DeploymentConfig": {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "a"}]}}},
            "UnsupportedOperation",
            "Alarms",
        ),
        (
            {"EndpointConfigName": "other", "DeploymentConfig": BLUE_GREEN},
            "ValidationException",
            "variant names",
        ),
        ({"EndpointConfigName": "slow"}, "UnsupportedOperation", "asynchronous"),
    ],
)
def test_updates_that_cannot_be_made_are_refused_by_name(
    aws: LocalAWS, params: dict[str, Any], code: str, words: str
) -> None:
    prepared(aws)
    aws.create_config("other", VariantName="Another", ModelName="new")
    aws.create_config("slow", {"OutputConfig": {"S3OutputPath": "s3://bucket/out"}}, ModelName="new")
    told = refusal(
        aws.sagemaker.update_endpoint, **{"EndpointName": "end", "EndpointConfigName": "new", **params}
    )
    assert told[0] == code
    assert words in told[1]
    assert aws.endpoint()["EndpointStatus"] == "InService"


def test_a_failed_endpoint_can_only_be_deleted(aws: LocalAWS) -> None:
    aws.host(script="raise SystemExit(1)")
    assert aws.settled()["EndpointStatus"] == "Failed"
    told = refusal(aws.sagemaker.update_endpoint, EndpointName="end", EndpointConfigName="end")
    assert told[0] == "ValidationException"
    aws.sagemaker.delete_endpoint(EndpointName="end")


def two_variants(aws: LocalAWS, first: float = 1.0, second: float = 1.0) -> LocalAWS:
    """An endpoint with variants `A` and `B`, whose models are of the same names."""
    aws.register_server()
    for name in ("A", "B"):
        aws.add_model(name, Environment={"MODEL": name})
    common = {"InitialInstanceCount": 1, "InstanceType": "ml.m5.xlarge"}
    variants = [
        {**common, "VariantName": name, "ModelName": name, "InitialVariantWeight": weight}
        for name, weight in (("A", first), ("B", second))
    ]
    aws.sagemaker.create_endpoint_config(EndpointConfigName="both", ProductionVariants=variants)
    aws.sagemaker.create_endpoint(EndpointName="end", EndpointConfigName="both")
    assert aws.settled()["EndpointStatus"] == "InService", aws.endpoint_log()
    return aws


def test_traffic_goes_to_the_variants_by_their_weights_or_to_the_one_that_is_named(aws: LocalAWS) -> None:
    two_variants(aws, 1.0, 0.0)
    assert {who_answers(aws, b"") for _ in range(10)} == {"A"}
    assert who_answers(aws, b"", TargetVariant="B") == "B"
    aws.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="end",
        DesiredWeightsAndCapacities=[
            {"VariantName": "A", "DesiredWeight": 0},
            {"VariantName": "B", "DesiredWeight": 3},
        ],
    )
    assert {who_answers(aws, b"") for _ in range(10)} == {"B"}
    shown = {
        variant["VariantName"]: (variant["CurrentWeight"], variant["DesiredWeight"])
        for variant in aws.endpoint()["ProductionVariants"]
    }
    assert shown == {"A": (0.0, 0.0), "B": (3.0, 3.0)}
    client = aws.sagemaker.update_endpoint_weights_and_capacities
    for wanted, words in (
        ({"VariantName": "C", "DesiredWeight": 1}, "no variant C"),
        ({"VariantName": "B", "DesiredWeight": 0}, "Every weight"),
        ({"VariantName": "B", "DesiredInstanceCount": 2}, "on 2 instances"),
    ):
        assert words in refusal(client, EndpointName="end", DesiredWeightsAndCapacities=[wanted])[1]


def test_weights_are_retained_through_an_update_when_asked_for(aws: LocalAWS) -> None:
    two_variants(aws, 1.0, 0.0)
    aws.sagemaker.update_endpoint_weights_and_capacities(
        EndpointName="end",
        DesiredWeightsAndCapacities=[
            {"VariantName": "A", "DesiredWeight": 0},
            {"VariantName": "B", "DesiredWeight": 2},
        ],
    )
    client = aws.sagemaker
    client.update_endpoint(EndpointName="end", EndpointConfigName="both", RetainAllVariantProperties=True)
    retained = [variant["CurrentWeight"] for variant in aws.settled()["ProductionVariants"]]
    client.update_endpoint(
        EndpointName="end",
        EndpointConfigName="both",
        RetainAllVariantProperties=True,
        ExcludeRetainedVariantProperties=[{"VariantPropertyType": "DesiredWeight"}],
    )
    assert retained == [0.0, 2.0]
    assert [variant["CurrentWeight"] for variant in aws.settled()["ProductionVariants"]] == [1.0, 0.0]


@pytest.mark.parametrize(
    ("variants", "words"),
    [
        ([{"VariantName": "A"}, {"VariantName": "A"}], "every VariantName"),
        ([{"VariantName": "A", "InitialVariantWeight": 0.0}], "every InitialVariantWeight is 0"),
        ([{"VariantName": "A", "InitialInstanceCount": None}], "[0].InitialInstanceCount is required"),
    ],
)
def test_configurations_that_cannot_work_are_refused(
    aws: LocalAWS, variants: list[dict[str, Any]], words: str
) -> None:
    common = {"ModelName": "m", "InitialInstanceCount": 1, "InstanceType": "ml.m5.xlarge"}
    whole = [
        {key: value for key, value in {**common, **variant}.items() if value is not None}
        for variant in variants
    ]
    code, message = refusal(
        aws.sagemaker.create_endpoint_config, EndpointConfigName="c", ProductionVariants=whole
    )
    assert code == "ValidationException"
    assert words in message


def test_a_model_with_two_kinds_of_data_is_refused(aws: LocalAWS) -> None:
    aws.register_server()
    source = {"S3Uri": "s3://bucket/plain/", "S3DataType": "S3Prefix", "CompressionType": "None"}
    with pytest.raises(Exception, match="ModelDataUrl and ModelDataSource exclude each other"):
        aws.create_model("m", ModelDataSource={"S3DataSource": source})
