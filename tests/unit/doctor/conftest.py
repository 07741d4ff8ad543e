"""A host's file tree of the test's making."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from corral.doctor.files import HostFiles


@pytest.fixture
def tree(tmp_path: Path) -> Callable[..., HostFiles]:
    """Return a function that makes a tree of (absolute name, text) pairs."""

    def make(files: dict[str, str] | None = None) -> HostFiles:
        for name, text in (files or {}).items():
            path = tmp_path / name.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return HostFiles(tmp_path)

    return make
