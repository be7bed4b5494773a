"""The page on other clients shows the lines that `ift local serve` prints."""

from __future__ import annotations

from pathlib import Path

from ift_sagemaker.cli.local import exports, serve
from ift_sagemaker.local.door.server import DEFAULT_PORT, HOST, Served, client_environment

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "use-other-clients.md"


def test_the_commands_port_is_the_servers() -> None:
    (port,) = [option for option in serve.params if option.name == "port"]
    assert port.default == DEFAULT_PORT


def test_the_page_shows_the_environment_that_serve_prints() -> None:
    url = f"http://{HOST}:{DEFAULT_PORT}"
    served = Served(url, Path(), client_environment(url, "us-east-1"))
    assert f"$ ift local serve\n{exports(served)}\n```" in PAGE.read_text("utf-8")
