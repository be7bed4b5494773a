"""Text that is spelt token by token is the text that all the tokens together have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from ift_sagemaker.container.spelling import GrowingText, Speller, Spelling
from tests.unit.container.tiny import make_tokenizer

WORDS = ["▁", "▁a", "b", "▁the", "é", "€", "�", "▁▁", ".", "'s", "##ing", "##b", "c</w>", "d</w>", "🙂"]
FALLBACK = [f"<0x{byte:02X}>" for byte in range(256)]
LLAMA = [
    decoders.Replace("▁", " "),
    decoders.ByteFallback(),
    decoders.Fuse(),
    decoders.Strip(content=" ", left=1),
]


def worded(decoder: Any) -> Any:
    vocabulary = {text: place for place, text in enumerate([*WORDS, *FALLBACK])}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="."))
    raw.decoder = decoder
    raw.add_special_tokens([AddedToken("<s>", special=True)])
    return PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<s>")


TOKENIZERS = {
    "byte-level": make_tokenizer(),
    "sentencepiece": worded(decoders.Sequence(LLAMA)),
    "metaspace": worded(decoders.Metaspace()),
    "wordpiece": worded(decoders.WordPiece()),
    "bpe": worded(decoders.BPEDecoder()),
}
SPELLERS = {name: Speller(tokenizer) for name, tokenizer in TOKENIZERS.items()}
EURO = [f"<0x{byte:02X}>" for byte in "é€🙂".encode()]


def spelt(speller: Speller, tokens: Sequence[int]) -> tuple[list[str], str]:
    spelling = Spelling(speller)
    return [spelling.add(token) for token in tokens], spelling.open


@pytest.mark.parametrize("name", SPELLERS)
@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_the_pieces_joined_are_the_text_of_all_the_tokens(name: str, data: Any) -> None:
    size = len(TOKENIZERS[name])
    tokens = data.draw(st.lists(st.integers(0, size - 1), max_size=60))
    pieces, rest = spelt(SPELLERS[name], tokens)
    assert "".join(pieces) + rest == SPELLERS[name].text(tokens)


@settings(deadline=None, max_examples=200)
@given(text=st.text(max_size=30), noise=st.lists(st.integers(3, 258), max_size=8), place=st.integers(0, 30))
def test_what_is_settled_is_never_taken_back(text: str, noise: list[int], place: int) -> None:
    tokens = TOKENIZERS["byte-level"](text)["input_ids"]
    tokens[place:place] = noise
    whole, told = SPELLERS["byte-level"].text(tokens), ""
    for piece in spelt(SPELLERS["byte-level"], tokens)[0]:
        told += piece
        assert whole.startswith(told)


@settings(deadline=None)
@given(text=st.text(st.characters(exclude_characters="\ufffd", codec="utf-8"), min_size=1, max_size=30))
def test_a_whole_text_of_bytes_is_settled_character_by_character(text: str) -> None:
    raw = TOKENIZERS["byte-level"]
    pieces, rest = spelt(SPELLERS["byte-level"], raw(text)["input_ids"])
    assert ("".join(pieces), rest) == (text, "")
    assert all("\ufffd" not in piece for piece in pieces)


def test_bytes_of_a_character_are_told_when_their_run_has_ended() -> None:
    raw = TOKENIZERS["sentencepiece"]
    tokens = raw.convert_tokens_to_ids(["▁a", *EURO, "b"])
    pieces, rest = spelt(SPELLERS["sentencepiece"], tokens)
    assert ([piece for piece in pieces if piece], rest) == (["a", "é€🙂b"], "")


class CountingTokenizer:
    """Counts the tokens that it decodes."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.decoded = inner, 0
        self.added_tokens_decoder = inner.added_tokens_decoder

    def get_vocab(self) -> Any:
        return self.inner.get_vocab()

    def decode(self, tokens: Sequence[int], **options: Any) -> Any:
        self.decoded += len(tokens)
        return self.inner.decode(tokens, **options)


@pytest.mark.parametrize("kind", ["text", "half characters", "special tokens"])
def test_a_text_four_times_as_long_costs_four_times_as_much(kind: str) -> None:
    costs = []
    for count in (250, 1000):
        counting = CountingTokenizer(make_tokenizer())
        half = counting.inner("é")["input_ids"][0]
        token = {"text": counting.inner("a")["input_ids"][0], "half characters": half, "special tokens": 2}
        text = GrowingText(Speller(counting), ("never said",))
        for _ in range(count):
            text.add(token[kind], is_free=False)
        costs.append(counting.decoded)
    assert costs[1] <= 4.5 * costs[0]


@settings(deadline=None, max_examples=200)
@given(
    text=st.text("aéb🙂", max_size=20), stops=st.lists(st.text("aéb🙂", min_size=1, max_size=4), max_size=3)
)
def test_a_text_is_cut_before_its_first_stop_as_soon_as_it_is_there(text: str, stops: list[str]) -> None:
    growing, raw = GrowingText(SPELLERS["byte-level"], stops), TOKENIZERS["byte-level"]
    tokens = raw(text)["input_ids"]
    for count, token in enumerate(tokens, start=1):
        growing.add(token, is_free=False)
        so_far = SPELLERS["byte-level"].text(tokens[:count])
        places = [place for stop in stops if (place := so_far.find(stop)) >= 0]
        assert growing.is_cut == bool(places)
        if places:
            assert growing.whole == so_far[: min(places)]
            break
    else:
        assert growing.whole == text
