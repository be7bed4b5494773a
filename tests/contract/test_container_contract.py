"""The programs as SageMaker runs them: a process, `/opt/ml` on disk, signals and exit codes.

They are started from the zip that a job gets as its program, with nothing of the repository on the path.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from ift_sagemaker.container.precision import Precision
from ift_sagemaker.container.weights import load_tuned
from ift_sagemaker.wire.artifact import ModelCard
from ift_sagemaker.wire.metrics import METRIC_NAMES, parse_metrics
from ift_sagemaker.wire.paths import MLPaths
from ift_sagemaker.wire.program import program
from ift_sagemaker.wire.rows import write_rows
from tests.unit.container.tiny import QUICK, ROWS, TEMPLATE, make_job, save_base

SECONDS = 120
FLOAT32 = Precision(torch.device("cpu"), torch.float32, "test")
CHAT = {"messages": [{"role": "user", "content": "Name the colour."}], "max_tokens": 4, "temperature": 0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds the program's zip and the tiny base model."""
    made = tmp_path_factory.mktemp("contract")
    (made / "ift_program.pyz").write_bytes(program().content)
    save_base(made / "base")
    return made


def start(
    folder: Path, root: Path, name: str, extra: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """The program as a process. `-P -s` and an empty PYTHONPATH keep the repository out of its sight."""
    environment = {"PATH": os.environ["PATH"], "IFT_ML_ROOT": str(root), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-P", "-s", str(folder / "ift_program.pyz"), name],
        cwd=root,
        env=environment | dict(extra or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=SECONDS)
    return process.returncode, out, err


@pytest.fixture(scope="module")
def trained(folder: Path) -> tuple[MLPaths, tuple[int, str, str]]:
    """A finished training job."""
    root = make_job(folder / "trained", QUICK | {"validation_split_ratio": "0.2"}, folder / "base")
    process = start(folder, root, "train", {"IFT_MODEL_ID": "tiny-llama"})
    return MLPaths(root), finish(process)


def test_training_ends_with_exit_code_0_and_every_file_of_the_contract(
    trained: tuple[MLPaths, tuple[int, str, str]],
) -> None:
    paths, (code, _, err) = trained
    assert code == 0, err
    assert {path.name for path in paths.model.iterdir()} == {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "ift_model.json",
    }
    card = ModelCard.read(paths.model)
    assert card is not None
    assert (card.base_model_id, card.form, card.unfinished) == ("tiny-llama", "merged", False)
    assert [path.name for path in paths.checkpoints.iterdir()] == ["checkpoint-4"]
    assert not paths.failure.exists()


def test_the_log_carries_metric_lines_that_sagemaker_can_read(
    trained: tuple[MLPaths, tuple[int, str, str]],
) -> None:
    _, (_, out, _) = trained
    found = [line for line in map(parse_metrics, out.splitlines()) if line]
    assert {name for line in found for name in line} == set(METRIC_NAMES)
    assert "ift: 8 training rows, 2 held out" in out


def test_nothing_but_the_output_folders_is_written(trained: tuple[MLPaths, tuple[int, str, str]]) -> None:
    paths, _ = trained
    assert {path.name for path in paths.root.iterdir()} == {"input", "model", "output", "checkpoints"}


def test_a_failure_is_exit_code_1_and_a_reason_in_the_failure_file(folder: Path) -> None:
    root = make_job(folder / "failed", {"epochs": "3"}, folder / "base")
    code, _, err = finish(start(folder, root, "train"))
    assert code == 1
    assert (root / "output" / "failure").read_text() == "no hyperparameter 'epochs'; did you mean epoch?"
    assert "Traceback" in err
    assert list((root / "model").iterdir()) == []


def test_sigterm_while_training_leaves_a_loadable_model_marked_unfinished(folder: Path) -> None:
    root = make_job(folder / "stopped", QUICK | {"epoch": "1000"}, folder / "base")
    process = start(folder, root, "train")
    assert process.stdout is not None
    steps = (line for line in process.stdout if parse_metrics(line))
    next(steps)
    process.send_signal(signal.SIGTERM)
    code, out, err = finish(process)
    assert code == 0, err
    assert "unfinished, stopped after" in out
    card = ModelCard.read(root / "model")
    assert card is not None
    assert card.unfinished
    assert 1 <= card.steps < card.total_steps
    model, tokenizer = load_tuned(root / "model", None, FLOAT32)
    assert torch.isfinite(model(**tokenizer("a", return_tensors="pt")).logits).all()
    assert (root / "checkpoints" / f"checkpoint-{card.steps}" / "optimizer.pt").exists()


def test_sigterm_before_the_first_step_ends_at_once_without_a_model(folder: Path) -> None:
    root = make_job(folder / "early", QUICK, folder / "base")
    rows = root / "input" / "data" / "training" / "train.jsonl"
    rows.unlink()
    os.mkfifo(rows)
    process = start(folder, root, "train")
    with rows.open("w"):  # opens once the program reads its rows, and keeps it waiting for them
        process.send_signal(signal.SIGTERM)
        code, out, err = finish(process)
    assert code == 0, err
    assert "stopped by SIGTERM before the first step" in out
    assert list((root / "model").iterdir()) == []
    assert not (root / "output" / "failure").exists()


def test_an_evaluation_judges_the_archive_that_sagemaker_delivers(
    folder: Path, trained: tuple[MLPaths, tuple[int, str, str]]
) -> None:
    paths = MLPaths(folder / "evaluated")
    for channel in ("rows", "tuned"):
        paths.channel(channel).mkdir(parents=True)
    paths.channel("base").symlink_to(folder / "base")
    paths.config.mkdir()
    paths.hyperparameters.write_text(json.dumps({"max_new_tokens": "3", "batch_size": "4"}))
    write_rows(paths.channel("rows") / "train.jsonl", ROWS)
    (paths.channel("rows") / "template.json").write_text(json.dumps(TEMPLATE))
    with tarfile.open(paths.channel("tuned") / "model.tar.gz", "w:gz") as archive:
        for path in trained[0].model.iterdir():
            archive.add(path, path.name)
    code, out, err = finish(start(folder, paths.root, "evaluate"))
    assert code == 0, err
    assert "evaluated tuned 10/10" in out
    lines = (paths.output_data / "predictions.jsonl").read_text("utf-8").splitlines()
    predictions = [json.loads(line) for line in lines]
    assert [entry["reference"] for entry in predictions] == [row["output"] for row in ROWS]
    assert set(predictions[0]) == {"index", "instruction", "prompt", "reference", "base", "tuned"}
    assert set(predictions[0]["tuned"]) == {"prediction", "loss", "tokens", "ended"}

    def mean(name: str) -> float:
        return sum(float(entry[name]["loss"]) for entry in predictions) / len(predictions)

    assert mean("tuned") < mean("base")


def free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def call(port: int, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    connection.request(method, path, None if body is None else json.dumps(body))
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content


def ping_until(port: int, process: subprocess.Popen[str]) -> int:
    """First status other than 503 that /ping gives; the process must not end before."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            status, _ = call(port, "GET", "/ping")
        except OSError:
            status = 503
        if status != 503:
            return status
        time.sleep(0.1)
    raise AssertionError(f"not ready; exit code {process.poll()}")


@pytest.fixture
def server(
    folder: Path, trained: tuple[MLPaths, tuple[int, str, str]]
) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    port = free_port()
    process = start(folder, trained[0].root, "serve", {"SAGEMAKER_BIND_TO_PORT": str(port)})
    yield port, process
    process.kill()
    process.communicate()


def test_serving_answers_pings_and_invocations_and_ends_with_exit_code_0(
    server: tuple[int, subprocess.Popen[str]],
) -> None:
    port, process = server
    assert ping_until(port, process) == 200
    status, content = call(port, "POST", "/invocations", CHAT)
    answer = json.loads(content)
    assert (status, answer["object"]) == (200, "chat.completion")
    assert answer["choices"][0]["finish_reason"] in {"stop", "length"}
    process.send_signal(signal.SIGTERM)
    code, out, err = finish(process)
    assert code == 0, err
    assert "ift: ready" in out


def test_sigterm_lets_a_running_request_finish(server: tuple[int, subprocess.Popen[str]]) -> None:
    port, process = server
    ping_until(port, process)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    long_chat = CHAT | {"max_tokens": 200, "temperature": 3.0, "seed": 1}
    connection.request("POST", "/invocations", json.dumps(long_chat))
    call(port, "GET", "/ping")  # a later connection: the request before it has been taken up
    process.send_signal(signal.SIGTERM)
    answer = connection.getresponse()
    usage = json.loads(answer.read())["usage"]
    connection.close()
    assert (answer.status, finish(process)[0]) == (200, 0)
    assert usage["completion_tokens"] > 0


def test_a_folder_without_a_model_ends_the_server_with_the_reason(folder: Path) -> None:
    root = folder / "empty"
    (root / "model").mkdir(parents=True)
    code, out, _ = finish(start(folder, root, "serve", {"SAGEMAKER_BIND_TO_PORT": str(free_port())}))
    assert code == 1
    assert "holds no *.safetensors file" in out


def test_pickled_weights_fail_the_job(folder: Path) -> None:
    shutil.copytree(folder / "base", folder / "pickled")
    (folder / "pickled" / "model.safetensors").unlink()
    torch.save({}, folder / "pickled" / "pytorch_model.bin")
    root = make_job(folder / "pickled-job", QUICK, folder / "pickled")
    code, _, _ = finish(start(folder, root, "train"))
    assert code == 1
    assert "pickled weights can run code" in (root / "output" / "failure").read_text()
