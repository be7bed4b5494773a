"""A stand-in for base weights: a two-layer random model with a tokenizer of bytes and a ChatML template.

It learns nothing worth knowing; it has every file a real checkpoint has, and trains in a second.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ift_sagemaker.catalog.models import FoundationModel

ARCHITECTURES = ("llama", "mistral", "gpt2")
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def build(folder: Path, architecture: str = "llama") -> Path:
    """Writes the checkpoint into `folder` and gives it back."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate(["<|im_start|>", "<|im_end|>", *alphabet])}
    raw = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<|im_end|>"
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    _model(architecture, len(vocabulary)).save_pretrained(folder, safe_serialization=True)
    return folder


def _model(architecture: str, vocabulary: int) -> Any:
    import transformers as hf

    tokens = {"vocab_size": vocabulary, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    if architecture == "gpt2":
        return hf.GPT2LMHeadModel(hf.GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=512, **tokens))
    sizes = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "tie_word_embeddings": True,
    }
    if architecture == "mistral":
        return hf.MistralForCausalLM(hf.MistralConfig(**sizes, **tokens))
    return hf.LlamaForCausalLM(hf.LlamaConfig(**sizes, **tokens))


class TinyWeights:
    """A fetcher that makes such a checkpoint for any model."""

    name = "tests"

    def fetch(self, model: FoundationModel, folder: Path, tell: Callable[[str], None]) -> str:
        build(folder)
        return self.name
