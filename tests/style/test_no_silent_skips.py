"""A skip under CI=true fails, however it came about, unless it is for hardware that nobody has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = """
import pytest

def test_in_the_body(): pytest.skip("no such file")

@pytest.mark.skipif(True, reason="not root")
def test_by_a_mark(): pass

@pytest.fixture
def missing(): pytest.skip("no runtime")

def test_by_a_fixture(missing): pass

@pytest.mark.hardware("KVM")
def test_on_rare_hardware(): pytest.skip("no KVM")

@pytest.mark.xfail(reason="known")
def test_that_fails(): assert False

def test_that_runs(): pass
"""


@pytest.mark.parametrize(
    ("ci", "outcome"),
    [
        ("true", "1 failed, 1 passed, 1 skipped, 1 xfailed, 2 errors"),
        ("", "1 passed, 4 skipped, 1 xfailed"),
    ],
)
def test_skips(tmp_path: Path, ci: str, outcome: str) -> None:
    (tmp_path / "test_some.py").write_text(TESTS)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), "--rootdir",
         str(tmp_path), "-p", "tests.support.no_silent_skips", "-p", "no:cacheprovider",
         str(tmp_path)],
        capture_output=True, text=True, check=False, cwd=ROOT, timeout=60,
        env={**os.environ, "CI": ci, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert outcome in done.stdout, done.stdout + done.stderr
