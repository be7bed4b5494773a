"""boto3 over HTTP, from an environment that knows nothing of this project."""

from __future__ import annotations

import pytest

from tests.clients.conftest import ROLE, SERVING_IMAGE, TRAINING_IMAGE, Clients, model

pytestmark = [pytest.mark.clients, pytest.mark.bwrap]


def test_boto3_runs_the_chain_with_its_own_waiters_and_paginators(clients: Clients) -> None:
    weights = model().uri(model().weights_prefix)
    told = clients.script("boto3_chain", ROLE, weights, TRAINING_IMAGE, SERVING_IMAGE).told
    assert told["identity"] == "arn:aws:sts::123456789012:assumed-role/ift-local/chain"
    assert told["status"] == "Completed"
    assert told["metrics"] == {"rate": 0.5}
    assert told["listed"] == ["chain"]
    assert "learning rate 0.5" in told["lines"]
    assert len(told["sizes"]) == 1, "the object came back in another size"
    assert told["sizes"][0] > 9 << 20
    assert told["variant"] == "one"
    assert told["choices"] == 1
