"""Ready templates fit the rows they are named after, and fingerprints tell templates apart."""

from __future__ import annotations

import pytest

from ift_sagemaker.data import InstructionDataset
from ift_sagemaker.errors import TemplateError
from ift_sagemaker.wire.template import ALPACA, TEMPLATES, PromptTemplate, fingerprint_of, named

ROWS = (
    {"instruction": "Add.", "input": "1 + 1", "output": "2"},
    {"instruction": "Add.", "context": "1 + 1", "response": "2"},
    {"prompt": "Add.\n\n1 + 1", "completion": "2"},
    {"question": "Add.\n\n1 + 1", "answer": "2"},
)


@pytest.mark.parametrize("name", ["plain", "alpaca"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: "+".join(row))
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


def test_a_chat_template_has_a_fingerprint_and_its_absence_none() -> None:
    assert fingerprint_of(None) is None
    assert fingerprint_of("a") != fingerprint_of("a ")
