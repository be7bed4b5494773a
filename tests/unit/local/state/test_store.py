"""The store: documents, their order, and log events, from many threads and processes at once."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ift_sagemaker.errors import ConfigError
from ift_sagemaker.local.state.log_records import LogQuery, StreamOrder
from ift_sagemaker.local.state.store import Store
from tests.unit.local.state.explaining import ExplainingStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "root", clock=lambda: 100.0)
    yield made
    made.close()


def count_up(document: dict[str, int]) -> dict[str, int]:
    return {**document, "count": document["count"] + 1}


def increment_in_another_process(root: Path, times: int) -> None:
    store = Store(root)
    for _ in range(times):
        store.update("training-job", "j", count_up)
    store.close()


def open_in_another_process(root: Path, name: str) -> None:
    store = Store(root)
    store.insert("model", name, {"CreationTime": 1.0})
    store.close()


def test_a_document_comes_back_as_it_went_in(store: Store) -> None:
    store.insert("model", "m", {"CreationTime": 1.5, "Name": "ü", "Nested": {"a": [1, None]}})
    assert store.get("model", "m") == {"CreationTime": 1.5, "Name": "ü", "Nested": {"a": [1, None]}}


def test_a_taken_name_is_refused_and_the_first_document_stays(store: Store) -> None:
    store.insert("model", "m", {"CreationTime": 1.0})
    with pytest.raises(KeyError, match="model m exists"):
        store.insert("model", "m", {"CreationTime": 2.0})
    assert store.get("model", "m") == {"CreationTime": 1.0}


def test_the_same_name_may_stand_in_two_kinds(store: Store) -> None:
    store.insert("model", "x", {"CreationTime": 1.0})
    store.insert("endpoint", "x", {"CreationTime": 2.0})
    assert store.get("endpoint", "x") == {"CreationTime": 2.0}


def test_update_of_an_absent_document_raises_key_error(store: Store) -> None:
    with pytest.raises(KeyError, match="no model m"):
        store.update("model", "m", count_up)


def test_a_change_that_fails_leaves_the_document_and_the_store_usable(store: Store) -> None:
    store.insert("model", "m", {"CreationTime": 1.0})
    with pytest.raises(KeyError, match="count"):
        store.update("model", "m", count_up)
    assert store.get("model", "m") == {"CreationTime": 1.0}
    assert store.update("model", "m", lambda found: {**found, "a": 1})["a"] == 1


def test_delete_tells_whether_there_was_something(store: Store) -> None:
    store.insert("model", "m", {"CreationTime": 1.0})
    assert store.delete("model", "m")
    assert not store.delete("model", "m")
    assert store.get("model", "m") is None


def test_list_gives_the_newest_first_across_pages_and_equal_times(store: Store) -> None:
    for number in range(450):
        store.insert("training-job", f"j{number:03}", {"CreationTime": float(number // 3), "n": number})
    listed = [document["n"] for document in store.list("training-job")]
    assert listed == list(reversed(range(450)))


def test_updates_of_many_threads_are_all_kept(store: Store) -> None:
    store.insert("training-job", "j", {"CreationTime": 1.0, "count": 0})
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: store.update("training-job", "j", count_up), range(80)))
    found = store.get("training-job", "j")
    assert found is not None
    assert found["count"] == 80


def test_updates_of_many_processes_are_all_kept(store: Store) -> None:
    store.insert("training-job", "j", {"CreationTime": 1.0, "count": 0})
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=increment_in_another_process, args=(store.root, 25)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    found = store.get("training-job", "j")
    assert found is not None
    assert found["count"] == 75


def test_processes_that_make_the_same_store_at_once_all_succeed(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    root = tmp_path / "fresh"
    workers = [spawn.Process(target=open_in_another_process, args=(root, f"m{n}")) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    store = Store(root)
    assert len(list(store.list("model"))) == 4
    store.close()


def test_a_store_of_another_schema_version_is_refused_by_name(store: Store) -> None:
    with store.transaction() as connection:
        connection.execute("PRAGMA user_version=99")
    with pytest.raises(ConfigError, match="schema 99"):
        Store(store.root)


def test_log_ids_grow_and_serve_as_tokens(store: Store) -> None:
    store.append_log_events("g", "s", [(1, "a"), (2, "b")])
    store.append_log_events("g", "other", [(2, "x")])
    store.append_log_events("g", "s", [(3, "c")])
    first = store.log_events("g", "s", limit=2)
    rest = store.log_events("g", "s", after=first[-1].id)
    assert [event.message for event in first + rest] == ["a", "b", "c"]
    assert [event.id for event in first + rest] == sorted({event.id for event in first + rest})


def test_log_streams_know_the_extremes_of_their_times(store: Store) -> None:
    store.append_log_events("g", "s", [(5, "a"), (9, "b")])
    store.append_log_events("g", "s", [(3, "late")])
    (stream,) = store.log_streams("g")
    assert (stream.first, stream.last) == (3, 9)


@pytest.mark.parametrize("prefix", ["100%", "a_"])
def test_stream_prefixes_are_plain_text_without_wildcards(store: Store, prefix: str) -> None:
    for stream in (f"{prefix}x", "100x", "abx"):
        store.append_log_events("g", stream, [(1, "m")])
    assert [found.name for found in store.log_streams("g", prefix)] == [f"{prefix}x"]
    found = store.find_log_events(LogQuery("g", stream_prefix=prefix))
    assert [event.stream for event in found] == [f"{prefix}x"]


def test_no_events_make_no_stream(store: Store) -> None:
    store.append_log_events("g", "s", [])
    assert store.log_groups() == []


def test_a_root_that_was_open_to_others_is_closed_and_so_is_the_state(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    root.chmod(0o755)
    store = Store(root)
    store.insert("model", "m", {"CreationTime": 1.0})
    assert root.stat().st_mode & 0o777 == 0o700
    modes = {path.name: path.stat().st_mode & 0o777 for path in root.glob("state.sqlite*")}
    assert modes == dict.fromkeys(("state.sqlite", "state.sqlite-shm", "state.sqlite-wal"), 0o600)
    store.close()
    (root / "state.sqlite").chmod(0o644)
    Store(root).close()
    assert (root / "state.sqlite").stat().st_mode & 0o777 == 0o600


def test_a_folder_of_everybody_stays_open(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o1777)
    Store(tmp_path / "shared").close()
    assert (tmp_path / "shared").stat().st_mode & 0o7777 == 0o1777


@pytest.mark.parametrize(
    "query",
    [
        LogQuery("g"),
        LogQuery("g", after=5, newest=True),
        LogQuery("g", ("s",), after=5),
        LogQuery("g", ("s", "t"), newest=True),
        LogQuery("g", stream_prefix="job/"),
    ],
    ids=["group", "tail of a group", "stream", "streams", "prefix"],
)
def test_log_events_are_found_by_an_index_and_not_by_reading_all(tmp_path: Path, query: LogQuery) -> None:
    store = ExplainingStore(tmp_path / "root")
    store.find_log_events(query)
    wanted = (
        "log_events_by_stream (grp=? AND stream" if query.streams or query.stream_prefix else "(grp=? AND id"
    )
    assert any(wanted in plan for plan in store.plans), store.plans
    assert not any("SCAN" in plan for plan in store.plans)


@pytest.mark.parametrize(
    ("order", "searched"),
    [
        (StreamOrder(), "(grp=?"),
        (StreamOrder(after=(0, "a"), descending=True), "(grp=? AND name<?)"),
        (StreamOrder(by_time=True), "log_streams_by_time (grp=?"),
        (StreamOrder(by_time=True, descending=True, after=(5, "a")), "log_streams_by_time (grp=?"),
    ],
)
def test_log_streams_come_in_order_from_an_index(tmp_path: Path, order: StreamOrder, searched: str) -> None:
    store = ExplainingStore(tmp_path / "root")
    store.log_streams("g", order=order)
    assert [searched in plan for plan in store.plans] == [True], store.plans
