"""Decoding in rounds: requests that start together, for a model with any kind of memory."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Sequence
from typing import Any

import torch

from ift_sagemaker.container.adapter_choice import AdapterChoice
from ift_sagemaker.container.generation import GenerationRequest, Growing, context_of
from ift_sagemaker.container.reading import Reader

MAX_BATCH = 16


class RoundDecoder:
    """Takes new requests once all that it had are answered; the memory is the model's own."""

    def __init__(
        self, model: Any, tokenizer: Any, stop_ids: Collection[int], adapters: AdapterChoice | None = None
    ) -> None:
        self._model, self._reader = model, Reader(tokenizer, stop_ids)
        self._adapters = adapters
        accepted = inspect.signature(model.forward).parameters
        self._takes_positions = "position_ids" in accepted
        self._extra = {"logits_to_keep": 1} if "logits_to_keep" in accepted else {}
        self._rows: list[Growing] = []
        self._inputs = self._mask = torch.zeros(0, 0, dtype=torch.long)
        self._cache: Any = None

    @property
    def context(self) -> int | None:
        return context_of(self._model)

    @property
    def active(self) -> int:
        return len(self._rows)

    def room(self, requests: Sequence[GenerationRequest]) -> int:
        return 0 if self._rows else min(MAX_BATCH, len(requests))

    def admit(self, rows: Sequence[Growing]) -> list[Growing]:
        if not rows:
            return []
        self._rows = list(rows)
        try:
            self._inputs, self._mask = self._padded([row.request for row in rows])
            return self.step()
        except BaseException:
            self.clear()
            raise

    def clear(self) -> None:
        self._rows, self._cache = [], None

    @torch.inference_mode()
    def step(self) -> list[Growing]:
        if not self._rows:
            return []
        tokens = self._reader.choose(self._forward(), self._rows)
        done = [self._reader.take(row, token) for row, token in zip(self._rows, tokens, strict=True)]
        finished = [row for row, is_done in zip(self._rows, done, strict=True) if is_done]
        kept = [place for place, is_done in enumerate(done) if not is_done]
        self._go_on([tokens[place] for place in kept], kept)
        return finished

    def _padded(self, requests: Sequence[GenerationRequest]) -> tuple[torch.Tensor, torch.Tensor]:
        """Prompts padded on the left, so that all go on at the same column, and their mask."""
        width = max(len(request.prompt) for request in requests)
        input_ids = torch.zeros(len(requests), width, dtype=torch.long)
        mask = torch.zeros(len(requests), width, dtype=torch.long)
        for row, request in enumerate(requests):
            start = width - len(request.prompt)
            input_ids[row, start:] = torch.tensor(list(request.prompt), dtype=torch.long)
            mask[row, start:] = 1
        return input_ids.to(self._model.device), mask.to(self._model.device)

    def _forward(self) -> torch.Tensor:
        """Logits after the last token, [rows, vocabulary]; the cache has grown by the inputs."""
        positions = (self._mask.cumsum(1) - 1).clamp(min=0)[:, -self._inputs.shape[1] :]
        model = self._model if self._adapters is None else self._adapters.over(self._rows)
        output = model(
            input_ids=self._inputs,
            attention_mask=self._mask,
            past_key_values=self._cache,
            use_cache=True,
            **({"position_ids": positions} if self._takes_positions else {}),
            **self._extra,
        )
        self._cache = output.past_key_values
        logits: torch.Tensor = output.logits[:, -1].float()
        return logits

    def _go_on(self, tokens: Sequence[int], kept: Sequence[int]) -> None:
        """Inputs of the next step; rows that have finished are taken out."""
        if not kept:
            self.clear()
            return
        if len(kept) < len(self._rows):
            places = torch.tensor(kept, device=self._mask.device)
            self._mask = self._mask[places]
            self._cache.batch_select_indices(places)
            self._rows = [self._rows[place] for place in kept]
        self._inputs = torch.tensor(tokens, device=self._mask.device)[:, None]
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(self._mask), 1)], dim=1)
