"""What a fetch job that was taken over may not say."""

import pytest

from corral.admission.fetch.wire import Arrived, Refused, encode, parse_from_job, parse_request


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"nonsense",
        b"[" * 100_000,
        b'{"ev":"unknown"}',
        b'{"ev":"moved","done_bytes":-1,"total_bytes":0}',
        b'{"ev":"moved","done_bytes":1,"total_bytes":0,"x":1}',
        encode(Refused("made_up", "text")),
        encode(Refused("too_large", "a\x1b[2Jb")),
        encode(Refused("too_large", "a" * 500)),
        encode(Arrived(1, "zz", "https://h/")),
        encode(Arrived(1, "a" * 64, "https://h/\x1b")),
        encode(Arrived(1, "a" * 64, "https://h/", revision="../..")),
    ],
)
def test_refused(line: bytes) -> None:
    assert parse_from_job(line) is None


def test_a_request_is_checked() -> None:
    assert parse_request(b"{}") is None
    assert parse_request(b"\xff") is None
