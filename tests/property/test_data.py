from __future__ import annotations

import io
import json
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ift_sagemaker.data import InstructionDataset, convert
from ift_sagemaker.data.converting.targets import NOVA_RESERVED
from ift_sagemaker.data.reading.containers import read_files
from ift_sagemaker.data.reading.lines import read_objects
from ift_sagemaker.data.rows.finding import Findings
from ift_sagemaker.errors import DatasetError

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
FILLED = TEXT.filter(lambda text: bool(text.strip()))
ROW = st.fixed_dictionaries({"instruction": FILLED, "input": TEXT, "output": FILLED})
ROWS = st.lists(ROW, min_size=1, max_size=12)
MANY = st.lists(
    ROW, min_size=2, max_size=25, unique_by=lambda row: row["instruction"] + "\n\n" + row["input"]
)


@given(MANY, st.floats(0.01, 0.99), st.integers(0, 5))
def test_a_split_is_a_partition_that_keeps_order(rows: list[dict[str, str]], size: float, seed: int) -> None:
    numbered = [{**row, "n": index} for index, row in enumerate(rows)]
    prompts = {InstructionDataset.from_rows([row]).prompt(row) for row in rows}
    if len(prompts) < 2:
        return
    train, test = InstructionDataset.from_rows(numbered).split(test_size=size, seed=seed)
    sides = [[row["n"] for row in part] for part in (train, test)]
    assert sorted(sides[0] + sides[1]) == list(range(len(rows)))
    assert all(side == sorted(side) and side for side in sides)
    assert {train.prompt(row) for row in train}.isdisjoint(test.prompt(row) for row in test)


@given(MANY, st.integers(0, 5), st.randoms())
def test_a_split_depends_on_seed_and_rows_and_not_on_their_order(
    rows: list[dict[str, str]], seed: int, random: object
) -> None:
    data = InstructionDataset.from_rows(rows)
    if len({data.prompt(row) for row in data}) != len(rows):
        return
    shuffled = sorted(rows, key=lambda row: row["output"])
    test, again = (InstructionDataset.from_rows(order).split(seed=seed)[1] for order in (rows, shuffled))
    assert {test.prompt(row) for row in test} == {again.prompt(row) for row in again}


@given(ROWS)
def test_rows_of_any_text_come_back_as_they_were(rows: list[dict[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        InstructionDataset.from_rows(rows).write(path)
        assert list(InstructionDataset.read(path)) == rows


@given(ROWS)
def test_the_fingerprint_does_not_depend_on_the_order_of_keys(rows: list[dict[str, str]]) -> None:
    turned = [dict(reversed(row.items())) for row in rows]
    data, other = InstructionDataset.from_rows(rows), InstructionDataset.from_rows(turned)
    assert data.fingerprint == other.fingerprint


@given(ROWS, st.sampled_from(["instruction", "input", "output"]), st.integers(0, 11))
def test_the_fingerprint_depends_on_every_text(rows: list[dict[str, str]], field: str, index: int) -> None:
    changed = [dict(row) for row in rows]
    changed[index % len(rows)][field] += "."
    data, other = InstructionDataset.from_rows(rows), InstructionDataset.from_rows(changed)
    assert data.fingerprint != other.fingerprint


@given(st.lists(st.binary(max_size=60), max_size=8))
def test_any_bytes_give_rows_or_findings_and_never_a_crash(lines: list[bytes]) -> None:
    findings = Findings("x")
    rows = list(read_objects(io.BytesIO(b"\n".join(lines)), findings))
    assert all(isinstance(row, dict) for _, row in rows)
    assert all(finding.line >= 1 for finding in findings.errors)


TURN_PAIRS = st.lists(st.tuples(FILLED, FILLED), min_size=1, max_size=4)
CONVERSATIONS = st.lists(st.tuples(st.one_of(st.just(""), FILLED), TURN_PAIRS), min_size=10, max_size=12)


def _messages(system: str, pairs: list[tuple[str, str]]) -> list[dict[str, str]]:
    first = [{"role": "system", "content": system}] if system else []
    said = [turn for pair in pairs for turn in zip(("user", "assistant"), pair, strict=True)]
    return first + [{"role": role, "content": text} for role, text in said]


@given(CONVERSATIONS, st.sampled_from(["openai", "sharegpt", "jumpstart-chat"]))
def test_any_conversation_comes_back_from_every_target_as_it_was(
    talks: list[tuple[str, list[tuple[str, str]]]], to: str
) -> None:
    rows = [{"messages": _messages(*talk)} for talk in talks]
    with tempfile.TemporaryDirectory() as folder:
        source, place = Path(folder) / "rows.jsonl", Path(folder) / "out"
        InstructionDataset.from_rows(rows).write(source)
        convert(source, place, to=to)
        assert list(InstructionDataset.read(place)) == rows


@given(st.lists(ROW, min_size=10, max_size=12), st.sampled_from(["dolly", "alpaca", "jumpstart-instruction"]))
def test_any_instruction_comes_back_field_by_field(rows: list[dict[str, str]], to: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source, place = Path(folder) / "rows.jsonl", Path(folder) / "out"
        InstructionDataset.from_rows(rows).write(source)
        convert(source, place, to=to)
        assert list(InstructionDataset.read(place / "train.jsonl")) == rows


@given(st.lists(st.binary(max_size=60), max_size=6), st.sampled_from(["json", "jsonl", "csv", "txt", "gz"]))
def test_any_bytes_in_any_file_give_rows_or_findings_and_never_a_crash(parts: list[bytes], end: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"rows.{end}"
        path.write_bytes(b"\n".join(parts))
        findings = Findings(str(path))
        assert all(isinstance(row, dict) for _, row in read_files(path, findings))


# files are written and read: how long that takes says nothing, and a busy machine is no failure
IN_FILES = settings(deadline=None, max_examples=40)
PLAIN_TEXT = FILLED.filter(lambda text: not NOVA_RESERVED.search(text))
PLAIN_TALKS = st.lists(
    st.tuples(
        st.one_of(st.just(""), PLAIN_TEXT), st.lists(st.tuples(PLAIN_TEXT, FILLED), min_size=1, max_size=3)
    ),
    min_size=10,
    max_size=10,
)


@IN_FILES
@given(PLAIN_TALKS, st.sampled_from(["bedrock-nova", "bedrock-converse"]))
def test_any_conversation_comes_back_from_converse_as_it_was(
    talks: list[tuple[str, list[tuple[str, str]]]], to: str
) -> None:
    rows = [{"messages": _messages(*talk)} for talk in talks] * 10
    with tempfile.TemporaryDirectory() as folder:
        source, place = Path(folder) / "rows.jsonl", Path(folder) / "out"
        InstructionDataset.from_rows(rows).write(source)
        convert(source, place, to=to)
        assert list(InstructionDataset.read(place)) == rows


@IN_FILES
@given(st.lists(st.tuples(FILLED, FILLED), min_size=10, max_size=12))
def test_any_question_and_answer_come_back_from_every_pair_of_names(pairs: list[tuple[str, str]]) -> None:
    rows = [{"prompt": question, "completion": answer} for question, answer in pairs] * 10
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        asked = InstructionDataset.read(place / "rows.jsonl")
        for to in ("bedrock-prompt-completion", "prompt-completion", "question-answer"):
            convert(place / "rows.jsonl", place / to, to=to)
            back = InstructionDataset.read(place / to)
            assert [(back.prompt(row), back.completion(row)) for row in back] == [
                (asked.prompt(row), asked.completion(row)) for row in asked
            ]


@IN_FILES
@given(st.lists(st.tuples(FILLED, FILLED, FILLED), min_size=1, max_size=6), st.booleans())
def test_any_preference_comes_back_through_openais_and_trls_way_to_write_it(
    pairs: list[tuple[str, str, str]], with_system: bool
) -> None:
    rows = [
        {
            "prompt": _messages("Be kind." if with_system else "", [(asked, "-")])[:-1],
            "chosen": [{"role": "assistant", "content": good}],
            "rejected": [{"role": "assistant", "content": f"{bad}!{good}"}],
        }
        for asked, good, bad in pairs
    ]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        convert(place / "rows.jsonl", place / "openai", to="openai-preference")
        convert(place / "openai", place / "back", to="preference")
        assert [
            json.loads(line) for line in (place / "back" / "train.jsonl").read_bytes().splitlines()
        ] == rows


@IN_FILES
@given(
    st.lists(st.tuples(FILLED, st.sampled_from(["good", "bad", "so, so", "10 %"])), min_size=1, max_size=8)
)
def test_any_labelled_text_comes_back_from_a_classifiers_folder(pairs: list[tuple[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        rows = [{"text": text, "label": label} for text, label in pairs]
        (place / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        convert(place / "rows.jsonl", place / "out", to="bert")
        findings = Findings("")
        back = [(row["text"], row["label"]) for _, row in read_files(place / "out", findings)]
        assert (back, findings.errors) == (pairs, ())


@IN_FILES
@given(st.lists(FILLED, min_size=1, max_size=8))
def test_any_text_comes_back_from_plain_text_or_is_refused(texts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "rows.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        if any(re.search(r"\n\s*\n|\r\n|^[\r\n\ufeff]|[\r\n]$", text) for text in texts):
            with pytest.raises(DatasetError, match="not-held"):
                convert(place / "rows.jsonl", place / "out", to="domain-text")
            return
        convert(place / "rows.jsonl", place / "out", to="domain-text")
        assert [row["text"] for _, row in read_files(place / "out", Findings(""))] == texts
