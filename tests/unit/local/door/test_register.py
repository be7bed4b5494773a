"""The register of running servers: who lives is listed, also while it enters; who is dead is removed."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from ift_sagemaker.local.door.register import FOLDER, Listener, registered, running

URL = "http://127.0.0.1:4620"


def test_a_server_that_enters_while_others_look_is_not_taken_for_a_dead_one(tmp_path: Path) -> None:
    done, failures = threading.Event(), []

    def look() -> None:
        while not done.is_set():
            running(tmp_path)

    lookers = [threading.Thread(target=look) for _ in range(2)]
    for looker in lookers:
        looker.start()
    for _ in range(300):
        with registered(tmp_path, URL, alone=True):
            if running(tmp_path) != [Listener(os.getpid(), URL, alone=True)]:
                failures.append(list((tmp_path / FOLDER).iterdir()))
    done.set()
    for looker in lookers:
        looker.join()
    assert failures == []


def test_an_entry_of_a_dead_server_is_removed_and_one_that_ended_leaves_none(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "1-4620.json").write_text(
        '{"pid": 1, "url": "http://127.0.0.1:4620", "alone": true}'
    )
    with registered(tmp_path, URL, alone=False):
        assert running(tmp_path) == [Listener(os.getpid(), URL, alone=False)]
    assert list((tmp_path / FOLDER).iterdir()) == []
