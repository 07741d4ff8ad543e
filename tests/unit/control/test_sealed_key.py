from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from corral.control.sealed_key import key_memory, seal_key


def test_it_is_memory_that_nobody_changes_and_no_exec_keeps_by_itself() -> None:
    fd = seal_key(key_memory(), b"k" * 32)
    changes: tuple[Callable[[], object], ...] = (
        lambda: os.pwrite(fd, b"x", 0),
        lambda: os.ftruncate(fd, 0),
        lambda: os.ftruncate(fd, 64),
    )
    try:
        for change in changes:
            with pytest.raises(PermissionError):
                change()
        assert os.pread(fd, 64, 0) == b"k" * 32
        assert not os.get_inheritable(fd)
        assert os.readlink(f"/proc/self/fd/{fd}").startswith("/memfd:")
    finally:
        os.close(fd)
