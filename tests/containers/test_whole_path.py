"""Our own program on stand-in weights, trained and served by the built images."""

from __future__ import annotations

from pathlib import Path

import pytest

from ift_sagemaker import local
from ift_sagemaker.catalog.weights import describe
from ift_sagemaker.data import InstructionDataset
from ift_sagemaker.local.running.engines import Engine
from tests.e2e import tiny
from tests.e2e.conftest import MODEL, QUICK, stand_in_session


@pytest.mark.timeout(300)
def test_rows_become_answers_in_containers(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IFT_LOCAL_ROOT", str(tmp_path / "aws"))
    monkeypatch.setenv("IFT_LOCAL_RUNNER", engine.name)
    monkeypatch.setenv("IFT_LOCAL_REQUIRE", engine.name)
    monkeypatch.setenv("IFT_LOCAL_MEMORY", "4g")
    session = stand_in_session(describe("stand-in", tiny.build(tmp_path / "weights")))
    rows = InstructionDataset.from_rows(
        [{"instruction": "Repeat the word", "input": f"word{n}", "output": f"word{n}"} for n in range(12)]
    )
    try:
        job = session.fine_tune(MODEL, rows, hyperparameters=QUICK)
        assert job.wait(timeout=200).status == "Completed"
        metrics = {entry["MetricName"]: entry["Value"] for entry in job.description["FinalMetricDataList"]}
        assert metrics["step"] == metrics["total_steps"] == 3
        assert metrics["train_loss"] > 0
        assert {path.name for path in job.download(tmp_path / "model").iterdir()} == {
            "config.json",
            "generation_config.json",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json",
            "ift_model.json",
        }
        assert job.executed["executed-image"].startswith("ift-sagemaker-train:")
        with job.deploy() as endpoint:
            answer = endpoint.invoke(rows.prompt(rows[0]), max_tokens=5)
            assert answer.finish_reason in {"stop", "length"}
            assert len(engine.containers(tmp_path)) == 1
        assert engine.containers(tmp_path) == []
    finally:
        local.reset()
