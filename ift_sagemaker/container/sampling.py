"""How the next token is chosen from its logits: penalties, biases, what is left out, and the dice.

In the order of vLLM's sampler: bias and forbidden ends, penalties, temperature, then min_p, top_k, top_p.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import torch

from ift_sagemaker.container.generation import GenerationRequest

_COLDEST = torch.finfo(torch.float32).tiny
"""What a temperature counts at least: below it float32 would divide 0 by 0."""


class Chooser:
    """What one request chooses by; remembers its dice and the tokens that it is penalised for.

    `ends` are the tokens that may not come before `min_tokens`. Equal seeds give equal choices.
    """

    def __init__(self, request: GenerationRequest, ends: Collection[int], logits: torch.Tensor) -> None:
        self._request, device = request, logits.device
        self._ends = torch.tensor(sorted(ends), dtype=torch.long, device=device)
        biases = dict(request.logit_bias)
        self._biased = torch.tensor([*biases], dtype=torch.long, device=device)
        self._biases = torch.tensor([*biases.values()], dtype=torch.float32, device=device)
        self._counts = torch.zeros_like(logits) if _counts(request) else None
        self._seen = torch.zeros_like(logits, dtype=torch.bool) if request.repetition_penalty != 1 else None
        if self._seen is not None:
            self._seen[torch.tensor(list(request.prompt), dtype=torch.long, device=device)] = True
        self._read = 0
        self._dice = _dice(request, device) if request.temperature else None

    def choose(self, logits: torch.Tensor, tokens: Sequence[int]) -> int:
        """The token after the answer `tokens`, from its float32 `logits`, left as they are."""
        self._remember(tokens)
        request, logits = self._request, logits.clone()
        if len(tokens) < request.min_tokens:
            logits[self._ends] = -math.inf
        logits[self._biased] += self._biases
        if self._seen is not None:
            logits = repetition_penalised(logits, self._seen, request.repetition_penalty)
        if self._counts is not None:
            logits -= request.frequency_penalty * self._counts
            logits -= request.presence_penalty * (self._counts > 0)
        if self._dice is None:
            return int(logits.argmax())
        # the highest is taken off first: else a low temperature could divide to infinity
        logits = (logits - logits.max()) / max(request.temperature, _COLDEST)
        logits = kept_min_p(logits, request.min_p)
        logits = kept_top_k(logits, request.top_k)
        logits = kept_top_p(logits, request.top_p)
        return int(torch.multinomial(torch.softmax(logits, dim=-1), 1, generator=self._dice))

    def _remember(self, tokens: Sequence[int]) -> None:
        for token in tokens[self._read :]:
            if self._counts is not None:
                self._counts[token] += 1
            if self._seen is not None:
                self._seen[token] = True
        self._read = len(tokens)


def repetition_penalised(logits: torch.Tensor, seen: torch.Tensor, penalty: float) -> torch.Tensor:
    """Logits of what was `seen` (booleans) made smaller: divided where above 0, else multiplied."""
    punished = torch.where(logits > 0, logits / penalty, logits * penalty)
    return torch.where(seen, punished, logits)


def kept_min_p(logits: torch.Tensor, share: float) -> torch.Tensor:
    """-inf where a token is less than `share` times as likely as the likeliest."""
    if share <= 0:
        return logits
    likelihoods = torch.softmax(logits, dim=-1)
    return logits.masked_fill(likelihoods < share * likelihoods.max(), -math.inf)


def kept_top_k(logits: torch.Tensor, count: int) -> torch.Tensor:
    """-inf where a token is less likely than the `count` likeliest; 0 keeps all."""
    if not 0 < count < len(logits):
        return logits
    return logits.masked_fill(logits < logits.topk(count).values[-1], -math.inf)


def kept_top_p(logits: torch.Tensor, share: float) -> torch.Tensor:
    """-inf outside the fewest tokens that together are at least `share` likely."""
    if share >= 1:
        return logits
    ordered, places = logits.sort()
    # summed from the unlikeliest on, where float32 is finest; the likeliest always stays
    outside = torch.softmax(ordered, dim=-1).cumsum(0) <= 1 - share
    outside[-1] = False
    return logits.masked_fill(torch.zeros_like(outside).scatter_(0, places, outside), -math.inf)


def _counts(request: GenerationRequest) -> bool:
    return bool(request.frequency_penalty or request.presence_penalty)


def _dice(request: GenerationRequest, device: torch.device) -> torch.Generator:
    generator = torch.Generator(device=device)
    if request.seed is None:
        generator.seed()
    else:
        generator.manual_seed(request.seed)
    return generator
