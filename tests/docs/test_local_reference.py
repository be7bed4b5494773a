"""The page of the local AWS tells of all that it offers, and claims nothing that was not done."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import ift_sagemaker
from ift_sagemaker.contract import rules
from ift_sagemaker.contract.shapes import service_model
from ift_sagemaker.contract.state_rules import STATE_RULES
from ift_sagemaker.local.reference.row import LABELS, Row
from ift_sagemaker.local.reference.tables import OPERATIONS_BY_SERVICE, SETTINGS
from tests.docs.offered import offered

ROWS = [(service, row) for service, rows in OPERATIONS_BY_SERVICE.items() for row in rows]
RULED = {rule.operation for rule in rules.RULES if rule.effect == "refused"} | {
    rule.operation for rule in STATE_RULES if rule.place
}
OFFERED = offered()
SOURCES = Path(ift_sagemaker.__file__).parent


def test_every_offered_operation_has_a_row() -> None:
    """A new operation needs a row in `ift_sagemaker.local.reference`."""
    known = {service: {row.operation for row in rows} for service, rows in OPERATIONS_BY_SERVICE.items()}
    bare = {
        service: untold
        for service, operations in offered().items()
        if (untold := sorted(set(operations) - known.get(service, set())))
    }
    assert bare == {}


def test_what_is_offered_is_found_by_asking() -> None:
    found = offered()
    assert "InvokeEndpoint" in found["sagemaker-runtime"]
    assert "InvokeEndpointWithBidirectionalStream" not in found["sagemaker-runtime"]
    assert "GetCallerIdentity" in found["sts"]
    assert "DecodeAuthorizationMessage" not in found["sts"]
    assert {"CreateTrainingJob", "ListTags"} <= set(found["sagemaker"])


@pytest.mark.parametrize(("service", "row"), ROWS, ids=lambda value: getattr(value, "operation", ""))
def test_a_row_names_an_operation_of_aws_once_and_a_label_that_holds(service: str, row: Row) -> None:
    assert row.operation in service_model(service).operation_names
    assert [other.operation for other in OPERATIONS_BY_SERVICE[service]].count(row.operation) == 1
    assert row.label in LABELS
    if row.operation in OFFERED.get(service, ()):
        ruled = service.startswith("sagemaker") and row.operation in RULED
        assert row.label == ("rule" if ruled else "shape")


def test_nothing_is_labelled_seen_live_before_anything_ran_on_aws() -> None:
    assert [row.operation for _, row in ROWS if row.label == "seen live"] == []


def test_every_setting_of_the_local_aws_has_a_row() -> None:
    read = {
        name
        for path in (SOURCES / "local").rglob("*.py")
        if "reference" not in path.parts
        for name in re.findall(r'"(IFT_LOCAL_[A-Z_]+)"', path.read_text("utf-8"))
    }
    assert read == {setting.variable for setting in SETTINGS}
