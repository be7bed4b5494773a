"""Cross-entropy over the trained tokens alone.

The language-model head runs only where a token is learnt, 256 rows at a time, and the gradient is taken in
the same go, so that logits of the whole vocabulary are never kept: with a vocabulary of 49,152 that is most
of the memory of a training step, and on a CPU a good part of its time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn import functional

CHUNK_ROWS = 256


def token_losses(hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of each target, float32 [n]; hidden [n, width], weight [vocabulary, width]."""
    pieces = [
        functional.cross_entropy(functional.linear(rows, weight).float(), labels, reduction="none")
        for rows, labels in zip(hidden.split(CHUNK_ROWS), targets.split(CHUNK_ROWS), strict=True)
    ]
    return torch.cat(pieces)


class SummedCrossEntropy(torch.autograd.Function):
    """Sum of `token_losses` with its gradient computed in the forward pass, chunk by chunk."""

    @staticmethod
    def forward(ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        hidden_gradient = torch.empty_like(hidden)
        weight_gradient = torch.zeros_like(weight, dtype=torch.float32) if ctx.needs_input_grad[1] else None
        matrix = weight.to(hidden.dtype)
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        for start in range(0, hidden.shape[0], CHUNK_ROWS):
            rows, labels = hidden[start : start + CHUNK_ROWS], targets[start : start + CHUNK_ROWS, None]
            logits = functional.linear(rows, matrix).float()
            log_total = logits.logsumexp(dim=1, keepdim=True)
            total += (log_total - logits.gather(1, labels)).sum()
            probabilities = logits.sub_(log_total).exp_()
            probabilities.scatter_add_(1, labels, -torch.ones_like(log_total))
            error = probabilities.to(hidden.dtype)
            torch.matmul(error, matrix, out=hidden_gradient[start : start + CHUNK_ROWS])
            if weight_gradient is not None:
                weight_gradient += torch.matmul(error.t(), rows)
        ctx.save_for_backward(hidden_gradient, weight_gradient)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        hidden_gradient, weight_gradient = ctx.saved_tensors
        scale = gradients[0]
        scaled_weight = None if weight_gradient is None else weight_gradient * scale
        return hidden_gradient * scale.to(hidden_gradient.dtype), scaled_weight, None


class TokenLoss:
    """Losses of one forward pass (`batching.collate`) under a causal language model.

    `autocast` is the dtype of the computation where the weights are kept more exact, None to follow them.
    """

    def __init__(self, model: Any, autocast: torch.dtype | None = None) -> None:
        self._model = model.get_base_model() if hasattr(model, "get_base_model") else model
        self._autocast = autocast
        with self._context(next(self._model.parameters()).device):
            self.direct = _head_is_plain(self._model)

    def total(self, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Sum over the targets, with a gradient."""
        if not self.direct:
            return functional.cross_entropy(self._own_logits(batch), batch["targets"], reduction="sum")
        total: torch.Tensor = SummedCrossEntropy.apply(self._hidden(batch), self._head(), batch["targets"])
        return total

    @torch.no_grad()
    def each(self, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Loss of each target, float32 [n], without a gradient."""
        if not self.direct:
            return functional.cross_entropy(self._own_logits(batch), batch["targets"], reduction="none")
        hidden = self._hidden(batch)
        return token_losses(hidden, self._head().to(hidden.dtype), batch["targets"])

    def _head(self) -> torch.Tensor:
        weight: torch.Tensor = self._model.get_output_embeddings().weight
        return weight

    def _context(self, device: torch.device) -> Any:
        return torch.autocast(device.type, dtype=self._autocast, enabled=self._autocast is not None)

    def _hidden(self, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        with self._context(batch["input_ids"].device):
            hidden = self._model.base_model(input_ids=batch["input_ids"], use_cache=False)[0]
        return _selected(hidden, batch).to(self._autocast or hidden.dtype)

    def _own_logits(self, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        with self._context(batch["input_ids"].device):
            logits = self._model(input_ids=batch["input_ids"], use_cache=False).logits
        return _selected(logits, batch).float()


def _selected(values: torch.Tensor, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    return values.reshape(-1, values.shape[-1]).index_select(0, batch["positions"])


@torch.no_grad()
def _head_is_plain(model: Any) -> bool:
    """True where the logits are the last hidden states times the head's weight and nothing more.

    Tried on a few tokens, since capped or scaled logits (Gemma 2, Cohere, Granite) show in no interface.
    """
    head = model.get_output_embeddings()
    if type(head) is not torch.nn.Linear or head.bias is not None:
        return False
    training = model.training
    model.eval()
    ids = torch.arange(8, device=head.weight.device)[None] % head.weight.shape[0]
    logits = model(input_ids=ids, use_cache=False).logits
    hidden = model.base_model(input_ids=ids, use_cache=False)[0]
    model.train(training)
    return hidden.shape[-1] == head.weight.shape[1] and torch.equal(
        functional.linear(hidden, head.weight), logits
    )
