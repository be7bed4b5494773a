"""The error tree: structured, picklable, each class what it refines."""

from __future__ import annotations

import copy
import pickle

import pytest

from ift_sagemaker import errors

EXAMPLES = (
    errors.ConfigError("bad", field="epoch", value=0, allowed="1 to 9"),
    errors.RequestError("CreateModel", ["one", "two"]),
    errors.CostLimitError("too dear", max_cost=1.0, estimate={"usd": None}),
    errors.DatasetError("bad rows", path="rows.jsonl", findings=["line 3"]),
    errors.SourceChangedError("changed", path="rows.jsonl"),
    errors.TemplateError("no column", field="input"),
    errors.TemplateMismatchError("other template", trained="a" * 12, found="b" * 12),
    errors.ModelNotFoundError("no model", model_id="x", closest=["y"]),
    errors.WeightsError("no weights", model_id="x"),
    errors.UnsupportedError("not offered", feature="CreateHub"),
    errors.AttachError("other", name="n", differences=[("RoleArn", "a", "b")]),
    errors.StorageError("disk full", path="x"),
    errors.ThrottledError("slow", operation="ListModels", code="Throttling", request_id="r"),
    errors.TrainingJobFailed("failed", name="n", status="Failed", failure_reason="r", log_tail=["l"]),
    errors.InvocationError("no", endpoint="e", status_code=400, body="b"),
    errors.GateError("missed", missed=["exact_match>=0.7"]),
    errors.WaitTimeout("late", name="n", status="InProgress", seconds=3.0),
)


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_survives_pickling_with_its_fields(error: errors.IFTError) -> None:
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_can_be_copied(error: errors.IFTError) -> None:
    assert str(copy.copy(error)) == str(error)


def test_errors_refine_the_standard_ones() -> None:
    assert issubclass(errors.ConfigError, ValueError)
    assert issubclass(errors.ModelNotFoundError, LookupError)
    assert issubclass(errors.WaitTimeout, TimeoutError)
    assert issubclass(errors.StorageError, OSError)


def test_a_refused_request_lists_every_violation() -> None:
    error = errors.RequestError("CreateModel", ["name too long", "no image"])
    assert error.violations == ("name too long", "no image")
    assert "name too long" in str(error)
    assert "no image" in str(error)


def test_every_error_of_the_tree_stands_in_the_docstring() -> None:
    kinds = [
        name
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.IFTError)
    ]
    missing = [name for name in kinds if name not in (errors.__doc__ or "")]
    assert missing == []
