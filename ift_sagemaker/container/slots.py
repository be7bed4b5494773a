"""Continuous decoding: every row has a slot of one cache, joins at any step and leaves when it is done.

The idea of scheduling by iteration is that of Yu et al., "Orca: A Distributed Serving System for
Transformer-Based Generative Models" (OSDI 2022).
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin, DynamicCache, DynamicLayer

from ift_sagemaker.container.adapter_choice import AdapterChoice
from ift_sagemaker.container.generation import GenerationRequest, Growing, context_of
from ift_sagemaker.container.memory import available_bytes
from ift_sagemaker.container.reading import Reader

MAX_ROWS = 64
PREFILL_TOKENS = 512
"""Prompt tokens read between two steps, so that growing answers are not kept waiting long."""
FIRST_CAPACITY = 256
MEMORY_SHARE = 0.25
"""Of the memory that is free when the model has been loaded, what the cache may grow to."""


@dataclass
class _Window:
    """Which part of the slots the forward pass at hand writes to and reads from."""

    rows: Any = None
    columns: Any = None
    seen: Any = None
    capacity: int = FIRST_CAPACITY
    slots: int = 1


class _Layer(CacheLayerMixin):
    """Keys and values of one layer, [slots, heads, capacity, size]."""

    is_sliding = False

    def __init__(self, window: _Window) -> None:
        super().__init__()
        self._window = window

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        self.keys, self.values = self._new(key_states), self._new(value_states)
        self.is_initialized = True

    def _new(self, states: torch.Tensor) -> torch.Tensor:
        shape = self._window.slots, states.shape[1], self._window.capacity, states.shape[3]
        # zeros: what no row has written yet is masked, and masked is not enough for NaN
        return torch.zeros(shape, dtype=states.dtype, device=states.device)

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        *_: Any,
        **__: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        return self._put(self.keys, key_states), self._put(self.values, value_states)

    def _put(self, kept: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
        window = self._window
        if isinstance(window.rows, slice):
            kept[window.rows, :, window.columns] = states
        else:
            kept[window.rows, :, window.columns] = states[:, :, 0]
        rows, columns = window.seen
        return kept[rows, :, columns]

    def resize(self) -> None:
        """Keeps what there is in as many slots of as much capacity as the window says."""
        wanted = self._window.slots, self._window.capacity
        if self.is_initialized and (len(self.keys), self.keys.shape[2]) != wanted:
            self.keys, self.values = self._resized(self.keys), self._resized(self.values)

    def _resized(self, kept: torch.Tensor) -> torch.Tensor:
        new = self._new(kept)
        slots, capacity = min(len(new), len(kept)), min(new.shape[2], kept.shape[2])
        new[:slots, :, :capacity] = kept[:slots, :, :capacity]
        return new

    def move(self, source: int, target: int, length: int) -> None:
        for kept in (self.keys, self.values):
            kept[target, :, :length] = kept[source, :, :length]

    @property
    def token_bytes(self) -> int:
        """What one token of one row takes."""
        return sum(kept.shape[1] * kept.shape[3] * kept.element_size() for kept in (self.keys, self.values))

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return query_length, 0

    def get_seq_length(self) -> int:
        return 0

    def get_max_length(self) -> int:
        return -1


class SlotDecoder:
    """Takes new requests between any two steps, as far as slots and memory go."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        stop_ids: Collection[int],
        adapters: AdapterChoice | None = None,
        memory_bytes: int | None = None,
    ) -> None:
        self._model, self._reader = model, Reader(tokenizer, stop_ids)
        self._adapters = adapters
        self._rows: list[Growing] = []
        self._window = _Window()
        self._layers = [_Layer(self._window) for _ in DynamicCache(config=model.config).layers]
        self._cache = Cache(layers=self._layers)
        self._memory = memory_bytes or int(available_bytes(model.device) * MEMORY_SHARE)
        self._keeps = "logits_to_keep" in inspect.signature(model.forward).parameters

    @staticmethod
    def holds(model: Any) -> bool:
        """Whether the memory of a model is plain keys and values, which slots can hold."""
        layers = DynamicCache(config=model.config).layers
        takes = inspect.signature(model.forward).parameters
        return (
            bool(layers)
            and all(type(layer) is DynamicLayer for layer in layers)
            and {"position_ids", "past_key_values", "attention_mask"} <= set(takes)
            and not model.config.is_encoder_decoder
            and getattr(model.config, "_attn_implementation", None) in ("sdpa", "eager")
        )

    @property
    def context(self) -> int | None:
        return context_of(self._model)

    @property
    def active(self) -> int:
        return len(self._rows)

    def room(self, requests: Sequence[GenerationRequest]) -> int:
        count, prompts, capacity = 0, 0, self._window.capacity if self._rows else FIRST_CAPACITY
        for request in requests[: MAX_ROWS - len(self._rows)]:
            prompts += len(request.prompt)
            capacity = max(capacity, self._capacity_for(request))
            slots = _power(len(self._rows) + count + 1)
            # a prompt over the portion joins alone: to wait until nothing grows would keep all behind it too
            if count and prompts > PREFILL_TOKENS:
                break
            if (self._rows or count) and slots * capacity > self._most_tokens:
                break
            count += 1
        return count

    @property
    def _most_tokens(self) -> int:
        """How many tokens the cache may have room for."""
        if not self._layers[0].is_initialized:
            return MAX_ROWS * FIRST_CAPACITY
        return self._memory // sum(layer.token_bytes for layer in self._layers)

    @torch.inference_mode()
    def admit(self, rows: Sequence[Growing]) -> list[Growing]:
        if not rows:
            return []
        self._make_room([row.request for row in rows])
        first, width = len(self._rows), max(len(row.request.prompt) for row in rows)
        place, device = slice(first, first + len(rows)), self._model.device
        window = self._window
        window.rows, window.columns = place, slice(0, width)
        window.seen = place, slice(0, width)
        # padded on the right: nothing looks to the right, and what is written there is written over
        padded = [list(row.request.prompt) + [0] * (width - len(row.request.prompt)) for row in rows]
        positions = torch.arange(width, device=device).expand(len(rows), -1)
        causal = torch.full((width, width), -torch.inf, dtype=self._model.dtype, device=device).triu(1)
        last = torch.tensor([len(row.request.prompt) - 1 for row in rows], device=device)
        logits = self._last_logits(
            rows, torch.tensor(padded, device=device), positions, causal[None, None], last
        )
        self._rows.extend(rows)
        try:
            return self._take(logits, first)
        except BaseException:
            del self._rows[first:]
            raise

    @torch.inference_mode()
    def step(self) -> list[Growing]:
        if not self._rows:
            return []
        count, device = len(self._rows), self._model.device
        places = torch.tensor([row.length - 1 for row in self._rows], device=device)
        length = max(row.length for row in self._rows)
        window = self._window
        window.rows, window.columns = torch.arange(count, device=device), places
        window.seen = slice(0, count), slice(0, length)
        beyond = torch.arange(length, device=device)[None, :] > places[:, None]
        mask = torch.zeros(beyond.shape, dtype=self._model.dtype, device=device)
        mask.masked_fill_(beyond, -torch.inf)
        tokens = torch.tensor([[row.tokens[-1]] for row in self._rows], device=device)
        last = torch.zeros(count, dtype=torch.long, device=device)
        return self._take(
            self._last_logits(self._rows, tokens, places[:, None], mask[:, None, None], last), 0
        )

    def clear(self) -> None:
        self._rows = []

    def _last_logits(
        self,
        rows: Sequence[Growing],
        inputs: torch.Tensor,
        positions: torch.Tensor,
        mask: torch.Tensor,
        last: torch.Tensor,
    ) -> torch.Tensor:
        """Logits [rows, vocabulary] after column `last` [rows] of the inputs [rows, width]."""
        wanted, where = last.unique(return_inverse=True)
        model = self._model if self._adapters is None else self._adapters.over(rows)
        output = model(
            input_ids=inputs,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=self._cache,
            use_cache=True,
            **({"logits_to_keep": wanted} if self._keeps else {}),
        )
        column = where if self._keeps else last
        logits: torch.Tensor = output.logits[torch.arange(len(last), device=last.device), column]
        return logits

    def _take(self, logits: torch.Tensor, first: int) -> list[Growing]:
        """Gives the rows from `first` on their tokens; those that are finished leave their slots."""
        rows = self._rows[first:]
        finished = []
        for row, token in zip(rows, self._reader.choose(logits, rows), strict=True):
            if self._reader.take(row, token):
                finished.append(row)
        for row in finished:
            self._leave(self._rows.index(row))
        return finished

    def _leave(self, place: int) -> None:
        """The last row takes the place, so that all slots in use lie side by side."""
        last = self._rows.pop()
        if place < len(self._rows):
            self._rows[place] = last
            for layer in self._layers:
                layer.move(len(self._rows), place, last.length)

    def _capacity_for(self, request: GenerationRequest) -> int:
        return _power(len(request.prompt) + request.max_new_tokens)

    def _make_room(self, requests: Sequence[GenerationRequest]) -> None:
        wanted = [FIRST_CAPACITY, *map(self._capacity_for, requests)]
        slots = _power(len(self._rows) + len(requests))
        window = self._window
        if self._rows:
            wanted, slots = [*wanted, window.capacity], max(slots, window.slots)
        capacity = max(wanted)
        window.slots, window.capacity = slots, capacity
        # each layer by what it has: where memory ran out in the middle, the rest is caught up on here
        for layer in self._layers:
            layer.resize()


def _power(count: int) -> int:
    """The least power of two that is not below `count`."""
    return 1 << max(0, count - 1).bit_length()
