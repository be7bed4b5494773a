"""The whole path in an account of one's own. It costs money, and runs only where that is asked for:

    python -m pytest tests/live --aws 4.00

`--aws` is the most it may cost in USD; credentials, region, IFT_ROLE and IFT_BUCKET are those of the library.
"""

from __future__ import annotations

import pytest

from ift_sagemaker import connect
from ift_sagemaker.data import InstructionDataset
from tests.live import story

pytestmark = [pytest.mark.live, pytest.mark.enable_socket, pytest.mark.timeout(3 * story.HOUR)]


def test_rows_become_answers_on_aws_within_the_limit(request: pytest.FixtureRequest) -> None:
    most_usd = float(request.config.getoption("--aws"))
    rows = InstructionDataset.read("examples/data/customer_support.jsonl")
    story.tell(connect("aws"), rows, most_usd)
