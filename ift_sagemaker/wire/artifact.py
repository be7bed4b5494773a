"""What the program writes beside the weights, and what an evaluation leaves."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ift_sagemaker.errors import WeightsError

CARD_FILE = "ift_model.json"
PREDICTIONS_FILE = "predictions.jsonl"

FORM_MERGED = "merged"
FORM_ADAPTER = "adapter"


@dataclass(frozen=True)
class ModelCard:
    """`ift_model.json`: what a model folder holds and how it came to be.

    `form` is "merged" (a whole Hugging Face checkpoint) or "adapter" (a PEFT adapter that needs its base).
    `unfinished` is True where training was stopped before its last step.
    """

    base_model_id: str
    form: str
    unfinished: bool
    steps: int
    total_steps: int
    template: dict[str, str] | None
    hyperparameters: dict[str, str]
    versions: dict[str, str]

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
