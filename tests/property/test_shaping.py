"""Shaping: nothing lost, nothing made up, and the same from the same seed whatever the memory."""

from __future__ import annotations

import json
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ift_sagemaker import data
from ift_sagemaker.data import InstructionDataset, Shaped
from ift_sagemaker.data.likeness.similarity import jaccard, shingled
from ift_sagemaker.data.shaping.draws import Draws
from ift_sagemaker.data.shaping.mixing import order
from ift_sagemaker.data.shaping.shuffling import _Deal

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
FILLED = TEXT.filter(lambda text: bool(text.strip()))
PROMPT = st.one_of(FILLED, st.sampled_from(["a", "b", "c"]))
ROW = st.fixed_dictionaries(
    {"instruction": PROMPT, "output": st.sampled_from(["yes", "no"])},
    optional={"input": TEXT, "n": st.integers(), "deep": st.dictionaries(TEXT, st.none() | st.booleans())},
)
ROWS = st.lists(ROW, min_size=2, max_size=30)
SEED = st.integers(0, 5)
WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]
Rows = list[dict[str, Any]]


@contextmanager
def _folder(rows: Rows) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / "rows.jsonl").write_text(text, encoding="utf-8")
        yield folder


def _read(path: Path) -> Rows:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def _shaped(shape: Callable[..., Shaped], rows: Rows, **settings: Any) -> Rows:
    with _folder(rows) as folder:
        done = shape(folder / "rows.jsonl", folder / "out.jsonl", **settings)
        out = _read(folder / "out.jsonl")
        assert (done.read, done.written) == (len(rows), len(out))
        assert sorted(path.name for path in folder.iterdir()) == ["out.jsonl", "rows.jsonl"]
        return out


def _split(rows: Rows, **settings: Any) -> dict[str, Rows]:
    with _folder(rows) as folder:
        data.split_rows(folder / "rows.jsonl", folder / "parts", **settings)
        return {path.name.partition(".")[0]: _read(path) for path in (folder / "parts").iterdir()}


def _counted(rows: Rows) -> Counter[str]:
    return Counter(json.dumps(row, sort_keys=True) for row in rows)


def _prompts(rows: Rows) -> set[str]:
    data = InstructionDataset.from_rows(rows)
    return {data.prompt(row) for row in data}


@given(ROWS, st.floats(0.05, 0.45), st.sampled_from([None, 0.1, 0.3]), SEED, st.booleans(), st.booleans())
@settings(deadline=None)
def test_a_split_is_a_partition_that_parts_no_prompt(
    rows: Rows, test_size: float, validation_size: float | None, seed: int, near: bool, stratified: bool
) -> None:
    if len(_prompts(rows)) < 12:
        rows = [*rows, *({"instruction": f"more {n} {'x' * n}", "output": "yes"} for n in range(12))]
    rows = [{**row, "place": place} for place, row in enumerate(rows)]
    parts = _split(
        rows,
        test_size=test_size,
        validation_size=validation_size,
        seed=seed,
        near=near,
        stratify="label" if stratified else None,
    )
    assert _counted([row for part in parts.values() for row in part]) == _counted(rows)
    for part in parts.values():
        assert part
        assert [row["place"] for row in part] == sorted(row["place"] for row in part)
    prompts = [_prompts(part) for part in parts.values()]
    assert sum(map(len, prompts)) == len(set.union(*prompts))


@given(ROWS, SEED, st.booleans(), st.sampled_from([None, "output"]), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_who_goes_where_does_not_depend_on_the_order_of_rows(
    rows: Rows, seed: int, near: bool, stratify: str | None, chance: random.Random
) -> None:
    if len(_prompts(rows)) < 4:
        return
    shuffled = list(rows)
    chance.shuffle(shuffled)
    try:
        one, other = (_split(order, seed=seed, near=near, stratify=stratify) for order in (rows, shuffled))
    except data_error():
        return
    assert {name: _counted(part) for name, part in one.items()} == {
        name: _counted(part) for name, part in other.items()
    }


def data_error() -> type[Exception]:
    from ift_sagemaker.errors import ConfigError

    return ConfigError


@given(ROWS, st.floats(0.05, 0.95), SEED)
@settings(deadline=None)
def test_files_and_memory_are_split_alike(rows: Rows, test_size: float, seed: int) -> None:
    if len(_prompts(rows)) < 2:
        return
    parts = _split(rows, test_size=test_size, seed=seed, near=False)
    train, test = InstructionDataset.from_rows(rows).split(test_size=test_size, seed=seed)
    kept = [{key: value for key, value in row.items() if key != "input" or value} for row in parts["test"]]
    assert _prompts(parts["train"]) == {train.prompt(row) for row in train}
    assert len(kept) == len(test)


@given(st.integers(0, 1000), st.integers(2, 8), SEED)
@settings(max_examples=25, deadline=None)
def test_near_duplicates_are_on_one_side(chance_seed: int, originals: int, seed: int) -> None:
    chance = random.Random(chance_seed)
    texts = []
    for _ in range(originals):
        words = chance.choices(WORDS, k=30)
        for _ in range(4):
            changed = list(words)
            changed[chance.randrange(30)] = chance.choice(WORDS)
            texts.append(" ".join(changed))
    rows = [{"instruction": text, "output": "yes"} for text in texts]
    parts = _split(rows, test_size=0.3, seed=seed)
    for one in parts["train"]:
        for other in parts["test"]:
            pair = shingled([row["instruction"] for row in (one, other)])
            assert jaccard(pair.of(0), pair.of(1)) < 0.8


@given(ROWS, st.booleans(), st.sampled_from(["example", "prompt", "row"]))
@settings(deadline=None)
def test_removing_repetitions_twice_is_removing_them_once(rows: Rows, near: bool, by: str) -> None:
    once = _shaped(data.dedupe_rows, rows, near=near, by=by)
    assert _shaped(data.dedupe_rows, once, near=near, by=by) == once
    remaining = iter(rows)
    assert all(row in remaining for row in once), "in their order"
    if not near:
        keys = {"row": lambda row: json.dumps(row, sort_keys=True)}
        key = keys.get(
            by, lambda row: (row["instruction"], row.get("input", ""), by == "example" and row["output"])
        )
        assert len({key(row) for row in once}) == len(once)


@given(ROWS, st.booleans())
@settings(deadline=None)
def test_files_and_memory_lose_the_same_repetitions(rows: Rows, near: bool) -> None:
    in_memory = InstructionDataset.from_rows(rows).dedupe(near=near)
    in_files = InstructionDataset.from_rows(_shaped(data.dedupe_rows, rows, near=near))
    assert list(in_memory) == list(in_files)


@given(ROWS, SEED)
@settings(deadline=None)
def test_a_shuffle_is_a_permutation_that_the_seed_gives(rows: Rows, seed: int) -> None:
    rows = [{**row, "place": place} for place, row in enumerate(rows)]
    out = _shaped(data.shuffle_rows, rows, seed=seed)
    assert _counted(out) == _counted(rows)
    in_memory = InstructionDataset.from_rows(rows).shuffle(seed=seed)
    assert [row["place"] for row in out] == [row["place"] for row in in_memory]


@given(st.lists(st.integers(0, 400), max_size=300), SEED, st.integers(1, 20_000))
@settings(max_examples=50, deadline=None)
def test_an_order_is_the_same_for_any_memory(lengths: list[int], seed: int, memory: int) -> None:
    lines = [b"%d %s\n" % (place, b"x" * length) for place, length in enumerate(lengths)]
    keys = Draws("shuffle", seed).keys(0, len(lines)).tolist()
    expected = [line for _, line in sorted(zip(keys, lines, strict=True))]
    with tempfile.TemporaryDirectory() as folder:
        heap = _Deal(Path(folder) / "heap", memory)
        for key, line in zip(keys, lines, strict=True):
            heap.add(key, line)
        written: list[bytes] = []
        heap.write(written.append)
    assert written == expected


@given(ROWS, SEED, st.data())
@settings(deadline=None)
def test_a_sample_has_exactly_the_size_and_order_and_a_larger_one_has_it_whole(
    rows: Rows, seed: int, drawn: st.DataObject
) -> None:
    rows = [{**row, "place": place} for place, row in enumerate(rows)]
    small = drawn.draw(st.integers(1, len(rows)))
    large = drawn.draw(st.integers(small, len(rows)))
    few, more = (
        [row["place"] for row in _shaped_to(data.sample_rows, rows, count=count, seed=seed)]
        for count in (small, large)
    )
    assert (len(few), len(more)) == (small, large)
    assert few == sorted(few)
    assert set(few) <= set(more)
    in_memory = InstructionDataset.from_rows(rows).sample(small, seed=seed)
    assert few == [row["place"] for row in in_memory]


@given(ROWS, SEED, st.floats(0.01, 0.99))
@settings(deadline=None)
def test_a_share_is_rounded_to_rows(rows: Rows, seed: int, share: float) -> None:
    out = _shaped_to(data.sample_rows, rows, share=share, seed=seed)
    assert len(out) == max(1, round(len(rows) * share))
    assert len(InstructionDataset.from_rows(rows).sample(share=share, seed=seed)) == len(out)


def _shaped_to(shape: Callable[..., Shaped], rows: Rows, **settings: Any) -> Rows:
    with _folder(rows) as folder:
        done = shape(folder / "rows.jsonl", folder / "out.jsonl", **settings)
        out = _read(folder / "out.jsonl")
        assert done.written == len(out)
        return out


@given(st.integers(1, 3000), st.data(), SEED)
@settings(max_examples=30, deadline=None)
def test_exactly_as_many_keys_as_wanted_are_not_above_the_lowest(
    count: int, drawn: st.DataObject, seed: int
) -> None:
    draws = Draws("sample", seed)
    wanted = drawn.draw(st.integers(1, count))
    assert int((draws.keys(0, count) <= draws.lowest(count, wanted)).sum()) == wanted


@given(st.lists(st.floats(0.01, 100), min_size=2, max_size=6), SEED, st.integers(1, 500))
@settings(deadline=None)
def test_no_source_is_a_row_above_its_share_nor_far_below(weights: list[float], seed: int, rows: int) -> None:
    taken = Counter(islice(order(weights, seed), rows))
    for place, weight in enumerate(weights):
        share = rows * weight / sum(weights)
        assert share - len(weights) + 1 - 1e-6 < taken[place] < share + 1 + 1e-6


@given(ROWS, ROWS, SEED, st.sampled_from(["first", "all"]), st.floats(0.1, 10))
@settings(deadline=None)
def test_a_mixture_takes_each_source_in_its_order(
    one: Rows, other: Rows, seed: int, until: Any, weight: float
) -> None:
    with _folder([{**row, "from": 0, "place": place} for place, row in enumerate(one)]) as folder:
        second = "".join(
            json.dumps({**row, "from": 1, "place": place}) + "\n" for place, row in enumerate(other)
        )
        (folder / "other.jsonl").write_text(second, encoding="utf-8")
        sources = {str(folder / "rows.jsonl"): weight, str(folder / "other.jsonl"): 1.0}
        done = data.mix_rows(sources, folder / "out.jsonl", seed=seed, until=until)
        out = _read(folder / "out.jsonl")
    for number, (path, rows) in enumerate(zip(sources, (one, other), strict=True)):
        places = [row["place"] for row in out if row["from"] == number]
        assert places == [place % len(rows) for place in range(len(places))]
        assert done.counts[path] == len(places)
    ended = [done.counts[path] >= len(rows) for path, rows in zip(sources, (one, other), strict=True)]
    assert any(ended) if until == "first" else all(ended)
