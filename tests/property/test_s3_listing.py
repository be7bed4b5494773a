"""Listings of S3, page by page, against the plain definition of what a listing is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from ift_sagemaker.local.s3.listing import after_marker, list_page, start_of, token
from ift_sagemaker.local.s3.objects import successor
from ift_sagemaker.local.s3.records import Attributes, StoredObject

KEYS = st.lists(st.text(alphabet="ab/-é\U0001f600\uffff", min_size=1, max_size=6), unique=True, max_size=25)
PREFIXES = st.text(alphabet="ab/é", max_size=2)
DELIMITERS = st.sampled_from(["", "/", "a", "ab", "é"])


class Keys:
    """Objects with the given keys, scanned as the object store scans."""

    def __init__(self, keys: Sequence[str]) -> None:
        self.keys = sorted(keys, key=str.encode)
        self.scans = 0

    def __call__(self, prefix: str, start: bytes, limit: int) -> list[StoredObject]:
        self.scans += 1
        fitting = (key for key in self.keys if key.startswith(prefix) and key.encode() >= start)
        return [stored(key) for key in fitting][:limit]


def stored(key: str) -> StoredObject:
    return StoredObject("bkt", key, Path("/nowhere"), 0, "e", 0.0, Attributes(), {})


def expected(keys: Sequence[str], prefix: str, delimiter: str) -> list[str]:
    """Keys and common prefixes, each once, in the order of their bytes."""
    found = set()
    for key in keys:
        if key.startswith(prefix):
            rest = key[len(prefix) :]
            rolled = delimiter and delimiter in rest
            found.add(prefix + rest[: rest.index(delimiter) + len(delimiter)] if rolled else key)
    return sorted(found, key=str.encode)


def walk(scan: Keys, prefix: str, delimiter: str, size: int) -> list[list[str]]:
    pages = []
    start = b""
    while True:
        page = list_page(scan, prefix, delimiter, start, size)
        names = [found.key for found in page.contents] + list(page.prefixes)
        pages.append(sorted(names, key=str.encode))
        if page.next_start is None:
            return pages
        start = start_of(token(page.next_start))


@given(KEYS, PREFIXES, DELIMITERS, st.integers(1, 8))
def test_all_pages_together_are_the_listing_in_order_and_only_the_last_is_short(
    keys: list[str], prefix: str, delimiter: str, size: int
) -> None:
    pages = walk(Keys(keys), prefix, delimiter, size)
    assert [name for page in pages for name in page] == expected(keys, prefix, delimiter)
    assert all(len(page) == size for page in pages[:-1])
    assert len(pages) == 1 or pages[-1]


@given(KEYS, PREFIXES, DELIMITERS, st.integers(1, 8))
def test_markers_of_the_first_version_walk_the_same_listing(
    keys: list[str], prefix: str, delimiter: str, size: int
) -> None:
    found: list[str] = []
    marker = ""
    while True:
        page = list_page(Keys(keys), prefix, delimiter, after_marker(marker, prefix, delimiter), size)
        names = sorted([item.key for item in page.contents] + list(page.prefixes), key=str.encode)
        found += names
        if page.next_start is None:
            break
        marker = names[-1]
    assert found == expected(keys, prefix, delimiter)


@given(st.integers(1, 300))
def test_a_common_prefix_is_passed_in_a_fixed_number_of_scans(inside: int) -> None:
    scan = Keys([f"a/{number}" for number in range(inside)] + ["b"])
    page = list_page(scan, "", "/", b"", 10)
    assert (page.prefixes, [found.key for found in page.contents]) == (("a/",), ["b"])
    assert scan.scans <= 2


@given(st.text(alphabet="ab\U0010ffff\uffff\x7fé", min_size=1, max_size=5), st.text(max_size=5))
def test_the_successor_is_above_every_key_with_the_prefix_and_no_other(prefix: str, rest: str) -> None:
    bound = successor(prefix.encode())
    assert (prefix + rest).encode() < bound
    assert not (rest.encode() >= prefix.encode() and rest.encode() < bound) or rest.startswith(prefix)
