"""The network that sandboxes of one run share."""

from __future__ import annotations

import gc
import shutil
import subprocess
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from ift_sagemaker.local.running.bubblewrap import arguments
from ift_sagemaker.local.running.private_network import PrivateNetwork, hosts_file, is_shared
from ift_sagemaker.local.running.runner import Launch, StartError


def launch(**changes: object) -> Launch:
    return replace(Launch(("true",), {}, Path("/ml"), Path("/tmp"), 1), **changes)  # type: ignore[arg-type]  # noqa: S108


TWO = {"algo-1": "127.0.1.1", "algo-2": "127.0.1.2"}


def test_programs_without_an_outside_network_get_names_for_all_hosts() -> None:
    assert hosts_file(launch(hosts=TWO)).decode().splitlines() == [
        "127.0.0.1 localhost",
        "::1 localhost",
        "127.0.1.1 algo-1",
        "127.0.1.2 algo-2",
    ]
    assert hosts_file(launch(host="algo-1")).endswith(b"127.0.0.1 algo-1\n")
    assert hosts_file(launch(network=True)) == b""


def test_only_several_hosts_share_a_network_and_each_has_its_own_name() -> None:
    assert is_shared(launch(hosts=TWO))
    assert not is_shared(launch())
    words = arguments(launch(hosts=TWO, host="algo-2"))
    assert "--share-net" in words
    assert words[words.index("--hostname") + 1] == "algo-2"
    assert "--share-net" not in arguments(launch())


@pytest.mark.bwrap
def test_a_network_goes_with_the_last_open_file_and_needs_no_process() -> None:
    network = PrivateNetwork("bwrap")
    entering = network.entering()
    inside = subprocess.run(
        [*entering, "readlink", "/proc/self/ns/net"], capture_output=True, check=True, text=True
    )
    assert inside.stdout.strip() != str(Path("/proc/self/ns/net").readlink())
    files = [Path(word.partition("=")[2]) for word in entering if "/fd/" in word]
    held = [str(path.readlink()) for path in files]
    assert [name.partition(":")[0] for name in held] == ["user", "net"]
    del network
    gc.collect()
    assert held[0] not in open_files()
    assert held[1] not in open_files()
    assert subprocess.run([*entering, "true"], capture_output=True, check=False).returncode != 0


def open_files() -> set[str]:
    found = set()
    for path in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found.add(str(path.readlink()))
    return found


@pytest.mark.parametrize("bwrap", ["false", "no-such-bwrap"])
def test_a_machine_that_grants_no_namespaces_is_a_start_error(bwrap: str) -> None:
    found = shutil.which(bwrap) or bwrap
    with pytest.raises(StartError, match=r"could not make a network|No such file"):
        PrivateNetwork(found)
