"""`evaluate`: the base and the tuned model answer the same rows, and `predictions.jsonl` says how."""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from ift_sagemaker.container.batching import collate
from ift_sagemaker.container.encoding import ConversationEncoder, EncodedRow, encode_rows, stop_token_ids
from ift_sagemaker.container.generation import GenerationRequest, generate
from ift_sagemaker.container.inputs import read_hyperparameters
from ift_sagemaker.container.lifecycle import StopRequest, say
from ift_sagemaker.container.loss import TokenLoss
from ift_sagemaker.container.precision import Precision, choose_precision
from ift_sagemaker.container.rounds import RoundDecoder
from ift_sagemaker.container.weights import load_tuned, require_safetensors
from ift_sagemaker.errors import DatasetError
from ift_sagemaker.wire.archive import unpack
from ift_sagemaker.wire.artifact import PREDICTIONS_FILE, ModelCard
from ift_sagemaker.wire.hyperparameters import EVALUATION_HYPERPARAMETERS
from ift_sagemaker.wire.paths import CHANNEL_BASE, CHANNEL_ROWS, CHANNEL_TUNED, MLPaths
from ift_sagemaker.wire.rows import Message, read_channel, to_messages, write_rows

ARCHIVE = "model.tar.gz"


@dataclass(frozen=True)
class Question:
    """One row: what is asked, what the answer should be, and what both look like as chat messages."""

    instruction: str | None
    prompt: str
    reference: str
    messages: Sequence[Message]


def run(paths: MLPaths, _stop: StopRequest) -> None:
    """Writes predictions.jsonl, whole or not at all; SIGTERM interrupts at once."""
    transformers.utils.logging.disable_progress_bar()
    values = read_hyperparameters(paths.hyperparameters, EVALUATION_HYPERPARAMETERS)
    questions = read_questions(paths.channel(CHANNEL_ROWS))
    precision = choose_precision(values["dtype"])
    say(f"{len(questions)} rows; {precision.name} on {precision.device}: {precision.reason}")
    base_folder = paths.channel(CHANNEL_BASE)
    with tuned_folder(paths.channel(CHANNEL_TUNED)) as folder:
        _warn_of_unfinished(folder)
        base = _answers_of("base", (base_folder, None), questions, values, precision)
        tuned = _answers_of("tuned", (folder, base_folder), questions, values, precision)
    paths.output_data.mkdir(parents=True, exist_ok=True)
    writing = paths.output_data / f".{PREDICTIONS_FILE}"
    write_rows(writing, _predictions(questions, base, tuned))
    writing.replace(paths.output_data / PREDICTIONS_FILE)
    say(f"wrote {PREDICTIONS_FILE}, {len(questions)} rows")


def read_questions(folder: Path) -> list[Question]:
    """The rows of the channel. Raises DatasetError naming every row that does not end in an answer."""
    rows, template = read_channel(folder) if folder.is_dir() else ([], None)
    if not rows:
        raise DatasetError(f"channel {folder.name!r} holds no rows (*.jsonl)", path=str(folder))
    conversations = [to_messages(row, template) for row in rows]
    findings = [
        f"row {number}: does not end with an assistant turn"
        for number, messages in enumerate(conversations, start=1)
        if len(messages) < 2 or messages[-1]["role"] != "assistant"
    ]
    if findings:
        raise DatasetError("; ".join(findings), path=str(folder), findings=findings)
    return [_question(row, messages) for row, messages in zip(rows, conversations, strict=True)]


def _question(row: Mapping[str, Any], messages: Sequence[Message]) -> Question:
    asked = messages[:-1]
    alone = len(asked) == 1
    prompt = (
        asked[0]["content"] if alone else "\n".join(f"{turn['role']}: {turn['content']}" for turn in asked)
    )
    instruction = row.get("instruction")
    return Question(
        None if instruction is None else str(instruction), prompt, messages[-1]["content"], messages
    )


@contextmanager
def tuned_folder(channel: Path) -> Iterator[Path]:
    """The folder of the tuned model: the channel itself, or its model.tar.gz unpacked for the while.

    Raises WeightsError for an archive that is damaged, unsafe or beyond the caps of `wire.archive`.
    """
    archive = channel / ARCHIVE
    if not archive.exists():
        require_safetensors(channel)
        yield channel
        return
    with tempfile.TemporaryDirectory(prefix="ift-tuned-") as name:
        folder = Path(name) / "model"
        unpack(archive, folder)
        require_safetensors(folder)
        yield folder


def _warn_of_unfinished(folder: Path) -> None:
    card = ModelCard.read(folder)
    if card is not None and card.unfinished:
        say(
            f"WARNING: the tuned model is unfinished ({card.steps} of {card.total_steps} steps) and is "
            "judged all the same"
        )


def _answers_of(
    name: str,
    folders: tuple[Path, Path | None],
    questions: Sequence[Question],
    values: Mapping[str, Any],
    precision: Precision,
) -> list[dict[str, Any]]:
    """One model's part of every prediction; the model is loaded for this alone and let go after."""
    model, tokenizer = load_tuned(*folders, precision)
    stop_ids = stop_token_ids(model.generation_config, tokenizer)
    encoder = ConversationEncoder(tokenizer, stop_ids)
    conversations = [question.messages for question in questions]
    rows = [_last_turn(row) for row in encode_rows(encoder, conversations, values["max_input_length"])]
    prompts = [encoder.prompt(question.messages[:-1]) for question in questions]
    decoder = RoundDecoder(model, tokenizer, stop_ids)
    requests = [
        GenerationRequest(prompt, _allowed(len(prompt), values["max_new_tokens"], decoder.context, number))
        for number, prompt in enumerate(prompts, start=1)
    ]
    answers: list[dict[str, Any]] = [{} for _ in questions]
    loss, done = TokenLoss(model), 0
    for places in batches_by_length([len(prompt) for prompt in prompts], values["batch_size"]):
        losses = mean_losses(loss, [rows[place] for place in places], precision.device)
        generated = generate(decoder, [requests[place] for place in places])
        for place, answer, value in zip(places, generated, losses, strict=True):
            answers[place] = {
                "prediction": answer.text,
                "loss": value,
                "tokens": rows[place].trained_count,
                "ended": answer.ended,
            }
        done += len(places)
        say(f"evaluated {name} {done}/{len(questions)}")
    del model, loss, decoder
    gc.collect()
    return answers


def _last_turn(row: EncodedRow) -> EncodedRow:
    return EncodedRow(row.ids, row.trained[-1:], row.ended)


def _allowed(prompt: int, wanted: int, context: int | None, number: int) -> int:
    left = wanted if context is None else min(wanted, context - prompt)
    if left < 1:
        raise DatasetError(
            f"row {number}: its prompt of {prompt} tokens fills the model's context of {context}"
        )
    return left


def batches_by_length(lengths: Sequence[int], size: int) -> list[list[int]]:
    """Positions in `lengths` in batches of neighbours in length; the longest first, which shows early
    whether memory is enough.
    """
    order = sorted(range(len(lengths)), key=lambda place: (-lengths[place], place))
    return [order[start : start + size] for start in range(0, len(order), size)]


def mean_losses(loss: TokenLoss, rows: Sequence[EncodedRow], device: torch.device) -> list[float]:
    """Mean loss per trained token of each row."""
    batch = {name: tensor.to(device) for name, tensor in collate(rows).items()}
    sums = torch.zeros(len(rows), dtype=torch.float64, device=device)
    sums.index_add_(0, batch["owners"], loss.each(batch).double())
    return [total / row.trained_count for total, row in zip(sums.tolist(), rows, strict=True)]


def _predictions(
    questions: Sequence[Question], base: Sequence[dict[str, Any]], tuned: Sequence[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    for index, question in enumerate(questions):
        yield {
            "index": index,
            "instruction": question.instruction,
            "prompt": question.prompt,
            "reference": question.reference,
            "base": base[index],
            "tuned": tuned[index],
        }
