"""The first process of the images, as a process of its own."""

from __future__ import annotations

import http.server
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from ift_sagemaker.container import main

SECONDS = 20


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "ift_sagemaker.container", "first", *words],
        env={**os.environ, "IFT_ML_ROOT": str(folder)},
        stdout=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    out, _ = process.communicate(timeout=SECONDS)
    return process.returncode, out


def test_the_exit_code_of_a_command_is_kept(tmp_path: Path) -> None:
    assert finish(start(tmp_path, "sh", "-c", "exit 42"))[0] == 42
    assert not (tmp_path / "output").exists()


def test_a_signal_is_passed_on_and_answered_by_the_program(tmp_path: Path) -> None:
    process = start(
        tmp_path, "sh", "-c", "trap 'echo saved; exit 9' TERM; echo begun; while :; do sleep 0.05; done"
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGTERM)
    assert finish(process) == (9, "saved\n")


def test_a_program_that_was_killed_is_137_with_a_reason(tmp_path: Path) -> None:
    code, out = finish(start(tmp_path, "sh", "-c", "kill -KILL $$"))
    assert code == 137
    assert "killed by signal 9" in out
    assert (tmp_path / "output/failure").read_text() == "the program was killed by signal 9"


def test_a_reason_that_the_program_gave_is_kept(tmp_path: Path) -> None:
    (tmp_path / "output").mkdir()
    (tmp_path / "output/failure").write_text("mine")
    assert finish(start(tmp_path, "sh", "-c", "kill -KILL $$"))[0] == 137
    assert (tmp_path / "output/failure").read_text() == "mine"


def test_a_command_that_cannot_be_started_is_127_or_126_with_a_reason(tmp_path: Path) -> None:
    assert finish(start(tmp_path, "no-such-program"))[0] == 127
    assert (tmp_path / "output/failure").read_text().startswith("no-such-program cannot be started")
    (tmp_path / "data").write_text("")
    assert finish(start(tmp_path, str(tmp_path / "data")))[0] == 126


def test_orphans_are_waited_for_while_the_program_runs(tmp_path: Path) -> None:
    code = (
        "import ctypes, sys; ctypes.CDLL(None).prctl(36, 1, 0, 0, 0);"
        "from ift_sagemaker.container.first import run;"
        "sys.exit(run(['sh', '-c', '(sleep 0.1 &) ; sleep 0.5; ps -o stat= --ppid $PPID | grep -c Z']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.stdout == "0\n", done.stderr


class _Pong(http.server.BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


def test_the_health_check_is_what_ping_answers() -> None:
    server = http.server.HTTPServer(("127.0.0.1", 0), _Pong)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {**os.environ, "SAGEMAKER_BIND_TO_PORT": str(server.server_port)}
    check = [sys.executable, "-m", "ift_sagemaker.container", "ping"]
    assert subprocess.run(check, env=environment, check=False).returncode == 0
    _Pong.status = 503
    assert subprocess.run(check, env=environment, check=False).returncode == 1
    server.shutdown()
    server.server_close()
    assert subprocess.run(check, env=environment, check=False).returncode == 1


def test_words_that_mean_nothing_are_refused_with_the_usage() -> None:
    assert main(["unheard-of"]) == 2
