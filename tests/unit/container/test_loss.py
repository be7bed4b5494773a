from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional
from transformers import Gemma2Config, Gemma2ForCausalLM

from ift_sagemaker.container.batching import collate, make_passes
from ift_sagemaker.container.encoding import EncodedRow
from ift_sagemaker.container.loss import CHUNK_ROWS, SummedCrossEntropy, TokenLoss, token_losses
from tests.unit.container.tiny import encoded, make_model

ROWS = encoded(
    [("a", "green"), ("Name the colour of grass.", "green"), ("two", "What is two and two? four"), ("x", "y")]
)


def reference_loss(model: Any, rows: list[EncodedRow]) -> torch.Tensor:
    """Mean cross-entropy over all trained tokens, one row at a time, written as plainly as can be."""
    losses = []
    for row in rows:
        ids = torch.tensor(row.ids.tolist())
        logits = model(input_ids=ids[None], use_cache=False).logits[0]
        for start, end in row.trained:
            losses += [functional.cross_entropy(logits[place - 1], ids[place]) for place in range(start, end)]
    return torch.stack(losses).mean()


def gradients(model: Any) -> dict[str, torch.Tensor]:
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("rows_per_pass", [1, 2, 4])
def test_loss_and_gradient_equal_the_plain_reference(*, tied: bool, rows_per_pass: int) -> None:
    model = make_model(tied=tied)
    wanted = reference_loss(model, ROWS)
    wanted.backward()
    wanted_gradients = gradients(model)
    model.zero_grad()
    loss, targets = TokenLoss(model), sum(row.trained_count for row in ROWS)
    total = 0.0
    for batch in make_passes(ROWS, rows_per_pass, 0):
        part = loss.total(batch) / targets
        part.backward()
        total += part.item()
    assert loss.direct
    assert total == pytest.approx(wanted.item(), rel=1e-5)
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(gradient, wanted_gradients[name], rtol=1e-3, atol=1e-5)


def test_the_chunked_gradient_is_that_of_torchs_cross_entropy() -> None:
    generator = torch.Generator().manual_seed(0)
    count = 2 * CHUNK_ROWS + 3
    hidden = torch.randn(count, 8, generator=generator).requires_grad_()
    weight = torch.randn(11, 8, generator=generator).requires_grad_()
    targets = torch.randint(0, 11, (count,), generator=generator)
    plain = functional.cross_entropy(hidden @ weight.t(), targets, reduction="sum")
    wanted = torch.autograd.grad(3 * plain, [hidden, weight])
    chunked = SummedCrossEntropy.apply(hidden, weight, targets)
    found = torch.autograd.grad(3 * chunked, [hidden, weight])
    torch.testing.assert_close(chunked, plain, rtol=1e-5, atol=1e-3)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(token_losses(hidden, weight, targets).sum(), plain, rtol=1e-5, atol=1e-3)


def test_rows_of_a_pass_do_not_see_each_other() -> None:
    loss = TokenLoss(make_model())
    together = collate(ROWS)
    each = loss.each(together)
    for number, row in enumerate(ROWS):
        alone = loss.each(collate([row]))
        torch.testing.assert_close(each[together["owners"] == number], alone, rtol=1e-5, atol=1e-5)


def test_a_neighbour_changes_nothing_not_even_the_gradient() -> None:
    model = make_model()
    loss = TokenLoss(model)
    batch = collate([ROWS[0], ROWS[2]])
    keep = batch["owners"] == 0
    first_only = batch | {"positions": batch["positions"][keep], "targets": batch["targets"][keep]}
    loss.total(first_only).backward()
    beside = gradients(model)
    model.zero_grad()
    loss.total(collate([ROWS[0]])).backward()
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(gradient, beside[name], rtol=1e-3, atol=1e-5)


def test_a_model_that_caps_its_logits_is_not_given_the_plain_head() -> None:
    torch.manual_seed(0)
    config = Gemma2Config(
        vocab_size=300,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        final_logit_softcapping=2.0,
        initializer_range=0.5,
    )
    model = Gemma2ForCausalLM(config).eval()
    loss = TokenLoss(model)
    batch = collate(ROWS)
    assert not loss.direct
    mean = loss.total(batch) / sum(row.trained_count for row in ROWS)
    torch.testing.assert_close(mean, reference_loss(model, ROWS), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(loss.each(batch).mean(), mean)


def test_autocast_keeps_float32_gradients_close_to_the_exact_ones() -> None:
    model = make_model()
    TokenLoss(model).total(collate(ROWS)).backward()
    exact = gradients(model)
    model.zero_grad()
    TokenLoss(model, torch.bfloat16).total(collate(ROWS)).backward()
    for name, gradient in gradients(model).items():
        assert gradient.dtype == torch.float32
        assert (gradient - exact[name]).norm() < 0.1 * exact[name].norm() + 1e-3
