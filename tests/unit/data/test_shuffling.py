"""Shuffling, sampling and mixing: what is refused, and what does not depend on memory."""

from __future__ import annotations

import json
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from ift_sagemaker.data import InstructionDataset, Progress, mix_rows, sample_rows, shuffle_rows
from ift_sagemaker.data.shaping.draws import Draws
from ift_sagemaker.data.shaping.mixing import order
from ift_sagemaker.data.shaping.shuffling import shuffled
from ift_sagemaker.errors import ConfigError, DatasetError

SHUFFLED = [0, 2, 5, 4, 7, 6, 3, 1]
KEYS = [1596138076968252716, 7224795397923147835]


def _file(folder: Path, count: int, name: str = "rows.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(f'{{"n":{n},"of":"{name}"}}\n' for n in range(count)))
    return path


def _read(path: Path) -> list[int]:
    return [json.loads(line)["n"] for line in path.read_bytes().splitlines()]


def test_the_order_is_the_same_where_rows_do_not_fit_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"n": n, "text": "x" * 1500}) + "\n" for n in range(4000)))
    for name, memory in (("large", 256 << 20), ("small", 1 << 20)):
        shuffle_rows(path, tmp_path / f"{name}.jsonl", seed=4, memory_bytes=memory)
    assert (tmp_path / "large.jsonl").read_bytes() == (tmp_path / "small.jsonl").read_bytes()
    assert _read(tmp_path / "small.jsonl") == shuffled(4000, 4)


def test_an_order_that_was_drawn_once_is_drawn_so_for_ever() -> None:
    assert shuffled(8, 0) == SHUFFLED
    assert Draws("sample", 0).keys(0, 2).tolist() == KEYS


def test_every_row_comes_everywhere_about_as_often() -> None:
    places = Counter((row, place) for seed in range(1200) for place, row in enumerate(shuffled(4, seed)))
    assert all(230 < places[row, place] < 370 for row in range(4) for place in range(4))


@pytest.mark.parametrize("count", [1, 999, 2000])
def test_a_sample_has_its_count_from_anywhere(tmp_path: Path, count: int) -> None:
    done = sample_rows(_file(tmp_path, 2000), tmp_path / "out.jsonl", count=count, seed=1)
    numbers = _read(tmp_path / "out.jsonl")
    assert (done.read, done.written, len(set(numbers))) == (2000, count, count)
    assert numbers == sorted(numbers)


def test_every_row_is_chosen_about_as_often() -> None:
    data = InstructionDataset.from_rows([{"instruction": "Q", "output": "A", "n": n} for n in range(10)])
    chosen = Counter(row["n"] for seed in range(500) for row in data.sample(3, seed=seed))
    assert all(105 < chosen[n] < 195 for n in range(10))


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({}, "count"),
        ({"count": 1, "share": 0.5}, "count"),
        ({"count": 0}, "count"),
        ({"count": 11}, "count"),
        ({"share": 0.0}, "share"),
        ({"share": 1.0}, "share"),
        ({"count": 1, "memory_bytes": 0}, "memory_bytes"),
    ],
)
def test_a_sample_that_cannot_be_is_refused(tmp_path: Path, settings: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        sample_rows(_file(tmp_path, 10), tmp_path / "out.jsonl", **settings)
    assert (caught.value.field, bool(caught.value.allowed)) == (field, True)
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]
    if "memory_bytes" not in settings:
        data = InstructionDataset.from_rows([{"instruction": f"{n}", "output": "A"} for n in range(10)])
        with pytest.raises(ConfigError):
            data.sample(**settings)


def test_a_mixture_ends_with_the_last_row_of_any_source(tmp_path: Path) -> None:
    sources = {_file(tmp_path, 100, "a.jsonl"): 1, _file(tmp_path, 1000, "b.jsonl"): 3}
    done = mix_rows(sources, tmp_path / "out.jsonl")
    taken = dict(zip("ab", done.counts.values(), strict=True))
    assert taken["a"] == 100
    assert abs(taken["b"] - 300) <= 4
    assert done.files == {"out.jsonl": 100 + taken["b"]}


def test_a_mixture_until_all_are_through_repeats_the_shorter(tmp_path: Path) -> None:
    sources = {_file(tmp_path, 10, "a.jsonl"): 1, _file(tmp_path, 90, "b.jsonl"): 3}
    done = mix_rows(sources, tmp_path / "out.jsonl", until="all")
    taken = list(done.counts.values())
    assert taken[1] == 90
    assert abs(taken[0] - 30) <= 1


def test_another_seed_mixes_in_another_order() -> None:
    assert len({tuple(islice(order([1, 1, 2], seed), 40)) for seed in range(5)}) == 5


@pytest.mark.parametrize("weight", [0, -1, float("nan"), float("inf")])
def test_a_weight_is_a_number_over_nothing(tmp_path: Path, weight: float) -> None:
    sources = {_file(tmp_path, 3, "a.jsonl"): 1, _file(tmp_path, 3, "b.jsonl"): weight}
    with pytest.raises(ConfigError, match=r"the weight of .*b\.jsonl is"):
        mix_rows(sources, tmp_path / "out.jsonl")


def test_a_mixture_of_one_or_with_another_end_is_refused(tmp_path: Path) -> None:
    one, other = _file(tmp_path, 3, "a.jsonl"), _file(tmp_path, 3, "b.jsonl")
    with pytest.raises(ConfigError, match="two sources"):
        mix_rows({one: 1}, tmp_path / "out.jsonl")
    until: Any = "never"
    with pytest.raises(ConfigError, match="first or all"):
        mix_rows({one: 1, other: 1}, tmp_path / "out.jsonl", until=until)


@pytest.mark.parametrize("text", ["", "[1]\n", '{"n":0}\n[1]\n{"n":1}\n'])
@pytest.mark.parametrize("until", ["first", "all"])
def test_a_bad_source_of_a_mixture_is_named_and_nothing_is_written(
    tmp_path: Path, text: str, until: Any
) -> None:
    good, bad = _file(tmp_path, 50, "a.jsonl"), tmp_path / "b.jsonl"
    bad.write_text(text)
    with pytest.raises(DatasetError, match=r"b\.jsonl"):
        mix_rows({good: 1, bad: 1}, tmp_path / "out.jsonl", until=until)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "b.jsonl"]


def test_progress_tells_rows_and_how_far_that_is(tmp_path: Path) -> None:
    source = _file(tmp_path, 12_000)
    told: list[Progress] = []
    shuffle_rows(source, tmp_path / "out.jsonl", on_progress=told.append)
    assert [progress.rows for progress in told] == [5000, 10_000, 12_000]
    assert told[-1].bytes == told[-1].total_bytes == source.stat().st_size
