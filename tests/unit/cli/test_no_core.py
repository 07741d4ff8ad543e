"""A process that has a secret leaves no core file."""

from __future__ import annotations

import os
import resource
from contextlib import nullcontext
from pathlib import Path

import pytest

from corral.cli.no_core import no_core_file


def ends_badly(folder: Path, *, guarded: bool) -> list[str]:
    """Return the files that a child leaves which the kernel ends with a core dump."""
    if (pid := os.fork()) == 0:
        try:
            os.chdir(folder)
            most = resource.getrlimit(resource.RLIMIT_CORE)[1]
            resource.setrlimit(resource.RLIMIT_CORE, (most, most))
            with no_core_file() if guarded else nullcontext():
                os.abort()
        finally:
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == 6
    return os.listdir(folder)


@pytest.mark.claim("REST-12")
def test_no_core_file_has_the_key(tmp_path: Path) -> None:
    assert ends_badly(tmp_path, guarded=True) == []
    pattern = Path("/proc/sys/kernel/core_pattern").read_text().strip()
    if pattern.startswith(("/", "|")) or not resource.getrlimit(resource.RLIMIT_CORE)[1]:
        pytest.skip(f"the kernel would put core files elsewhere: {pattern}")
    assert ends_badly(tmp_path, guarded=False), "the control"


def test_the_limit_comes_back() -> None:
    before = resource.getrlimit(resource.RLIMIT_CORE)
    with no_core_file():
        assert resource.getrlimit(resource.RLIMIT_CORE)[0] <= 1
    assert resource.getrlimit(resource.RLIMIT_CORE) == before
