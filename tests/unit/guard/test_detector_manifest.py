"""A manifest is whole or refused; windows cover every token."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corral.admission.detector import shipped_manifest
from corral.core.errors import CorralError
from corral.guard.detector_manifest import MANIFEST_BYTES, parse_manifest, windows
from tests.support.tiny_detector import manifest


def test_the_shipped_manifest_is_sound() -> None:
    shipped = parse_manifest(shipped_manifest())
    assert (shipped.name, shipped.window_tokens, shipped.flag) == (
        "stackone-defender-0.9.4", 256, 0.5
    )  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"name": '"a b"'}, {"name": ""}, {"model": '"00"'}, {"window_tokens": "1"},
        {"overlap_tokens": "9"}, {"flag": "0.95"}, {"flag": "1.0"}, {"block": "0.0"},
        {"temperature": "0.0"}, {"alarms": '["one"]'}, {"calm": "[]"}, {"output": '"relu"'},
        {"extra": "1"}, {"form": '"NFD"'}, {"attack": "-1"}, {"heads": "[]"},
    ],
)  # fmt: skip
def test_what_is_not_sound_is_refused(change: dict[str, str]) -> None:
    parse_manifest(manifest(b"m", b"t").encode())
    with pytest.raises(CorralError) as refused:
        parse_manifest(manifest(b"m", b"t", **change).encode())
    assert refused.value.code == "detector_invalid"


@pytest.mark.parametrize("data", [b"\xff", b"= 1", b"", b"#" * (MANIFEST_BYTES + 1)])
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    with pytest.raises(CorralError) as refused:
        parse_manifest(data)
    assert refused.value.code == "detector_invalid"


@given(st.integers(0, 5000), st.integers(14, 512), st.data())
def test_windows_cover_everything_and_overlap(tokens: int, size: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, size // 2))
    found = windows(tokens, size, overlap)
    assert (found[0][0], found[-1][1]) == (0, tokens)
    assert all(0 <= end - start <= size for start, end in found)
    pairs = itertools.pairwise(found)
    assert all(before[1] - after[0] >= min(overlap, tokens) for before, after in pairs)
