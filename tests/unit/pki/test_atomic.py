"""Files that are whole or not there."""

import os
import stat
from pathlib import Path

import pytest

from corral.core.errors import CorralError
from corral.pki.atomic import write_atomically


def test_mode_and_content_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o777)
    try:
        write_atomically(tmp_path / "a", b"one", mode=0o644)
    finally:
        os.umask(before)
    assert (tmp_path / "a").read_bytes() == b"one"
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o644


def test_what_a_crash_or_an_attacker_left_is_replaced_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / ".a.new").symlink_to(victim)
    (tmp_path / "a").symlink_to(victim)
    write_atomically(tmp_path / "a", b"two", mode=0o600)
    assert victim.read_bytes() == b"precious"
    assert (tmp_path / "a").read_bytes() == b"two"
    assert not (tmp_path / "a").is_symlink()


def test_a_failure_is_typed_and_keeps_the_old(tmp_path: Path) -> None:
    with pytest.raises(CorralError) as refused:
        write_atomically(tmp_path / "none" / "a", b"", mode=0o600)
    assert refused.value.code == "state_write_failed"
