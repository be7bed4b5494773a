from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ift_sagemaker.catalog.models import FoundationModel
from ift_sagemaker.catalog.weights import Weights, WeightsCache, describe
from ift_sagemaker.errors import ModelNotFoundError, StorageError, WeightsError

MODEL = "smollm2-135m-instruct"
CHECKPOINT = {"config.json": b"{}", "tokenizer.json": b"{}", "model.safetensors": b"weights"}


class Source:
    """A fetcher that writes the given files, or fails with the given reason."""

    def __init__(
        self, files: dict[str, bytes] | None = None, *, reason: str = "", name: str = "source"
    ) -> None:
        self.name = name
        self.calls = 0
        self._files = CHECKPOINT if files is None else files
        self._reason = reason

    def fetch(self, model: FoundationModel, folder: Path, tell: Callable[[str], None]) -> str:
        self.calls += 1
        folder.mkdir()
        for name, content in self._files.items():
            (folder / name).write_bytes(content)
        if self._reason:
            raise WeightsError(self._reason)
        return f"{self.name}:{model.model_id}"


def _cache(root: Path, *sources: Source) -> WeightsCache:
    return WeightsCache(root, fetchers=sources)


def _entries(root: Path) -> set[str]:
    return {path.name for path in (root / "weights").iterdir()}


def test_nothing_is_found_before_a_pull(tmp_path: Path) -> None:
    assert _cache(tmp_path).find(MODEL) is None
    assert list(tmp_path.iterdir()) == []


def test_what_was_pulled_is_found_with_its_hashes(tmp_path: Path) -> None:
    pulled = _cache(tmp_path, Source()).pull(MODEL)
    assert pulled == _cache(tmp_path).find(MODEL)
    assert pulled == describe(MODEL, pulled.folder, f"source:{MODEL}")
    assert {file.path for file in pulled.files} == set(CHECKPOINT)
    assert pulled.size == sum(map(len, CHECKPOINT.values()))
    assert _entries(tmp_path) == {MODEL, f".{MODEL}.lock"}


def test_every_file_and_folder_is_on_the_disk_before_the_weights_appear(tmp_path: Path) -> None:
    home = tmp_path / "weights" / MODEL
    synced: set[int] = set()

    def sync(descriptor: int) -> None:
        assert not home.exists()
        synced.add(os.fstat(descriptor).st_ino)

    WeightsCache(tmp_path, fetchers=[Source()], sync=sync).pull(MODEL)
    assert {path.name for path in home.rglob("*")} == {*CHECKPOINT, "files", "manifest.json"}
    assert synced == {path.stat().st_ino for path in (home, *home.rglob("*"))}


def test_a_second_pull_fetches_nothing(tmp_path: Path) -> None:
    source = Source()
    for _ in range(2):
        _cache(tmp_path, source).pull(MODEL)
    assert source.calls == 1


def test_the_content_hash_covers_names_and_bytes(tmp_path: Path) -> None:
    hashes = set()
    for index, files in enumerate([{"a": b"x"}, {"a": b"y"}, {"b": b"x"}, {"a": b"x", "b": b""}]):
        folder = tmp_path / str(index)
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content)
        hashes.add(describe(MODEL, folder).content_hash)
    assert len(hashes) == 4


def test_the_next_source_is_asked_where_one_fails(tmp_path: Path) -> None:
    told: list[str] = []
    weights = _cache(tmp_path, Source(reason="no way there", name="first"), Source(name="second")).pull(
        MODEL, told.append
    )
    assert weights.origin.startswith("second:")
    assert "first: no way there" in told


def test_where_all_sources_fail_each_reason_is_told_and_nothing_is_left(tmp_path: Path) -> None:
    sources = [Source(reason="no way there", name="hub"), Source(reason="wrong hash", name="index")]
    with pytest.raises(WeightsError, match=r"(?s)hub: no way there.*index: wrong hash"):
        _cache(tmp_path, *sources).pull(MODEL)
    assert _entries(tmp_path) == {f".{MODEL}.lock"}


@pytest.mark.parametrize(
    ("files", "text"),
    [
        ({"config.json": b"{}", "tokenizer.json": b"{}"}, "no \\*.safetensors"),
        ({"model.safetensors": b"x", "config.json": b"{}"}, "no tokenizer.json"),
        ({**CHECKPOINT, "pytorch_model.bin": b"x"}, "unexpected files"),
        ({**CHECKPOINT, "modeling_x.py": b"x"}, "unexpected files"),
    ],
)
def test_what_is_no_safetensors_checkpoint_is_refused(
    tmp_path: Path, files: dict[str, bytes], text: str
) -> None:
    with pytest.raises(WeightsError, match=text):
        _cache(tmp_path, Source(files)).pull(MODEL)
    assert _cache(tmp_path).find(MODEL) is None


@pytest.mark.parametrize("damage", ["cut", "gone", "manifest", "entry"])
def test_damaged_weights_are_not_found_and_fetched_again(tmp_path: Path, damage: str) -> None:
    folder = _cache(tmp_path, Source()).pull(MODEL).folder
    manifest = folder.parent / "manifest.json"
    if damage == "cut":
        (folder / "model.safetensors").write_bytes(b"weigh")
    elif damage == "gone":
        (folder / "config.json").unlink()
    elif damage == "manifest":
        manifest.write_text(manifest.read_text()[:40])
    else:
        value = json.loads(manifest.read_text())
        value["files"][0]["sha256"] = "0" * 64
        manifest.write_text(json.dumps(value))
    assert _cache(tmp_path).find(MODEL) is None
    assert _cache(tmp_path, Source()).pull(MODEL) == _cache(tmp_path).find(MODEL)


def test_a_changed_byte_is_named_by_verify_and_repaired_by_pull(tmp_path: Path) -> None:
    weights = _cache(tmp_path, Source()).pull(MODEL)
    (weights.folder / "model.safetensors").write_bytes(b"weighty")
    with pytest.raises(WeightsError, match=r"damaged: model\.safetensors"):
        weights.verify()
    _cache(tmp_path, Source()).pull(MODEL).verify()


def test_a_file_that_does_not_belong_there_is_named_by_verify(tmp_path: Path) -> None:
    weights = _cache(tmp_path, Source()).pull(MODEL)
    (weights.folder / "extra.json").write_bytes(b"{}")
    with pytest.raises(WeightsError, match=r"extra\.json"):
        weights.verify()


def test_after_a_kill_in_the_middle_the_next_pull_starts_clean(tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from ift_sagemaker.catalog.weights import WeightsCache\n"
        "class Dies:\n"
        "    name = 'dies'\n"
        "    def fetch(self, model, folder, tell):\n"
        "        folder.mkdir(); (folder / 'config.json').write_text('{}'); os._exit(9)\n"
        f"WeightsCache(Path(sys.argv[1]), fetchers=[Dies()]).pull('{MODEL}')\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == 9
    assert any("partial" in name for name in _entries(tmp_path))
    assert _cache(tmp_path).find(MODEL) is None
    _cache(tmp_path, Source()).pull(MODEL).verify()
    assert _entries(tmp_path) == {MODEL, f".{MODEL}.lock"}


def test_of_two_pulls_at_once_one_waits_and_fetches_nothing(tmp_path: Path) -> None:
    fetching, other_waits = threading.Event(), threading.Event()

    class Slow(Source):
        def fetch(self, model: FoundationModel, folder: Path, tell: Callable[[str], None]) -> str:
            fetching.set()
            assert other_waits.wait(60)
            return super().fetch(model, folder, tell)

    slow, second = Slow(), Source()
    found: list[Weights] = []
    first = threading.Thread(target=lambda: found.append(_cache(tmp_path, slow).pull(MODEL)))
    first.start()
    assert fetching.wait(60)

    def tell(text: str) -> None:
        if text.startswith("waiting"):
            other_waits.set()

    found.append(_cache(tmp_path, second).pull(MODEL, tell))
    first.join()
    assert (slow.calls, second.calls) == (1, 0)
    assert found[0] == found[1]


def test_the_cache_root_comes_from_the_environment(tmp_path: Path) -> None:
    assert WeightsCache(environment={"IFT_CACHE": str(tmp_path)}).root == tmp_path / "weights"
    assert WeightsCache(environment={}).root.parts[-2:] == ("ift-sagemaker", "weights")


def test_an_unknown_model_is_not_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError):
        _cache(tmp_path).find("no-such-model")
    with pytest.raises(ModelNotFoundError):
        _cache(tmp_path, Source()).pull("no-such-model")


def test_a_root_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be kept"):
        _cache(tmp_path / "file", Source()).pull(MODEL)


def test_the_weights_of_a_model_that_its_service_keeps_are_not_fetched(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"where its service keeps the weights \(bedrock\)"):
        WeightsCache(tmp_path, fetchers=()).pull("amazon.nova-micro-v1:0:128k")
