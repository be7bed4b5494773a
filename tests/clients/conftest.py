"""A local AWS over HTTP with stand-in weights, and a way to run foreign clients against it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ift_sagemaker import local
from ift_sagemaker.catalog.images import training_image, vllm_image
from ift_sagemaker.catalog.weights import WeightsCache
from ift_sagemaker.local.hub.record import HubModel, hub_models
from ift_sagemaker.local.state.settings import ROLE_ARN
from tests.e2e.tiny import TinyWeights

HERE = Path(__file__).parent
BIN = HERE.parents[1] / ".venv-clients" / "bin"
SECONDS = 300
SERVE = "from ift_sagemaker.cli import main; main()"
REGION = "us-east-1"
ROLE = ROLE_ARN
TRAINING_IMAGE = training_image(REGION)
SERVING_IMAGE = vllm_image(REGION)


@dataclass(frozen=True)
class Ran:
    """What a program printed; `log` is its standard error."""

    printed: str
    log: str

    @property
    def told(self) -> dict[str, Any]:
        """The JSON object in its last line."""
        found: dict[str, Any] = json.loads(self.printed.splitlines()[-1])
        return found


@dataclass(frozen=True)
class Clients:
    """Runs programs of the clients' environment; `record` is where the guard writes what it refused."""

    environment: dict[str, str]
    folder: Path
    record: Path

    def run(self, *command: str) -> Ran:
        """What the command printed; fails with all its words where it does, or where it left the machine."""
        done = subprocess.run(
            command,
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-8000:]}"
        refused = self.record.read_text() if self.record.exists() else ""
        assert not refused, f"left the machine: {refused}"
        return Ran(done.stdout, done.stderr)

    def script(self, name: str, *arguments: str) -> Ran:
        """Runs `scripts/NAME.py`."""
        return self.run(str(BIN / "python"), str(HERE / "scripts" / f"{name}.py"), *arguments)

    def aws(self, *arguments: str) -> Any:
        """What the AWS CLI answers: JSON where it printed some, else its text."""
        printed = self.run(str(BIN / "aws"), *arguments).printed
        return json.loads(printed) if printed.startswith("{") else printed


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment that `ift local serve` prints, of a fresh root with stand-in weights in its cache."""
    if not (BIN.parent / ".installed").exists():
        pytest.fail(
            "IFT_REQUIRE_CLIENTS is set and the clients' environment is not there: run `make clients`"
        )
    folder = tmp_path_factory.mktemp("clients")
    WeightsCache(folder / "cache", fetchers=[TinyWeights()]).pull(model().model_id)
    root = folder / "aws"
    environment = {**os.environ, "IFT_LOCAL_ROOT": str(root), "IFT_CACHE": str(folder / "cache")}
    command = [sys.executable, "-c", SERVE, "local", "serve", "--port", "0", "--json"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        told = json.loads(server.stdout.readline())
        try:
            yield told["environment"]
        finally:
            server.send_signal(signal.SIGTERM)
            ended = server.wait(timeout=30)
            local.reset(root)
    assert ended == 0


@pytest.fixture
def clients(served: dict[str, str], tmp_path: Path) -> Clients:
    record = tmp_path / "refused.txt"
    environment = {
        **served,
        "PATH": f"{BIN}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(HERE / "guard"),
        "IFT_GUARD_RECORD": str(record),
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "SAGEMAKER_USER_CONFIG_OVERRIDE": str(HERE / "sagemaker-defaults.yaml"),
    }
    return Clients(environment, tmp_path, record)


def model() -> HubModel:
    """The smallest model of the hub."""
    return hub_models(REGION)[0]


def chat_rows(folder: Path) -> Path:
    """A folder with eight rows of chat."""
    folder.mkdir()
    rows = (
        [{"role": "user", "content": f"word{n}"}, {"role": "assistant", "content": f"word{n}"}]
        for n in range(8)
    )
    (folder / "rows.jsonl").write_text("".join(json.dumps({"messages": row}) + "\n" for row in rows))
    return folder
