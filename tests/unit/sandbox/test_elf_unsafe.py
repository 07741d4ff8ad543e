from __future__ import annotations

import sys
from pathlib import Path

from corral.sandbox.elf_unsafe import list_libraries


def test_the_interpreter_needs_libc_and_a_loader() -> None:
    names = [path.name for path in list_libraries([Path(sys.executable).resolve()])]
    assert any(name.startswith("libc.so") for name in names)
    assert any(name.startswith("ld-linux") for name in names)


def test_nothing_needs_nothing() -> None:
    assert list_libraries([]) == []
