"""The official SDK's own local mode on this project's images: it starts them itself, with docker and compose.

It needs the `docker` command and `docker compose` or `docker-compose`. Training and `LocalSession` take an
image that the engine has; ModelBuilder pulls what it starts, so a registry on loopback says that the image is
there already. AWS is asked about the role, a bucket and the caller, which the local AWS answers. What compose
publishes, and ModelBuilder's port 8080, are the SDK's own choice: it offers no other.
"""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import shutil
import socket
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ift_sagemaker.local.running.engines import Engine
from ift_sagemaker.local.running.images import SERVE_STAND_IN, TRAIN_STAND_IN
from tests.clients.conftest import ROLE, Clients, chat_rows
from tests.containers.conftest import require_engine
from tests.containers.engines import required
from tests.e2e import tiny

DOCKER = Engine("docker")
pytestmark = [pytest.mark.clients, pytest.mark.engine, pytest.mark.timeout(300)]


NETWORK = "sagemaker-local"
"""What the SDK calls the network that it has compose make, and leaves behind."""


@pytest.fixture
def local_mode(clients: Clients) -> Iterator[Clients]:
    """The clients with docker and compose; fails, or skips where no engine is required, without them."""
    require_engine("docker")
    reason = "neither `docker compose` nor `docker-compose` is installed"
    if not _has_compose(clients.environment["PATH"]):
        assert not required(), reason
        pytest.skip(reason)
    there, networks = _containers("--all"), _networks()
    address = {name: os.environ[name] for name in ("DOCKER_HOST",) if name in os.environ}
    yield replace(clients, environment={**clients.environment, **address})
    for container in _containers("--all") - there:
        DOCKER.remove(container)
    if NETWORK in _networks() - networks:
        DOCKER.call("network", "rm", NETWORK)


def _has_compose(path: str) -> bool:
    """Whether there is what the SDK looks for."""
    plugin = subprocess.run(DOCKER.command("compose", "version"), check=False, capture_output=True)
    return plugin.returncode == 0 or shutil.which("docker-compose", path=path) is not None


def _containers(*words: str) -> set[str]:
    """Ids of the containers of our images."""
    images = [f"--filter=ancestor={image}" for image in (TRAIN_STAND_IN, SERVE_STAND_IN)]
    return set(DOCKER.call("ps", "--quiet", "--no-trunc", *words, *images).split())


def _networks() -> set[str]:
    return set(DOCKER.call("network", "ls", "--format", "{{.Name}}").split())


def _weights(folder: Path) -> Path:
    """A stand-in checkpoint that also the images' user may read."""
    tiny.build(folder)
    for file in folder.iterdir():
        file.chmod(0o644)
    return folder


def _names(archive: Path) -> set[str]:
    with tarfile.open(archive, mode="r:gz") as tar:
        return {Path(member.name).name for member in tar if member.isreg()}


def test_model_trainer_trains_on_our_training_image(local_mode: Clients, tmp_path: Path) -> None:
    weights, rows, work = _weights(tmp_path / "weights"), chat_rows(tmp_path / "rows"), tmp_path / "work"
    ran = local_mode.script("local_mode_training", ROLE, TRAIN_STAND_IN, str(weights), str(rows), str(work))
    assert "ift_metrics" in ran.printed
    assert {"config.json", "model.safetensors", "tokenizer.json", "ift_model.json"} <= _names(
        Path(ran.told["artifact"])
    )


def test_the_local_session_hosts_our_serving_image_and_asks_it(local_mode: Clients, tmp_path: Path) -> None:
    weights = _weights(tmp_path / "model")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    told = local_mode.script("local_mode_hosting", ROLE, SERVE_STAND_IN, str(weights), str(port)).told
    assert told["status"] == "InService"
    assert told["content_type"] == "application/json"
    assert told["choices"] == 1
    assert 0 < told["tokens"] <= 4
    assert told["refused"] == 400
    assert not _containers(), "what was deleted runs on"


class _Registry(http.server.BaseHTTPRequestHandler):
    """A registry on loopback that knows one image: the one that the engine has already, by its id alone."""

    manifest = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        if "/manifests/" in self.path:
            self.send_header("Content-Type", "application/vnd.docker.distribution.manifest.v2+json")
            self.send_header("Docker-Content-Digest", f"sha256:{hashlib.sha256(self.manifest).hexdigest()}")
        body = self.manifest if "/manifests/" in self.path else b"{}"
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""


@pytest.fixture
def pullable() -> Iterator[str]:
    """The serving image under a name that can be pulled, since ModelBuilder pulls what it starts."""
    config = {"mediaType": "application/vnd.docker.container.image.v1+json", "size": 2}
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {
            **config,
            "digest": DOCKER.call("image", "inspect", "--format", "{{.Id}}", SERVE_STAND_IN).strip(),
        },
        "layers": [],
    }
    handler = type("Registry", (_Registry,), {"manifest": json.dumps(manifest).encode()})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        name = f"127.0.0.1:{server.server_port}/{SERVE_STAND_IN}"
        yield name
        server.shutdown()
        DOCKER.call("rmi", name)


def test_model_builder_deploys_our_serving_image_and_asks_it(
    local_mode: Clients, tmp_path: Path, pullable: str
) -> None:
    weights = _weights(tmp_path / "model")
    told = local_mode.script("local_mode_builder", ROLE, pullable, str(weights)).told
    assert len(told["completion"]["choices"]) == 1
