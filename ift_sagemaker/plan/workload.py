"""What a fine-tuning run computes and keeps in memory: formulas alone, each with its source.

Read docs/explanation/estimate.md for where they are right and where they are not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ift_sagemaker.plan.quantities import NOTHING, Range

FULL, LORA, QLORA = "full", "lora", "qlora"
_USUAL_ASPECT = 128
_USUAL_VOCABULARY = 128_000
_HEAD_CHUNK_ROWS = 256


@dataclass(frozen=True)
class ModelShape:
    """`parameters` counts weights, `kv_width` keys (and values) of a token, `inner` the width of the MLP.

    `stated` is False where all but `parameters` is derived from it.
    """

    parameters: int
    layers: int
    hidden: int
    inner: int
    kv_width: int
    vocabulary: int
    stated: bool

    @classmethod
    def of_size(cls, parameters: int) -> ModelShape:
        """The usual shape of a model of that size.

        12 · layers · hidden² weights (Kaplan et al. 2020, table 1) at a width of 128 a layer; a gated MLP of
        8/3 the width, as Llama's.
        """
        layers = max(1, round((parameters / (12 * _USUAL_ASPECT**2)) ** (1 / 3)))
        hidden = max(1, round(math.sqrt(parameters / (12 * layers))))
        return cls(parameters, layers, hidden, round(8 * hidden / 3), hidden, _USUAL_VOCABULARY, stated=False)

    @classmethod
    def of_config(cls, parameters: int, config: Mapping[str, Any]) -> ModelShape:
        """The shape that a Hugging Face `config.json` states; `of_size` where it does not."""
        try:
            layers, hidden = int(config["num_hidden_layers"]), int(config["hidden_size"])
            heads = int(config["num_attention_heads"])
            head = int(config.get("head_dim") or hidden // heads)
            return cls(
                parameters,
                layers,
                hidden,
                int(config.get("intermediate_size") or 4 * hidden),
                head * int(config.get("num_key_value_heads") or heads),
                int(config["vocab_size"]),
                stated=min(layers, hidden, heads, head) > 0,
            )
        except (KeyError, TypeError, ValueError, ZeroDivisionError):
            return cls.of_size(parameters)


@dataclass(frozen=True)
class Training:
    """How a run trains: `method` full, lora or qlora; `weight_bytes` of each frozen or stored weight.

    A step has `rows_per_pass` · `passes_per_step` rows; `steps` ends the run where it is over 0.
    """

    method: str = LORA
    epochs: int = 1
    steps: int = 0
    rows_per_pass: int = 1
    passes_per_step: int = 1
    max_length: int = 1024
    lora_rank: int = 16
    checkpointing: bool = False
    dtype: str = "auto"
    validation_share: float = 0.0

    @property
    def rows_per_step(self) -> int:
        return self.rows_per_pass * self.passes_per_step

    @classmethod
    def of_hyperparameters(cls, values: Mapping[str, Any]) -> Training:
        """The training that typed hyperparameters of this project's program ask for."""
        return cls(
            method=LORA if values["peft_type"] == "lora" else FULL,
            epochs=values["epoch"],
            steps=max(0, values["max_steps"]),
            rows_per_pass=values["per_device_train_batch_size"],
            passes_per_step=values["gradient_accumulation_steps"],
            max_length=values["max_input_length"],
            lora_rank=values["lora_r"],
            checkpointing=values["gradient_checkpointing"],
            dtype=values["dtype"],
            validation_share=values["validation_split_ratio"],
        )


def adapter_parameters(shape: ModelShape, rank: int) -> int:
    """Weights of LoRA adapters on all linear layers: rank · (inputs + outputs) each (Hu et al. 2021, §4)."""
    h, kv, inner = shape.hidden, shape.kv_width, shape.inner
    a_layer = 2 * (h + h) + 2 * (h + kv) + 3 * (h + inner)
    return shape.layers * rank * a_layer


def trained_parameters(shape: ModelShape, training: Training) -> int:
    """Weights that learn."""
    if training.method == FULL:
        return shape.parameters
    return adapter_parameters(shape, training.lora_rank)


def flops_per_token(shape: ModelShape, training: Training, length: float) -> float:
    """Arithmetic of one trained token, forward and backward.

    Full: 6 · N (Kaplan et al. 2020, §2.1). LoRA and QLoRA: 4 · N, since frozen weights need no gradient of
    their own, + 6 · A for A adapter weights. Attention: 12 · layers · hidden · length (PaLM, Chowdhery et al.
    2022, appendix B; the causal half is not taken off). Checkpointing runs the forward pass again.
    """
    n, attention = shape.parameters, 12 * shape.layers * shape.hidden * length
    adapters = 0 if training.method == FULL else 6 * adapter_parameters(shape, training.lora_rank)
    total = (6 if training.method == FULL else 4) * n + adapters + attention
    return total + (2 * n + attention / 3 if training.checkpointing else 0)


@dataclass(frozen=True)
class Memory:
    """Bytes of one device by what they hold."""

    weights: Range
    gradients: Range
    optimizer: Range
    activations: Range
    framework: Range

    @property
    def total(self) -> Range:
        return self.weights + self.gradients + self.optimizer + self.activations + self.framework


def memory(shape: ModelShape, training: Training, tokens_in_pass: Range, *, accelerated: bool) -> Memory:
    """Bytes that one device holds at the peak of a step; `tokens_in_pass` are those of one forward pass.

    What learns is kept in float32: 4 bytes a weight, 4 its gradient, 8 AdamW's two moments (Rajbhandari et
    al. 2020, ZeRO, §3.1, without its 16-bit copies).
    """
    learns = trained_parameters(shape, training)
    return Memory(
        weights=_weight_bytes(shape, training, accelerated=accelerated),
        gradients=Range(0.9, 1, 1) * (4 * learns),
        optimizer=Range.exactly(8 * learns),
        activations=_activation_bytes(shape, training, tokens_in_pass) + _head_bytes(shape, training),
        framework=_FRAMEWORK_ACCELERATED if accelerated else _FRAMEWORK_CPU,
    )


_FRAMEWORK_ACCELERATED = Range(0.6e9, 1.1e9, 2.0e9)
_FRAMEWORK_CPU = Range(0.5e9, 0.9e9, 1.8e9)
_FRAGMENTS = Range(1.0, 1.1, 1.3)


def _weight_bytes(shape: ModelShape, training: Training, *, accelerated: bool) -> Range:
    """QLoRA: 4 bits and the double-quantised constants of 0.127 bits (Dettmers et al. 2023, §3), the
    embeddings in 16 bits. LoRA: as `dtype` says; auto is bfloat16 on an accelerator, on a processor what is
    faster there. Full: float32, with the 16-bit copies that autocast keeps during a step.
    """
    n = shape.parameters
    if training.method == QLORA:
        embeddings = min(n, shape.vocabulary * shape.hidden)
        return Range(1, 1, 1.1) * ((n - embeddings) * (4 + 0.127) / 8 + 2 * embeddings)
    adapters = 0 if training.method == FULL else 4 * adapter_parameters(shape, training.lora_rank)
    if training.method == FULL:
        return Range(4 * n, 6 * n, 6 * n) if training.dtype != "float32" else Range.exactly(4 * n)
    if training.dtype == "auto" and not accelerated:
        return Range(2 * n, 4 * n, 4 * n) + Range.exactly(adapters)
    each = 4 if training.dtype == "float32" else 2
    return Range.exactly(each * n + adapters)


def _activation_bytes(shape: ModelShape, training: Training, tokens: Range) -> Range:
    """Korthikanti et al. 2022, §4.1: 34 bytes · hidden a layer and token in 16 bits, without attention
    scores, which fused attention does not keep; 19 of them are the MLP's. For a gated MLP of width `inner`
    that is 17 · hidden + 8 · inner (own counting). LoRA also keeps its float32 inputs: up to 24 · hidden +
    4 · inner. Checkpointing keeps 2 · hidden a layer and one whole layer (their §5).
    """
    h, inner = shape.hidden, shape.inner
    whole = Range.exactly(17 * h + 8 * inner) * (2 if training.dtype == "float32" else 1)
    if training.method != FULL:
        copies = 24 * h + 4 * inner
        whole = whole + Range(0, copies, copies)
    if training.checkpointing:
        return (Range.exactly(2 * h * shape.layers) + whole) * tokens * _FRAGMENTS
    return whole * shape.layers * tokens * _FRAGMENTS


def _head_bytes(shape: ModelShape, training: Training) -> Range:
    """Logits of 256 tokens at a time with their gradient; in full training also the float32 gradient."""
    logits = Range(6, 10, 14) * (_HEAD_CHUNK_ROWS * shape.vocabulary)
    if training.method != FULL:
        return logits
    return logits + Range(0, 1, 1) * (4 * shape.vocabulary * shape.hidden)


def disk_bytes(shape: ModelShape, training: Training, weights_bytes: int, data_bytes: int) -> Range:
    """What comes in, the model that goes out (in the folder, then packed) and two checkpoints beside it."""
    out = shape.parameters * (4 if training.method == FULL or training.dtype == "float32" else 2)
    checkpoint = 12 * trained_parameters(shape, training)
    return Range(1, 1, 1.1) * (weights_bytes + data_bytes) + Range(1, 2, 2.4) * (out + checkpoint)


def evaluation_flops(shape: ModelShape, tokens: Range) -> Range:
    """One forward pass over held-out tokens: 2 · N each."""
    return tokens * (2 * shape.parameters) if tokens.high else NOTHING
