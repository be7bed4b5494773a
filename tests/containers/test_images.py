"""SageMaker's contract with a container, asked of the built images with an engine alone."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ift_sagemaker import __version__
from ift_sagemaker.local.running.containers import hand_over
from ift_sagemaker.local.running.engines import Engine
from ift_sagemaker.local.running.images import SERVE_STAND_IN, TRAIN_STAND_IN
from tests.containers.engines import SHUT, run

pytestmark = [pytest.mark.engine, pytest.mark.timeout(180)]

LOOK = """
import json, os, sys
config = {name: json.load(open(f"/opt/ml/input/config/{name}.json")) for name in ("hyperparameters",)}
def write(path):
    try:
        open(path, "w").close()
        return True
    except OSError:
        return False
open("/opt/ml/model/weights", "w").write(config["hyperparameters"]["epoch"])
print(json.dumps({
    "user": os.getuid(), "first": os.getppid(), "links": os.listdir("/sys/class/net"),
    "writes": [path for path in ("/new", "/opt/ml/input/new", "/opt/venv/new", "/tmp/new") if write(path)],
    "caches": sorted({name for name in os.environ if os.environ[name].startswith("/tmp")}),
}))
"""


@pytest.fixture
def ml(tmp_path: Path) -> Path:
    """A folder for `/opt/ml` that the images' user may write to."""
    for name in ("input/config", "model", "output/data", "checkpoints"):
        (tmp_path / "ml" / name).mkdir(parents=True)
    (tmp_path / "ml/input/config/hyperparameters.json").write_text('{"epoch": "3"}')
    if os.geteuid() == 0:
        hand_over(tmp_path / "ml", 1000, 1000)
    return tmp_path / "ml"


def mounts(ml: Path) -> list[str]:
    return [
        *("--mount", f"type=bind,source={ml},target=/opt/ml"),
        *("--mount", f"type=bind,source={ml}/input,target=/opt/ml/input,readonly"),
    ]


@contextmanager
def detached(engine: Engine, *words: str) -> Iterator[str]:
    container = engine.call("run", "--detach", *words).split()[-1]
    try:
        yield container
    finally:
        engine.remove(container)


def log(engine: Engine, container: str) -> str:
    done = run(engine, "logs", container)
    return done.stdout + done.stderr


def wait_for(engine: Engine, container: str, word: str, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while word not in log(engine, container):
        assert time.monotonic() < deadline, log(engine, container)
        time.sleep(0.2)


@pytest.mark.parametrize("user", ["1000:1000", "0:0"])
def test_a_program_runs_shut_in_as_any_user(engine: Engine, ml: Path, user: str) -> None:
    if user == "0:0" and os.geteuid() == 0:
        hand_over(ml, 0, 0)
    command = ("python3", "-c", LOOK)
    done = run(engine, "run", "--rm", *SHUT, *mounts(ml), "--user", user, TRAIN_STAND_IN, *command)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["user"] == int(user.partition(":")[0])
    assert told["first"] == 1, "the program is a child of the first process"
    assert told["links"] == ["lo"]
    assert told["writes"] == ["/tmp/new"]  # noqa: S108 - inside
    assert {"HOME", "HF_HOME", "TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR"} <= set(told["caches"])
    assert (ml / "model/weights").read_text() == "3"


def test_without_a_user_the_program_is_not_root(engine: Engine) -> None:
    done = run(engine, "run", "--rm", *SHUT, TRAIN_STAND_IN, "id", "-u")
    assert done.stdout.strip() == "1000"


def test_a_failing_job_leaves_its_reason_and_exit_code_1(engine: Engine, ml: Path) -> None:
    done = run(engine, "run", "--rm", *SHUT, *mounts(ml), TRAIN_STAND_IN, "train", seconds=120)
    assert done.returncode == 1, done.stderr
    assert (ml / "output/failure").read_text() == "channel 'training' holds no rows (*.jsonl)"


def test_exit_codes_are_kept(engine: Engine) -> None:
    done = run(engine, "run", "--rm", *SHUT, TRAIN_STAND_IN, "bash", "-c", "exit 42")
    assert done.returncode == 42


def test_a_command_that_is_not_there_is_127_with_a_reason(engine: Engine, ml: Path) -> None:
    done = run(engine, "run", "--rm", *SHUT, *mounts(ml), TRAIN_STAND_IN, "no-such-program")
    assert done.returncode == 127
    assert "no-such-program cannot be started" in (ml / "output/failure").read_text()


def test_stop_lets_the_program_write_what_it_has_and_keeps_its_exit_code(engine: Engine, ml: Path) -> None:
    code = (
        "import signal, sys, time\n"
        "def save(*_):\n    open('/opt/ml/model/part', 'w').write('half'); sys.exit(5)\n"
        "signal.signal(signal.SIGTERM, save); print('begun', flush=True); time.sleep(60)"
    )
    with detached(engine, *SHUT, *mounts(ml), TRAIN_STAND_IN, "python3", "-c", code) as container:
        wait_for(engine, container, "begun")
        before = time.monotonic()
        engine.call("stop", "--time", "20", container)
        assert time.monotonic() - before < 15, "SIGTERM did not arrive"
        assert engine.running_or_code(container) == 5
    assert (ml / "model/part").read_text() == "half"


def test_orphans_are_buried(engine: Engine) -> None:
    code = (
        "import os, subprocess, time\n"
        "subprocess.run(['sh', '-c', 'sleep 0.1 & exit 0'])\n"
        "time.sleep(1)\n"
        "states = [open(f'/proc/{p}/stat').read().split()[2] for p in os.listdir('/proc') if p.isdigit()]\n"
        "print('zombies', states.count('Z'))"
    )
    done = run(engine, "run", "--rm", *SHUT, TRAIN_STAND_IN, "python3", "-c", code)
    assert "zombies 0" in done.stdout


def test_what_sdks_and_people_look_for_is_on_the_path(engine: Engine) -> None:
    look = "command -v bash python3 pip && python3 --version && pip --version"
    done = run(engine, "run", "--rm", *SHUT, TRAIN_STAND_IN, "bash", "-c", look)
    assert done.returncode == 0, done.stderr
    assert "/opt/venv/bin/python3" in done.stdout


@pytest.mark.parametrize("image", [TRAIN_STAND_IN, SERVE_STAND_IN])
def test_images_say_what_they_are_and_hold_no_wheels(engine: Engine, image: str) -> None:
    labels = json.loads(engine.call("image", "inspect", "--format", "{{json .Config.Labels}}", image))
    told = {name.rpartition(".")[2]: value for name, value in labels.items()}
    assert told["version"] == __version__
    assert told["licenses"] == "Apache-2.0"
    assert {"source", "revision", "title", "description"} <= set(told)
    assert engine.call("image", "inspect", "--format", "{{.Config.User}}", image).strip() == "1000:1000"
    done = run(
        engine, "run", "--rm", *SHUT, image, "sh", "-c", "ls -d /wheelhouse /locks 2>/dev/null; id -un"
    )
    assert ".whl" not in done.stdout


def test_a_server_without_a_model_ends_with_the_reason(engine: Engine, ml: Path) -> None:
    done = run(engine, "run", "--rm", *SHUT, *mounts(ml), SERVE_STAND_IN, "serve", seconds=120)
    assert done.returncode == 1
    assert "holds no *.safetensors file" in done.stdout


def test_a_server_is_healthy_only_once_it_answers_and_ends_by_sigterm_as_0(engine: Engine, ml: Path) -> None:
    from tests.e2e import tiny

    tiny.build(ml / "model")
    if os.geteuid() == 0:
        hand_over(ml / "model", 1000, 1000)
    shown = "--publish", "127.0.0.1::8080"
    words = [word for word in SHUT if word not in ("--network", "none")]
    with detached(engine, *words, *mounts(ml), *shown, SERVE_STAND_IN) as container:
        port = engine.call("port", container, "8080").strip().rpartition(":")[2]
        assert _status(port) in (None, 503), "nothing is ready at once"
        deadline = time.monotonic() + 90
        while _status(port) != 200:
            assert time.monotonic() < deadline, log(engine, container)
            time.sleep(0.3)
        health = run(engine, "exec", container, "python3", "-P", "-m", "ift_sagemaker.container", "ping")
        assert health.returncode == 0, health.stderr
        engine.call("stop", "--time", "30", container)
        assert engine.running_or_code(container) == 0
    told = engine.call("image", "inspect", "--format", "{{json .Config.Healthcheck}}", SERVE_STAND_IN)
    assert "ping" in told


def _status(port: str) -> int | None:
    from ift_sagemaker.local.hosting.server import ping

    try:
        return 200 if ping(int(port)) else 503
    except OSError:
        return None
