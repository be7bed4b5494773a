"""A causal language model and a tokenizer small enough for unit tests, and the folders of a job."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from ift_sagemaker.container.encoding import ConversationEncoder, EncodedRow
from ift_sagemaker.wire.rows import Message, write_rows

END = "<|im_end|>"
START = "<|im_start|>"
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] "
    "+ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TEMPLATE = {"prompt": "{instruction}\n\n{input}", "completion": "{output}"}
CORPUS = ("user assistant system\n", "Name the colour of grass. green blue red", "What is two and two? four")


def make_tokenizer(template: str | None = CHATML) -> Any:
    """Byte-level BPE whose end token is also its pad token, as SmolLM2's is."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|endoftext|>", START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=START,
        eos_token=END,
        pad_token=END,
        unk_token="<|endoftext|>",
        model_max_length=256,
    )
    fast.chat_template = template
    return fast


def make_model(seed: int = 0, *, tied: bool = True, layers: int = 2) -> Any:
    """A random Llama in float32, evaluation mode."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=300,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=tied,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
        initializer_range=0.2,
    )
    return LlamaForCausalLM(config).eval()


def save_base(folder: Path, seed: int = 0) -> Path:
    make_model(seed).save_pretrained(folder)
    make_tokenizer().save_pretrained(folder, save_jinja_files=False)
    return folder


def turns(*contents: str) -> list[Message]:
    """User and assistant in turn."""
    roles = ("user", "assistant")
    return [Message(role=roles[place % 2], content=content) for place, content in enumerate(contents)]


def encoder(tokenizer: Any | None = None) -> ConversationEncoder:
    return ConversationEncoder(tokenizer or make_tokenizer(), {2})


def encoded(pairs: Iterable[tuple[str, str]]) -> list[EncodedRow]:
    return [encoder().row(turns(*pair)) for pair in pairs]


ROWS = [
    {"instruction": "Name the colour.", "input": thing, "output": colour}
    for thing, colour in (
        ("grass", "green"),
        ("the sky at noon in summer", "blue"),
        ("blood", "red"),
        ("a leaf of an oak tree", "green"),
        ("the sea", "blue"),
        ("a ripe strawberry", "red"),
        ("moss on an old stone wall by the river", "green"),
        ("a sapphire", "blue"),
        ("rust", "red"),
        ("peas", "green"),
    )
]


def make_job(
    root: Path, values: Mapping[str, str], base: Path, rows: Iterable[Mapping[str, Any]] = tuple(ROWS)
) -> Path:
    """`/opt/ml` of a training job under `root`, as SageMaker would fill it."""
    config, data = root / "input" / "config", root / "input" / "data"
    for folder in (config, data / "training", root / "model", root / "output" / "data"):
        folder.mkdir(parents=True)
    (config / "hyperparameters.json").write_text(json.dumps(dict(values)))
    (config / "resourceconfig.json").write_text(json.dumps({"current_host": "algo-1", "hosts": ["algo-1"]}))
    (data / "model").symlink_to(base)
    write_rows(data / "training" / "train.jsonl", rows)
    (data / "training" / "template.json").write_text(json.dumps(TEMPLATE))
    return root


QUICK = {
    "epoch": "2",
    "per_device_train_batch_size": "2",
    "gradient_accumulation_steps": "2",
    "lora_r": "4",
    "learning_rate": "0.01",
    "dtype": "float32",
}
