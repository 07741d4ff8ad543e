"""Coverage stays out of the processes that a test starts.

Servers under attack and command lines from end to end show what they show; which lines ran is the
unit and integration tests' matter. Measured, each server start costs twice its processor time, and
two cores are all there is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

_SWITCH = "COVERAGE_PROCESS_CONFIG"
"""Set by `coverage run` for `patch = subprocess`; read as a Python process begins."""


@pytest.fixture(scope="module", autouse=True)
def unmeasured() -> Iterator[None]:
    """Take the switch away while the tests of one file run."""
    kept = os.environ.pop(_SWITCH, None)
    yield
    if kept is not None:
        os.environ[_SWITCH] = kept
