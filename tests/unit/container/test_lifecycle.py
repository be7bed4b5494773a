from __future__ import annotations

from pathlib import Path

import pytest

from ift_sagemaker.container import main
from ift_sagemaker.container.lifecycle import Stopped, StopRequest, failure_reason, finish_job
from ift_sagemaker.errors import ConfigError
from ift_sagemaker.wire.paths import MLPaths


def test_our_own_errors_become_the_failure_reason_as_they_are() -> None:
    assert failure_reason(ConfigError("epoch must be positive")) == "epoch must be positive"


def test_other_errors_are_named_by_type() -> None:
    assert failure_reason(KeyError("lost")) == "KeyError: 'lost'"


def test_the_failure_reason_is_no_longer_than_sagemaker_shows() -> None:
    assert len(failure_reason(ConfigError("x" * 5000))) == 1024


def test_a_failed_job_leaves_the_reason_and_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = MLPaths(tmp_path)
    paths.config.mkdir(parents=True)
    paths.hyperparameters.write_text('{"epochs": "3"}')
    assert finish_job("ift_sagemaker.container.train", paths, StopRequest()) == 1
    assert paths.failure.read_text() == "no hyperparameter 'epochs'; did you mean epoch?"
    assert "Traceback" in capsys.readouterr().err


def test_sigterm_interrupts_until_it_is_deferred() -> None:
    stop = StopRequest()
    with pytest.raises(Stopped):
        stop.receive()
    stop.defer()
    stop.receive()
    assert stop.requested


def test_an_unknown_program_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fly"]) == 2
    assert "usage" in capsys.readouterr().err
