"""Speed of counting tokens, beside the tokenizer's own batch call on the same texts in the same run.

    python tests/benchmarks/tokens.py TOKENIZER [--rows N] [--repeats N]

TOKENIZER is a folder with tokenizer.json and a chat template. Rows are generated with a seed. `batch` is
`Tokenizer.encode_batch` alone on texts that are rendered already; `count` is `TokenCounter.count` on the same
texts; `rows` is all that `ift data stats --exact` does: chat template, tokens up to the end of the answer,
histogram, packing and over-long rows. Prints medians over alternating runs; nothing is asserted.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable

from tokenizers import Tokenizer

from ift_sagemaker.data import ModelTokenizer, TokenCounter
from ift_sagemaker.data.tokens.statistics import token_stats
from ift_sagemaker.wire.rows import Message

MAX_LENGTH = 256
WORDS = 5_000


def _conversations(count: int) -> list[list[Message]]:
    rng = random.Random(0)
    letters = "etaoinshrdlucmfwyp"
    words = ["".join(rng.choices(letters, k=rng.randint(2, 9))) for _ in range(WORDS)]

    def text(least: int, most: int) -> str:
        return " ".join(rng.choices(words, k=rng.randint(least, most)))

    return [
        [Message(role="user", content=text(10, 80)), Message(role="assistant", content=text(5, 40))]
        for _ in range(count)
    ]


def _rates(work: Callable[[], int]) -> tuple[float, float]:
    """Tokens for each second of wall time, and of CPU time."""
    wall, cpu = time.perf_counter(), time.process_time()
    tokens = work()
    return tokens / (time.perf_counter() - wall), tokens / (time.process_time() - cpu)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("tokenizer")
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    tokenizer = ModelTokenizer(arguments.tokenizer)
    counter, bare = TokenCounter(tokenizer), Tokenizer.from_str(tokenizer.rust.to_str())
    conversations = _conversations(arguments.rows)
    lines = range(1, len(conversations) + 1)
    texts = [tokenizer.encoder.rendered(messages) for messages in conversations]
    works: dict[str, Callable[[], int]] = {
        "batch": lambda: sum(map(len, bare.encode_batch(texts, add_special_tokens=False))),
        "count": lambda: sum(counter.count(texts)),
        "rows": lambda: token_stats(conversations, lines, counter, max_length=MAX_LENGTH, sample=None).total,
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
    for _ in range(arguments.repeats):
        for name, work in works.items():
            found[name].append(_rates(work))
    for name, rates in found.items():
        pairs = list(zip(rates, found["batch"], strict=True))
        figures = (
            f"{kind} {statistics.median(rate[place] for rate in rates) / 1e6:.2f} M tokens/s "
            f"({statistics.median(rate[place] / own[place] for rate, own in pairs):.2f} of batch)"
            for place, kind in enumerate(("wall", "CPU"))
        )
        print(f"{name:5} {', '.join(figures)}")


if __name__ == "__main__":
    main()
