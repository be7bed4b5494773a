"""Ready templates fit the rows they are named after, and fingerprints tell templates apart."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ift_sagemaker.data import InstructionDataset
from ift_sagemaker.errors import TemplateError, TemplateMismatchError
from ift_sagemaker.wire.artifact import FORM_MERGED, ModelCard
from ift_sagemaker.wire.template import (
    ALPACA,
    NO_CHAT_TEMPLATE,
    TEMPLATES,
    PromptTemplate,
    chat_fingerprint,
    named,
)

ROWS = (
    {"instruction": "Add.", "input": "1 + 1", "output": "2"},
    {"instruction": "Add.", "context": "1 + 1", "response": "2"},
    {"prompt": "Add.\n\n1 + 1", "completion": "2"},
    {"question": "Add.\n\n1 + 1", "answer": "2"},
)


@pytest.mark.parametrize("name", ["plain", "alpaca"])
@pytest.mark.parametrize("row", ROWS, ids="+".join)
def test_a_ready_template_fits_instructions_however_they_are_written(name: str, row: dict[str, str]) -> None:
    data = InstructionDataset.from_rows([row], template=named(name))
    prompt = data.prompt(data[0])
    assert "Add." in prompt
    assert "1 + 1" in prompt
    assert data.completion(data[0]) == "2"


def test_jumpstarts_template_for_dolly_fits_rows_without_a_context() -> None:
    data = InstructionDataset.from_rows([{"instruction": "Add.", "response": "2"}], template=named("dolly"))
    assert data.prompt(data[0]).endswith("### Instruction:\nAdd.\n\n### Input:")
    assert data.completion(data[0]) == " 2"


def test_the_plain_template_is_the_default() -> None:
    assert named("plain") == ALPACA


def test_an_unknown_name_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(TemplateError, match="no template 'alpacca': there are plain, alpaca, dolly"):
        named("alpacca")


def test_every_ready_template_has_a_fingerprint_of_its_own_that_its_json_keeps() -> None:
    prints = {template.fingerprint for template in TEMPLATES.values()}
    assert len(prints) == len(TEMPLATES)
    for template in TEMPLATES.values():
        assert PromptTemplate.from_json(template.to_json()).fingerprint == template.fingerprint


def test_chat_templates_are_told_apart_by_every_character_and_from_none_at_all() -> None:
    prints = {chat_fingerprint(template) for template in (None, "a", "a ", {"default": "a"})}
    assert len(prints) == 4
    assert chat_fingerprint("") == chat_fingerprint(None) == NO_CHAT_TEMPLATE


def _card(template: PromptTemplate | None, chat_template: str | None) -> ModelCard:
    return ModelCard(
        "m", FORM_MERGED, unfinished=False, steps=1, total_steps=1, hyperparameters={}, versions={},
        template=None if template is None else {"prompt": template.prompt, "completion": template.completion},
        template_fingerprint=template.fingerprint if template else None,
        chat_template_fingerprint=chat_fingerprint(chat_template),
    )  # fmt: skip


@pytest.mark.parametrize("template", [None, ALPACA])
def test_a_model_with_the_templates_it_was_trained_with_passes(template: PromptTemplate | None) -> None:
    _card(template, "chat").check_templates("chat")
    _card(template, None).check_templates(None)


@pytest.mark.parametrize(("trained", "found"), [("chat", "chat "), ("chat", None), (None, "chat")])
def test_a_model_with_another_chat_template_is_refused(trained: str | None, found: str | None) -> None:
    with pytest.raises(TemplateMismatchError, match="trained with the chat template") as caught:
        _card(ALPACA, trained).check_templates(found)
    assert (caught.value.trained, caught.value.found) == (chat_fingerprint(trained), chat_fingerprint(found))


def test_a_prompt_template_that_was_changed_in_the_card_is_refused() -> None:
    card = replace(_card(ALPACA, None), template={"prompt": "{input}", "completion": "{output}"})
    with pytest.raises(TemplateMismatchError, match="prompt template"):
        card.check_templates(None)


def test_a_card_from_before_fingerprints_passes() -> None:
    card = replace(_card(ALPACA, None), template_fingerprint=None, chat_template_fingerprint=None)
    card.check_templates("anything")
