from __future__ import annotations

import pytest

from ift_sagemaker.container.encoding import encode_rows, stop_token_ids
from ift_sagemaker.errors import DatasetError, TemplateError
from tests.unit.container.tiny import CHATML, END, encoder, make_tokenizer, turns

TOKENIZER = make_tokenizer()
FORGETFUL = (
    "{% for message in messages %}{% if loop.last or message['role'] == 'user' %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def trained_texts(*contents: str) -> list[str]:
    row = encoder(TOKENIZER).row(turns(*contents))
    return [TOKENIZER.decode(row.ids[start:end]) for start, end in row.trained]


def test_trained_tokens_are_exactly_the_completion_and_its_end_token() -> None:
    assert trained_texts("What is two and two?", "four") == ["four" + END]


def test_the_end_token_is_trained_although_it_is_also_the_pad_token() -> None:
    assert TOKENIZER.pad_token_id == TOKENIZER.eos_token_id
    row = encoder(TOKENIZER).row(turns("a", "b"))
    assert row.ids[row.trained[-1][1] - 1] == TOKENIZER.eos_token_id
    assert row.ended


def test_every_assistant_turn_is_trained_and_nothing_else() -> None:
    assert trained_texts("a", "first", "b", "second") == ["first" + END, "second" + END]


def test_the_tokens_before_the_completion_are_the_prompt_that_serving_sends() -> None:
    row = encoder(TOKENIZER).row(turns("What is two?", "two"))
    assert list(row.ids[: row.trained[0][0]]) == encoder(TOKENIZER).prompt(turns("What is two?"))


@pytest.mark.parametrize("completion", ["\n\nfour", " four", "\nfour"])
def test_a_completion_that_would_merge_with_the_prompt_leaves_the_prompt_as_it_is(completion: str) -> None:
    tokenizer = make_tokenizer()
    row = encoder(tokenizer).row(turns("two", completion))
    prompt = encoder(tokenizer).prompt(turns("two"))
    assert list(row.ids[: len(prompt)]) == prompt
    assert tokenizer.decode(row.ids[len(prompt) :]) == completion + END


def test_a_template_that_rewrites_earlier_turns_is_refused() -> None:
    with pytest.raises(TemplateError, match="does not keep earlier turns"):
        encoder(make_tokenizer(FORGETFUL)).row(turns("a", "b", "c", "d"))


def test_a_template_that_refuses_the_conversation_is_a_template_error() -> None:
    angry = "{{ raise_exception('only knights') }}"
    with pytest.raises(TemplateError, match="only knights"):
        encoder(make_tokenizer(angry)).row(turns("a", "b"))


def test_without_a_chat_template_a_row_is_prompt_completion_and_end_token() -> None:
    tokenizer = make_tokenizer(None)
    row = encoder(tokenizer).row(turns("Two and two is ", "four"))
    assert tokenizer.decode(row.ids) == "Two and two is four" + END
    assert [tokenizer.decode(row.ids[slice(*span)]) for span in row.trained] == ["four" + END]


def test_without_a_chat_template_several_turns_are_refused() -> None:
    with pytest.raises(TemplateError, match="no chat template"):
        encoder(make_tokenizer(None)).row(turns("a", "b", "c", "d"))


def test_a_template_without_end_token_is_noticed() -> None:
    bare = CHATML.replace("<|im_end|>", "")
    assert not encoder(make_tokenizer(bare)).row(turns("a", "b")).ended


def test_all_rows_that_are_too_long_are_named_at_once() -> None:
    conversations = [turns("a", "b"), turns("a" * 90, "b"), turns("a", "b"), turns("c" * 99, "d")]
    with pytest.raises(DatasetError, match=r"row 2: .*row 4: ") as caught:
        encode_rows(encoder(TOKENIZER), conversations, 40)
    assert len(caught.value.findings) == 2


def test_truncation_cuts_the_end_and_refuses_rows_with_nothing_left_to_learn() -> None:
    long_answer = turns("a", "b" * 200)
    (row,) = encode_rows(encoder(TOKENIZER), [long_answer], 40, truncate=True)
    assert len(row.ids) == 40
    assert row.trained[-1][1] == 40
    assert not row.ended
    with pytest.raises(DatasetError, match="prompt alone fills"):
        encode_rows(encoder(TOKENIZER), [turns("a" * 200, "b")], 40, truncate=True)


def test_a_row_without_assistant_turn_is_refused_by_number() -> None:
    with pytest.raises(DatasetError, match="row 1: no assistant turn"):
        encode_rows(encoder(TOKENIZER), [turns("a")], 40)


def test_generation_stops_at_the_configured_tokens_and_at_the_tokenizers_own() -> None:
    class Settings:
        eos_token_id = (7, 9)

    assert stop_token_ids(Settings(), TOKENIZER) == {2, 7, 9}
