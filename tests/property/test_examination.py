"""Examinations of parts add up: merged, they report what the examination of the whole reports."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from ift_sagemaker.data import DatasetReport, Depth, Examination, LengthStats
from ift_sagemaker.data.checking.check import Check
from ift_sagemaker.data.checking.report import histogram

Row = tuple[str, str]

# few words, so that equal, similar, conflicting and leaked prompts are frequent
_words = st.lists(st.sampled_from(["red", "blue", "green", "the", "is"]), max_size=14).map(" ".join)
_endings = st.sampled_from(["", " <s>", " a@b.example", " AKIA" + "IOSFODNN7EXAMPLE", " 日本語です"])
_prompts = st.tuples(_words, _endings).map("".join)
_rows = st.lists(st.tuples(_prompts, st.sampled_from(["yes", "no", "AAA " * 80, "<|im_end|>"])), max_size=12)
_parts = st.lists(st.tuples(_rows, st.lists(_prompts, max_size=3)), min_size=1, max_size=4)
Part = tuple[Sequence[Row], Sequence[str]]


def _examine(examination: Examination, parts: Sequence[tuple[int, Part]]) -> None:
    for number, (rows, held_out) in parts:
        for line, (prompt, completion) in enumerate(rows, start=1):
            examination.add(f"part-{number}", line, prompt, completion)
        for line, prompt in enumerate(held_out, start=1):
            examination.hold_out(f"held-{number}", line, prompt)


@settings(max_examples=25, deadline=None)
@given(_parts, st.randoms())
def test_merged_parts_report_what_the_whole_reports(parts: list[Part], chance: object) -> None:
    numbered = list(enumerate(parts))
    with Examination() as whole:
        _examine(whole, numbered)
        expected = whole.report()
    with tempfile.TemporaryDirectory() as place:
        folders = []
        for number, part in numbered:
            with Examination() as examination:
                _examine(examination, [(number, part)])
                folders.append(Path(place) / f"shard-{number}")
                examination.save(folders[-1])
        chance.shuffle(folders)  # type: ignore[attr-defined]
        with Examination.merged(folders) as merged:
            assert merged.report() == expected
            # a merged examination can be saved and merged on
            merged.save(Path(place) / "again")
        with Examination.merged([Path(place) / "again"], Depth(memory_bytes=1 << 20)) as again:
            assert again.report() == expected


@settings(max_examples=10, deadline=None)
@given(_parts)
def test_a_report_can_be_made_before_the_last_row_and_again_after(parts: list[Part]) -> None:
    numbered = list(enumerate(parts))
    with Examination() as once, Examination() as often:
        _examine(once, numbered)
        reports: list[DatasetReport] = []
        for one in numbered:
            _examine(often, [one])
            reports.append(often.report())
        assert reports[-1] == once.report()


@settings(max_examples=10, deadline=None)
@given(st.lists(_rows.filter(bool), min_size=1, max_size=4))
def test_checked_shards_add_up_to_the_checked_folder(files: list[list[Row]]) -> None:
    """With rows that cannot be used, and a target that has limits."""
    import orjson

    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "rows").mkdir()
        sources = [place / "rows" / f"{number}.jsonl" for number in range(len(files))]
        for source, rows in zip(sources, files, strict=True):
            lines = [{"instruction": prompt, "output": answer} for prompt, answer in rows]
            source.write_bytes(b"\n".join(map(orjson.dumps, [*lines, {"instruction": 1}])) + b"\n{bad\n")
        check = Check(target="bedrock-nova", depth=Depth(frozenset({"imbalance"})))
        with check.examined(place / "rows") as whole:
            expected = whole.report("rows")
        for number, source in enumerate(sources):
            with check.examined(source) as part:
                part.save(place / "states" / str(number))
        with Examination.merged((place / "states").iterdir(), check.depth) as merged:
            assert merged.report("rows") == expected


@given(st.lists(st.integers(0, 70_000), min_size=1, max_size=50))
def test_statistics_of_counts_are_those_of_the_lengths(lengths: list[int]) -> None:
    counts = {length: len(list(group)) for length, group in itertools.groupby(sorted(lengths))}
    stats, ordered = LengthStats.of_counts(counts), sorted(lengths)
    assert (stats.minimum, stats.maximum) == (ordered[0], ordered[-1])
    assert stats.median == ordered[(len(ordered) + 1) // 2 - 1]
    assert stats.mean == round(sum(lengths) / len(lengths), 1)
    bins = histogram(counts)
    assert sum(one.count for one in bins) == len(lengths)
    assert all(one.high == after.low for one, after in itertools.pairwise(bins))
    for length in lengths:
        assert sum(one.low <= length < one.high for one in bins) == 1
