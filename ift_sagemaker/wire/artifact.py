"""What the program writes beside the weights, and what an evaluation leaves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ift_sagemaker.errors import TemplateMismatchError, WeightsError
from ift_sagemaker.wire.template import PromptTemplate, chat_fingerprint

CARD_FILE = "ift_model.json"
PREDICTIONS_FILE = "predictions.jsonl"

FORM_MERGED = "merged"
FORM_ADAPTER = "adapter"


@dataclass(frozen=True)
class ModelCard:
    """`ift_model.json`: what a model folder holds and how it came to be.

    `form` is "merged" (a whole Hugging Face checkpoint) or "adapter" (a PEFT adapter that needs its base).
    `unfinished` is True where training was stopped before its last step. The fingerprints are those of
    `template` and of the tokenizer's chat template as they were trained with; None where none was recorded.
    """

    base_model_id: str
    form: str
    unfinished: bool
    steps: int
    total_steps: int
    template: dict[str, str] | None
    hyperparameters: dict[str, str]
    versions: dict[str, str]
    template_fingerprint: str | None = None
    chat_template_fingerprint: str | None = None

    def check_templates(self, chat_template: str | Mapping[str, str] | None) -> None:
        """Raises TemplateMismatchError unless the templates are those of training, which decide every answer.

        `chat_template` is that of the tokenizer which the model is served with. A card without fingerprints
        passes.
        """
        if self.chat_template_fingerprint is not None:
            _compare("chat template", self.chat_template_fingerprint, chat_fingerprint(chat_template))
        if self.template_fingerprint is not None:
            kept = "" if self.template is None else PromptTemplate(**self.template).fingerprint
            _compare("prompt template", self.template_fingerprint, kept)

    def write(self, folder: Path) -> None:
        text = json.dumps(asdict(self), indent=2, ensure_ascii=False, sort_keys=True)
        (folder / CARD_FILE).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> ModelCard | None:
        """The card of a folder; None where there is none (a model from elsewhere)."""
        path = folder / CARD_FILE
        if not path.exists():
            return None
        try:
            value: dict[str, Any] = json.loads(path.read_text("utf-8"))
            return cls(**value)
        except (ValueError, TypeError) as error:
            raise WeightsError(f"{path} is damaged: {error}") from error


def _compare(what: str, trained: str, found: str) -> None:
    if trained != found:
        raise TemplateMismatchError(
            f"the model was trained with the {what} {trained} and has {found or 'none'} now: every question "
            "would be put to it in another form than it learnt. Serve the files that training left, or train "
            f"again with the new {what}",
            trained=trained,
            found=found,
        )
