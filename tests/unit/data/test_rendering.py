"""What is shown of a row is what is trained on: the trainer's own tokenizer gives the same tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ift_sagemaker.container.encoding import ConversationEncoder, stop_token_ids
from ift_sagemaker.container.weights import load_tokenizer
from ift_sagemaker.data import InstructionDataset, ModelTokenizer, TokenCounter
from ift_sagemaker.data.tokens.rendering import render_row
from ift_sagemaker.errors import ConfigError, TemplateError
from tests.unit.container.tiny import make_tokenizer, turns
from tests.unit.data.tiny_tokenizer import CHATML, save_tokenizer

FANCY = (
    "{%- if messages[0]['role'] != 'system' %}\n    {{- bos_token + 'Be kind.\n' }}\n{%- endif %}\n"
    "{%- for message in messages %}\n"
    "    {%- if message.role == 'assistant' %}\n"
    "{% generation %}{{ message.content | trim }}{{ eos_token }}{% endgeneration %}\n"
    "    {%- else %}\n        {{- message.role + ': ' + message.content | tojson + '\n' }}\n"
    "    {%- endif %}\n"
    "    {%- if loop.index > 50 %}{% break %}{% endif %}\n"
    "{%- endfor %}\n"
    "{%- if add_generation_prompt and not tools %}\n{{ '' }}\n{%- endif %}"
)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=30)


def _trainers(template: str | None, folder: Path) -> tuple[ConversationEncoder, ModelTokenizer]:
    """The encoder that training uses, and the tokenizer that data uses, of one model folder."""
    make_tokenizer(template).save_pretrained(folder, save_jinja_files=False)
    theirs = load_tokenizer(folder)
    return ConversationEncoder(theirs, stop_token_ids(None, theirs)), ModelTokenizer(folder)


@pytest.fixture(scope="module", params=[CHATML, FANCY, None], ids=["chatml", "fancy", "none"])
def both(request: Any, tmp_path_factory: Any) -> tuple[ConversationEncoder, ModelTokenizer]:
    return _trainers(request.param, tmp_path_factory.mktemp("tokenizer"))


@settings(deadline=None)
@given(st.lists(TEXT, min_size=1, max_size=3), TEXT)
def test_tokens_and_trained_spans_are_those_of_the_trainer(
    both: tuple[ConversationEncoder, ModelTokenizer], texts: list[str], answer: str
) -> None:
    trainer, ours = both
    messages = turns(texts[0], answer)
    if trainer.has_template:
        messages = turns(*(part for text in texts for part in (text, answer)))
    try:
        expected = trainer.row(messages)
    except TemplateError:
        with pytest.raises(TemplateError):
            ours.encoder.row(messages)
        return
    assert ours.encoder.row(messages) == expected
    shown = render_row(1, messages, ours)
    assert (shown.tokens, shown.trained_tokens, shown.ended) == (
        len(expected.ids),
        expected.trained_count,
        expected.ended,
    )
    assert [shown.text[start:end] for start, end in shown.trained] == [
        ours.decode(expected.ids[start:end]) for start, end in expected.trained
    ]


def test_the_count_of_rows_is_that_of_the_trainer(both: tuple[ConversationEncoder, ModelTokenizer]) -> None:
    trainer, ours = both
    rows = [turns(f"What is {n} and two?", "four " * (n % 7)) for n in range(50)]
    rows = [row for row in rows if row[1]["content"]]
    assert TokenCounter(ours).count_rows(rows) == [len(trainer.row(row).ids) for row in rows]


def test_a_rendered_row_marks_what_is_trained(tmp_path: Path) -> None:
    data = InstructionDataset.from_rows([{"instruction": "What is two?", "output": "two"}] * 3)
    first, second = data.render(save_tokenizer(tmp_path / "tiny"), rows=2)
    assert str(first) == ("<|im_start|>user\nWhat is two?<|im_end|>\n<|im_start|>assistant\n⟦two<|im_end|>⟧")
    assert "".join(text for text, _ in first.pieces()) == first.text
    assert (first.exact, first.ended, second.line) == (True, True, 2)


def test_without_a_tokenizer_the_turns_are_shown_and_said_not_to_be_exact() -> None:
    data = InstructionDataset.from_rows([{"messages": turns("a", "b", "c", "d")}])
    (row,) = data.render()
    assert str(row) == "user:\na\nassistant:\n⟦b⟧\nuser:\nc\nassistant:\n⟦d⟧\n"
    assert (row.exact, row.tokens) == (False, None)


def test_an_answer_without_an_end_token_is_told(tmp_path: Path) -> None:
    data = InstructionDataset.from_rows([{"instruction": "a", "output": "b"}])
    (row,) = data.render(save_tokenizer(tmp_path / "tiny", CHATML.replace("<|im_end|>", "")))
    assert row.ended is False


def test_a_row_that_the_chat_template_refuses_is_named_by_its_place(tmp_path: Path) -> None:
    angry = CHATML + "{% if messages[0].content == 'b' %}{{ raise_exception('only knights') }}{% endif %}"
    data = InstructionDataset.from_rows([{"instruction": text, "output": "x"} for text in "ab"])
    with pytest.raises(TemplateError, match=r"<rows>:2: .*only knights"):
        data.render(save_tokenizer(tmp_path / "tiny", angry))


@pytest.mark.parametrize(
    "template",
    [
        "{{ messages.__class__.__mro__[1].__subclasses__() }}",
        "{{ ''.__class__.__base__.__subclasses__()[0].__init__.__globals__ }}",
        "{{ messages.append(1) }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    ],
)
def test_a_chat_template_cannot_leave_its_sandbox(tmp_path: Path, template: str) -> None:
    data = InstructionDataset.from_rows([{"instruction": "a", "output": "b"}])
    with pytest.raises(TemplateError):
        data.render(save_tokenizer(tmp_path / "tiny", template))


def test_a_chat_template_in_a_file_of_its_own_comes_first(tmp_path: Path) -> None:
    folder = save_tokenizer(tmp_path / "tiny")
    (folder / "chat_template.jinja").write_text("other")
    assert ModelTokenizer(folder).chat_template == "other"


def test_the_default_of_several_chat_templates_is_taken(tmp_path: Path) -> None:
    several: Any = [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]
    assert ModelTokenizer(save_tokenizer(tmp_path / "tiny", several)).chat_template == "d"


def test_answers_end_at_the_tokens_of_the_generation_config_and_the_tokenizers_own(tmp_path: Path) -> None:
    assert ModelTokenizer(save_tokenizer(tmp_path / "tiny")).stop_ids == {0, 2}


@pytest.mark.parametrize("content", ["", "{}", "no json"])
def test_a_file_that_is_no_tokenizer_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(ConfigError, match="is no tokenizer"):
        ModelTokenizer(tmp_path)


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tokenizer\.json is not there"):
        ModelTokenizer(tmp_path)
