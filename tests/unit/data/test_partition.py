"""Splitting and removing repetitions: what is refused, and what the result tells."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ift_sagemaker.data import InstructionDataset, dedupe_rows, split_rows
from ift_sagemaker.data.shaping.split import draw_parts
from ift_sagemaker.errors import ConfigError, DatasetError
from ift_sagemaker.wire.template import PromptTemplate

DRAWN = ["Add 18 to it", "Add 23 to it", "Add 29 to it", "Add 35 to it"]
ROWS: list[dict[str, Any]] = [
    {
        "instruction": f"Add {n} to it",
        "input": "",
        "output": "ab"[n % 4 == 0],
        "meta": {"source": "xy"[n % 2]},
    }
    for n in range(40)
]


def _file(folder: Path, rows: list[Any], name: str = "rows.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _read(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def _refused(folder: Path, rows: list[Any], **settings: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        split_rows(_file(folder, rows), folder / "out", **settings)
    assert [path.name for path in folder.iterdir()] == ["rows.jsonl"]
    return caught.value


def test_three_parts_have_their_shares_and_the_result_says_so(tmp_path: Path) -> None:
    done = split_rows(_file(tmp_path, ROWS), tmp_path / "out", test_size=0.2, validation_size=0.1)
    assert done.files == {"train.jsonl": 28, "test.jsonl": 8, "validation.jsonl": 4}
    assert (done.read, done.written, done.counts) == (40, 40, {"groups": 40})
    assert {path.name: len(_read(path)) for path in (tmp_path / "out").iterdir()} == done.files
    assert json.loads(json.dumps(done.to_dict()))["files"] == done.files


def test_the_same_rows_are_for_test_whether_or_not_there_is_validation(tmp_path: Path) -> None:
    source = _file(tmp_path, ROWS)
    split_rows(source, tmp_path / "two")
    split_rows(source, tmp_path / "three", validation_size=0.3)
    assert (tmp_path / "two/test.jsonl").read_bytes() == (tmp_path / "three/test.jsonl").read_bytes()


def test_a_split_that_was_drawn_once_is_drawn_so_for_ever(tmp_path: Path) -> None:
    split_rows(_file(tmp_path, ROWS), tmp_path / "out", seed=3, near=False)
    assert [row["instruction"] for row in _read(tmp_path / "out" / "test.jsonl")] == DRAWN
    test = InstructionDataset.from_rows(ROWS).split(test_size=0.1, seed=3)[1]
    assert [row["instruction"] for row in test] == DRAWN


@pytest.mark.parametrize(("field", "names"), [("output", "ab"), ("meta.source", "xy"), ("label", "ab")])
def test_each_part_has_its_share_of_each_value(tmp_path: Path, field: str, names: str) -> None:
    done = split_rows(_file(tmp_path, ROWS), tmp_path / "out", test_size=0.2, stratify=field)
    rows = Counter(row["meta"]["source"] if field == "meta.source" else row["output"] for row in ROWS)
    assert {name: parts["test"] for name, parts in done.strata.items()} == {
        name: round(rows[name] * 0.2) for name in names
    }
    assert {name: sum(parts.values()) for name, parts in done.strata.items()} == rows


def test_strata_in_memory_are_those_in_files(tmp_path: Path) -> None:
    split_rows(_file(tmp_path, ROWS), tmp_path / "out", stratify="output", validation_size=0.2)
    train, validation, test = InstructionDataset.from_rows(ROWS).split(
        test_size=0.1, stratify="output", validation_size=0.2, near=True
    )
    for name, part in (("train", train), ("validation", validation), ("test", test)):
        assert _read(tmp_path / "out" / f"{name}.jsonl") == list(part)


def test_rows_with_several_prompts_keep_all_of_them_on_one_side(tmp_path: Path) -> None:
    rows = [
        {"instruction": f"Q{n // 2}", "instances": [{"input": f"{m}", "output": "A"} for m in (n, n + 1)]}
        for n in range(0, 40, 1)
    ]
    done = split_rows(_file(tmp_path, rows), tmp_path / "out", test_size=0.3)
    sides: dict[str, set[str]] = {}
    for name in done.files:
        for row in _read(tmp_path / "out" / name):
            for instance in row["instances"]:
                sides.setdefault(f"{row['instruction']} {instance['input']}", set()).add(name)
    assert all(len(side) == 1 for side in sides.values())
    assert done.counts == {"groups": 20}


@pytest.mark.parametrize("compression", ["gz", "zst"])
def test_parts_are_compressed_when_asked_and_read_back(tmp_path: Path, compression: str) -> None:
    done = split_rows(_file(tmp_path, ROWS), tmp_path / "out", compression=compression)
    assert list(done.files) == [f"train.jsonl.{compression}", f"test.jsonl.{compression}"]
    assert len(InstructionDataset.read(tmp_path / "out")) == 40
    if compression == "gz":
        with gzip.open(tmp_path / "out" / "test.jsonl.gz") as file:
            assert len(file.readlines()) == 4


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"test_size": 0.0}, "test_size"),
        ({"test_size": 1.0}, "test_size"),
        ({"test_size": float("nan")}, "test_size"),
        ({"validation_size": -0.1}, "validation_size"),
        ({"test_size": 0.5, "validation_size": 0.5}, "validation_size"),
        ({"compression": "bz2"}, "compression"),
        ({"memory_bytes": 1000}, "memory_bytes"),
        ({"format": "nonsense"}, "format"),
    ],
)
def test_a_setting_out_of_range_is_named_with_what_is_allowed(
    tmp_path: Path, settings: dict[str, Any], field: str
) -> None:
    error = _refused(tmp_path, ROWS, **settings)
    assert error.field == field
    assert error.allowed


@pytest.mark.parametrize(("prompts", "more"), [(1, {}), (2, {"validation_size": 0.1})])
def test_fewer_prompts_than_parts_cannot_be_split(tmp_path: Path, prompts: int, more: dict[str, Any]) -> None:
    rows = [{**row, "instruction": f"Q{n % prompts}"} for n, row in enumerate(ROWS)]
    assert f"40 rows with {prompts} different prompts" in str(_refused(tmp_path, rows, **more))


def test_near_duplicates_count_as_one_prompt(tmp_path: Path) -> None:
    text = " ".join(f"word{n}" for n in range(60))
    rows = [{"instruction": f"{text} {n}", "output": "A"} for n in range(5)]
    assert "5 rows with 1 different prompts" in str(_refused(tmp_path, rows))
    assert split_rows(_file(tmp_path, rows), tmp_path / "out", near=False).counts == {"groups": 5}


def test_a_field_of_very_many_values_is_no_field_to_stratify_by(tmp_path: Path) -> None:
    rows = [{**ROWS[0], "id": n} for n in range(1200)]
    assert _refused(tmp_path, rows, stratify="id").field == "stratify"


def test_a_row_without_the_field_to_stratify_by_is_named(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [*ROWS[:3], {"instruction": "Q", "output": "A"}]
    with pytest.raises(DatasetError) as caught:
        split_rows(_file(tmp_path, rows), tmp_path / "out", stratify="meta.source")
    assert [(finding.line, finding.field) for finding in caught.value.findings] == [(4, "meta.source")]
    with pytest.raises(DatasetError, match=r"<rows>:4: meta\.source"):
        InstructionDataset.from_rows(rows).split(stratify="meta.source")


def test_every_bad_row_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    rows = [ROWS[0], {"instruction": "Q"}, [1], {"instruction": "", "output": "A"}]
    for shape in (split_rows, dedupe_rows):
        with pytest.raises(DatasetError) as caught:
            shape(_file(tmp_path, rows), tmp_path / "out.jsonl")
        assert [finding.line for finding in caught.value.findings] == [2, 3, 4]
        assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


def test_a_source_that_is_not_there_or_empty_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be read"):
        split_rows(tmp_path / "none.jsonl", tmp_path / "out")
    with pytest.raises(DatasetError, match="has no rows"):
        split_rows(_file(tmp_path, []), tmp_path / "out")


def test_an_unknown_setting_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="colour"):
        split_rows(_file(tmp_path, ROWS), tmp_path / "out", colour="red")  # type: ignore[call-arg]


def test_fields_say_what_the_prompt_is_and_rows_keep_their_own_names(tmp_path: Path) -> None:
    rows = [{"q": f"Q{n % 4}", "a": {"text": f"A{n % 2}"}, "n": n} for n in range(12)]
    fields = {"instruction": "q", "output": "a.text"}
    done = split_rows(_file(tmp_path, rows), tmp_path / "out", fields=fields, test_size=0.3)
    parts = [_read(tmp_path / "out" / name) for name in done.files]
    assert sorted((row for part in parts for row in part), key=lambda row: row["n"]) == rows
    assert {row["q"] for row in parts[0]}.isdisjoint(row["q"] for row in parts[1])


@pytest.mark.parametrize(
    ("by", "places"), [("example", [0, 2, 4]), ("prompt", [0, 4]), ("row", [0, 1, 2, 4])]
)
def test_what_is_compared_decides_what_is_a_repetition(tmp_path: Path, by: Any, places: list[int]) -> None:
    rows = [
        {"instruction": "Q", "output": "A", "id": 1},
        {"instruction": "Q", "output": "A", "id": 2},
        {"instruction": "Q", "output": "B", "id": 1},
        {"id": 1, "output": "A", "instruction": "Q"},
        {"instruction": "Q2", "output": "A", "id": 1},
    ]
    done = dedupe_rows(_file(tmp_path, rows), tmp_path / "out.jsonl", by=by)
    assert _read(tmp_path / "out.jsonl") == [rows[place] for place in places]
    assert done.counts == {"duplicates": 5 - len(places)}
    assert list(InstructionDataset.from_rows(rows).dedupe(by=by)) == list(
        InstructionDataset.from_rows([rows[place] for place in places])
    )


def test_rows_of_no_known_format_are_compared_by_all_fields(tmp_path: Path) -> None:
    rows = [
        {"x": 1, "y": {"z": [1.5, None]}},
        {"y": {"z": [1.5, None]}, "x": 1},
        {"x": 1 << 70},
        {"x": "\ud800"},
    ]
    dedupe_rows(_file(tmp_path, rows), tmp_path / "out.jsonl", by="row", near=True)
    assert _read(tmp_path / "out.jsonl") == [rows[0], *rows[2:]]
    with pytest.raises(DatasetError, match="no known format"):
        dedupe_rows(tmp_path / "rows.jsonl", tmp_path / "no.jsonl")


def test_a_row_goes_only_where_one_like_it_stays(tmp_path: Path) -> None:
    # each is like the next, the third is not like the first
    words = [f"word{n}" for n in range(60)]
    texts = [" ".join(words)]
    for change in (10, 30):
        words[change] = words[change + 5] = "other"
        texts.append(" ".join(words))
    rows = [{"instruction": text, "output": "A"} for text in texts]
    done = dedupe_rows(_file(tmp_path, rows), tmp_path / "out.jsonl", near=True)
    assert [row["instruction"] for row in _read(tmp_path / "out.jsonl")] == [texts[0], texts[2]]
    assert done.counts == {"duplicates": 0, "near_duplicates": 1}


@pytest.mark.parametrize("by", ["text", ""])
def test_rows_are_compared_by_nothing_else(tmp_path: Path, by: Any) -> None:
    with pytest.raises(ConfigError, match="compared by"):
        dedupe_rows(_file(tmp_path, ROWS), tmp_path / "out.jsonl", by=by)
    with pytest.raises(ConfigError, match="compared by"):
        InstructionDataset.from_rows(ROWS).dedupe(by=by)


def test_the_rest_of_whole_shares_goes_where_the_most_is_lacking() -> None:
    sides = draw_parts([1] * 30, [0.25], [0] * 5 + [1] * 11 + [2] * 14)
    assert [sum(sides[start:end]) for start, end in ((0, 5), (5, 16), (16, 30))] == [1, 3, 4]


def test_conversations_are_split_by_all_that_was_said_before_the_answer(tmp_path: Path) -> None:
    def talk(first: str, answer: str) -> dict[str, Any]:
        turns = [("user", first), ("assistant", "Yes?"), ("user", "More"), ("assistant", answer)]
        return {"messages": [{"role": role, "content": text} for role, text in turns]}

    rows = [talk(f"Q{n % 6}", f"A{n}") for n in range(24)]
    done = split_rows(_file(tmp_path, rows), tmp_path / "out", test_size=0.5)
    assert done.counts == {"groups": 6}
    assert done.files == {"train.jsonl": 12, "test.jsonl": 12}


def _chat(*turns: tuple[str, str]) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": text} for role, text in turns]}


CHATS = [
    _chat(("system", f"S{n % 3}"), ("user", f"Q{n % 5}"), ("assistant", f"A{n % 2}"))
    if n % 4
    else _chat(("user", f"Q{n}"), ("assistant", f"A{n % 2}"))
    for n in range(60)
]


def test_conversations_are_parted_and_repeated_alike_in_files_and_memory(tmp_path: Path) -> None:
    source, data = _file(tmp_path, CHATS), InstructionDataset.from_rows(CHATS)
    split_rows(source, tmp_path / "out", near=False, stratify="label", test_size=0.3)
    for name, part in zip(("train", "test"), data.split(stratify="label", test_size=0.3), strict=True):
        assert _read(tmp_path / "out" / f"{name}.jsonl") == list(part)
    dedupe_rows(source, tmp_path / "unique.jsonl")
    assert 0 < len(data.dedupe()) < len(data)
    assert _read(tmp_path / "unique.jsonl") == list(data.dedupe())


CALLS = {
    "role": "assistant",
    "tool_calls": [{"type": "function", "function": {"name": "add", "arguments": {}}}],
}
KINDS: dict[str, list[dict[str, Any]]] = {
    "text": [{"text": f"T{n}", "id": n} for n in (1, 2, 1)],
    "label": [{"label": label, "text": text} for label, text in ((0, "T"), (1, "T"), (0, "T"))],
    "preference": [{"prompt": "Q", "chosen": chosen, "rejected": "C"} for chosen in "ABA"],
    "sharegpt": [
        {"conversations": [{"from": "human", "value": asked}, {"from": "gpt", "value": "A"}]}
        for asked in "QRQ"
    ],
    "chat": [
        {
            "messages": [
                CHATS[0]["messages"][0],
                call,
                {"role": "tool", "content": "3"},
                {"role": "assistant", "content": "A"},
            ]
        }
        for call in (CALLS, {**CALLS, "content": "Let me see."}, CALLS)
    ],
}


@pytest.mark.parametrize("kind", KINDS)
def test_repetitions_are_found_among_rows_of_every_kind(tmp_path: Path, kind: str) -> None:
    done = dedupe_rows(_file(tmp_path, KINDS[kind]), tmp_path / "out.jsonl", format=kind)
    assert done.counts == {"duplicates": 1}
    assert _read(tmp_path / "out.jsonl") == KINDS[kind][:2]


def test_a_folder_of_any_files_is_one_source(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    _file(tmp_path / "in", ROWS[:20], "a.jsonl")
    (tmp_path / "in" / "b.json").write_text(json.dumps(ROWS[10:], indent=1))
    done = dedupe_rows(tmp_path / "in", tmp_path / "out.jsonl")
    assert (done.read, done.written) == (50, 40)
    assert _read(tmp_path / "out.jsonl") == ROWS


PHOTOS = [
    {"image-ref": f"s3://bucket/a/long/way/to/the/photos/of/the/dog/number/{n}.png", "caption": "a photo"}
    for n in range(12)
]


def test_images_are_told_apart_by_their_addresses_however_alike(tmp_path: Path) -> None:
    done = split_rows(_file(tmp_path, PHOTOS), tmp_path / "out", test_size=0.25)
    assert done.files == {"train.jsonl": 9, "test.jsonl": 3}
    again = _file(tmp_path, [*PHOTOS, PHOTOS[3]], "again.jsonl")
    done = dedupe_rows(again, tmp_path / "unique.jsonl", near=True)
    assert (done.written, done.counts) == (12, {"duplicates": 1, "near_duplicates": 0})


def test_a_template_says_what_the_prompt_is_as_it_does_for_rows_in_memory(tmp_path: Path) -> None:
    template = PromptTemplate("Ask: {query}", "{reply}")
    rows = [{"query": f"why {n % 12}", "reply": f"since {n}", "note": n} for n in range(24)]
    source = _file(tmp_path, rows)
    done = split_rows(source, tmp_path / "out", test_size=0.25, near=False, template=template)
    _, test = InstructionDataset.read(source, template=template).split(test_size=0.25)
    assert done.counts == {"groups": 12}
    assert [row["note"] for row in _read(tmp_path / "out/test.jsonl")] == [row["note"] for row in test]
    (tmp_path / "set").mkdir()
    (tmp_path / "set/template.json").write_text(template.to_json())
    source.rename(tmp_path / "set/rows.jsonl")
    beside = split_rows(tmp_path / "set", tmp_path / "beside", test_size=0.25, near=False)
    assert beside.files == done.files
