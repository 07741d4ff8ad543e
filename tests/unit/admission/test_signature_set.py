"""What a fetch job that was taken over may not hand out as signatures."""

import pytest

from corral.admission.signature_set import (
    SET_BYTES,
    SignatureSet,
    SimpleSignature,
    encode_set,
    parse_set,
)

SOUND = SignatureSet("a" * 64, (SimpleSignature(b"x", "eA=="),), (b"y",))


def test_a_sound_set() -> None:
    assert parse_set(encode_set(SOUND)) == SOUND


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b"[" * 100_000,
        b" " * (SET_BYTES + 1),
        encode_set(SignatureSet("A" * 64)),
        encode_set(SignatureSet("a" * 64, (SimpleSignature(b"x", "e" * 2000),))),
        encode_set(SignatureSet("a" * 64, (), (b"y",) * 17)),
        encode_set(SignatureSet("a" * 64, (), (bytes(2 << 20),))),
        encode_set(SOUND)[:-1] + b',"more":1}',
    ],
)
def test_refused(raw: bytes) -> None:
    assert parse_set(raw) is None
