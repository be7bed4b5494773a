"""CRCs of joined bytes out of those of the pieces, against the definition of a CRC, bit by bit."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ift_sagemaker.local.s3.combining import COMBINABLE, combined

# algorithm -> polynomial with its bits reversed, width, and the CRC of "123456789" as the catalogues have it
CRCS = {
    "crc32": (0xEDB88320, 32, 0xCBF43926),
    "crc32c": (0x82F63B78, 32, 0xE3069283),
    "crc64nvme": (0x9A6C9329AC4BC9B5, 64, 0xAE8B14860A799888),
}


def crc(algorithm: str, data: bytes) -> bytes:
    polynomial, width, _ = CRCS[algorithm]
    ones = value = (1 << width) - 1
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (polynomial if value & 1 else 0)
    return (value ^ ones).to_bytes(width // 8, "big")


@pytest.mark.parametrize("algorithm", COMBINABLE)
def test_the_definition_gives_the_published_check_value(algorithm: str) -> None:
    assert int.from_bytes(crc(algorithm, b"123456789"), "big") == CRCS[algorithm][2]


@given(st.sampled_from(COMBINABLE), st.lists(st.binary(max_size=40), max_size=6))
def test_the_combined_crc_is_that_of_the_joined_bytes(algorithm: str, pieces: list[bytes]) -> None:
    found = combined(algorithm, [(crc(algorithm, piece), len(piece)) for piece in pieces])
    assert found == crc(algorithm, b"".join(pieces))


def test_pieces_of_many_bytes_are_combined_as_zlib_would() -> None:
    pieces = [bytes([number]) * (1 << 20) for number in range(3)]
    found = combined("crc32", [(zlib.crc32(piece).to_bytes(4, "big"), len(piece)) for piece in pieces])
    assert found == zlib.crc32(b"".join(pieces)).to_bytes(4, "big")
