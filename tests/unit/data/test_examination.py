"""What an examination finds is what was planted; its memory does not grow; parts add up to the whole."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Iterable
from pathlib import Path

import pytest

from ift_sagemaker.data import DatasetReport, Depth, Examination
from ift_sagemaker.data.likeness.similarity import jaccard, shingled
from ift_sagemaker.errors import ConfigError, DatasetError

WORDS = [f"word{number}" for number in range(4000)]
Row = tuple[str, str]


def _sentence(chance: random.Random, length: int = 60) -> list[str]:
    return chance.choices(WORDS, k=length)


def _edited(words: list[str], chance: random.Random, changes: int) -> list[str]:
    changed = list(words)
    for place in chance.sample(range(len(changed)), changes):
        changed[place] = chance.choice(WORDS)
    return changed


def _alike(one: list[str], other: list[str]) -> float:
    sets = shingled([" ".join(one), " ".join(other)])
    return jaccard(sets.of(0), sets.of(1))


def _report(
    rows: Iterable[Row], held_out: Iterable[str] = (), memory: int = 64 << 20, without: Iterable[str] = ()
) -> DatasetReport:
    with Examination(Depth(frozenset(without), memory)) as examination:
        for line, (prompt, completion) in enumerate(rows, start=1):
            examination.add("rows", line, prompt, completion)
        for line, prompt in enumerate(held_out, start=1):
            examination.hold_out("held", line, prompt)
        return examination.report()


def _lines(report: DatasetReport, rule: str) -> list[int]:
    return [finding.line for finding in report.findings if finding.rule == rule]


@pytest.mark.parametrize("memory", [64 << 20, 1 << 20])
def test_edited_copies_are_found_with_recall_and_precision_of_at_least_95_percent(memory: int) -> None:
    chance = random.Random(7)
    originals = [_sentence(chance) for _ in range(1500)]
    copies = [_edited(words, chance, chance.randint(1, 5)) for words in originals[:400]]
    planted = {1501 + number for number, copy in enumerate(copies) if _alike(originals[number], copy) >= 0.8}
    rows = [(" ".join(words), f"answer {number}") for number, words in enumerate(originals + copies)]
    found = set(_lines(_report(rows, memory=memory), "near-duplicate"))
    assert len(planted) > 150
    assert len(found & planted) >= 0.95 * len(planted)
    assert len(found & planted) >= 0.95 * len(found)


@pytest.mark.parametrize("memory", [64 << 20, 1 << 20])
def test_leaked_rows_are_found_with_recall_and_precision_of_at_least_95_percent(memory: int) -> None:
    """Test rows planted in the training set: a third word for word, the others edited."""
    chance = random.Random(11)
    held_out = [_sentence(chance) for _ in range(600)]
    train = [_sentence(chance) for _ in range(2000)]
    planted_exact, planted_near = set(), set()
    for number, words in enumerate(held_out[:450]):
        place = 4 * number
        changes = 0 if number % 3 == 0 else chance.randint(1, 4)
        train[place] = _edited(words, chance, changes)
        if train[place] == words:
            planted_exact.add(place + 1)
        elif _alike(train[place], words) >= 0.8:
            planted_near.add(place + 1)
    rows = [(" ".join(words), f"answer {number}") for number, words in enumerate(train)]
    report = _report(rows, [" ".join(words) for words in held_out], memory)
    assert set(_lines(report, "leakage")) == planted_exact
    found = set(_lines(report, "near-leakage"))
    assert len(planted_near) > 120
    assert len(found & planted_near) >= 0.95 * len(planted_near)
    assert len(found & planted_near) >= 0.95 * len(found)


def test_edited_copies_are_found_among_prompts_that_begin_alike() -> None:
    chance = random.Random(13)
    beginning = [
        "Classify",
        "the",
        "sentiment",
        "of",
        "the",
        "following",
        "review",
        "as",
        "Positive",
        "or",
        "Negative",
    ]
    originals = [[*beginning, *_sentence(chance, 25)] for _ in range(1500)]
    copies = [[*words[:-1], "indeed"] for words in originals[:300]]
    rows = [(" ".join(words), str(number)) for number, words in enumerate(originals + copies)]
    found = set(_lines(_report(rows), "near-duplicate"))
    assert len(found & set(range(1501, 1801))) >= 0.95 * 300
    assert len(found) <= 300 / 0.95


def test_a_paraphrase_is_out_of_reach() -> None:
    """The same question in other words shares few words in a row; nothing here knows what words mean."""
    rows = [
        ("How many people live in the capital of France today?", "2 million"),
        ("What is the number of inhabitants that Paris has at present?", "2 millions"),
    ]
    assert _report(rows, [rows[1][0] + " Please tell me."]).findings == ()


def test_findings_show_no_hash_but_where_and_what() -> None:
    report = _report([("the same words again", "a"), ("the same words again", "a"), ("Other", "b")])
    (finding,) = report.findings
    assert (finding.path, finding.line, finding.rule) == ("rows", 2, "duplicate")
    assert (finding.message, finding.example) == ("is the same as line 1", "the same words again")


def test_likely_secrets_and_personal_data_are_found_in_prompts_and_answers() -> None:
    rows = [("Write to jane@example.com", "ok"), ("key?", "AKIA" + "IOSFODNN7EXAMPLE"), ("a 12345", "b")]
    report = _report(rows)
    assert [(finding.line, finding.field, finding.rule) for finding in report.findings] == [
        (1, "prompt", "personal-data"),
        (2, "completion", "secret"),
    ]
    assert not any("IOSFODNN7EXAMPLE" in str(finding) for finding in report.findings)


def test_languages_are_told_where_they_are_sure_and_else_unknown() -> None:
    rows = [
        ("What is the capital of the country that you are from?", "It is the one on the river."),
        (
            "Was ist die Hauptstadt von dem Land, aus dem du bist?",
            "Das ist die Stadt an dem Fluss und nicht.",
        ),
        ("Quelle est la capitale du pays dans lequel vous êtes ?", "Elle est sur les bords de la rivière."),
        ("日本の首都はどこですか", "東京です"),
        ("한국의 수도는 어디입니까", "서울"),
        ("Какой город является столицей", "Москва"),
        ("def f(x): return x * 2", "f(3) == 6"),
        ("ok", "yes"),
    ]
    assert _report(rows).languages == {
        "unknown": 2,
        "Cyrillic script": 1,
        "English": 1,
        "French": 1,
        "German": 1,
        "Japanese": 1,
        "Korean": 1,
    }


def test_a_thousand_copies_of_one_text_are_a_thousand_findings_and_no_million_comparisons() -> None:
    report = _report([("the same text again and again", "x")] * 1500)
    assert report.rules == {"duplicate": 1499}
    assert len(report.findings) == 1000
    assert _lines(report, "duplicate") == list(range(2, 1002))


@pytest.mark.parametrize(
    "rule",
    ["duplicate", "conflict", "near-duplicate", "leakage", "near-leakage", "special-token", "secret"],
)
def test_a_rule_that_is_left_out_finds_nothing_and_leaves_the_others_alone(rule: str) -> None:
    text = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen"
    rows = [
        (text, "a"),
        (text, "a"),
        (text, "b"),
        (f"{text} fifteen", "c"),
        ("<|im_end|>", "AKIA" + "IOSFODNN7EXAMPLE"),
        ("held out", "x"),
        ("alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu", "y"),
    ]
    held = ["held out", "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu"]
    every, fewer = _report(rows, held), _report(rows, held, without=[rule])
    assert every.rules.pop(rule) >= 1
    assert fewer.rules == every.rules
    assert fewer.left_out == (rule,)


def test_an_unknown_rule_cannot_be_left_out() -> None:
    with pytest.raises(ConfigError, match="near-duplicate"):
        Depth(frozenset({"nonsense"}))
    with pytest.raises(ConfigError, match="memory_bytes"):
        Depth(memory_bytes=10)


def test_nothing_is_left_on_disk(tmp_path: Path) -> None:
    with Examination(Depth(folder=tmp_path)) as examination:
        examination.add("rows", 1, "a", "b")
        examination.report()
        assert list(tmp_path.iterdir())
    assert not list(tmp_path.iterdir())


def _peak(count: int, memory: int) -> int:
    chance = random.Random(1)
    tracemalloc.start()
    try:
        with Examination(Depth(memory_bytes=memory)) as examination:
            for line in range(count):
                examination.add("rows", line, " ".join(chance.choices(WORDS, k=20)), f"answer {line}")
            report = examination.report()
        assert report.usable_rows == count
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_rows() -> None:
    _peak(1_000, 2 << 20)  # tables that are made once
    few, many = _peak(6_000, 2 << 20), _peak(60_000, 2 << 20)
    assert many < 1.25 * few
    assert many < 48 << 20


def test_a_folder_without_a_state_is_refused(tmp_path: Path) -> None:
    (tmp_path / "shard").mkdir()
    with pytest.raises(DatasetError, match="holds no examination"):
        Examination.merged([tmp_path / "shard"])


def test_states_of_other_rules_are_not_merged(tmp_path: Path) -> None:
    with Examination(Depth(frozenset({"language"}))) as examination:
        examination.save(tmp_path / "shard")
    with pytest.raises(ConfigError, match="language"):
        Examination.merged([tmp_path / "shard"])
