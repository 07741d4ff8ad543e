"""Tools of others: present in CI, and installed by `scripts/setup.sh --test-tools`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def needs_tool() -> Callable[[str], str]:
    """Return a function that finds a program, or skips; CI has all of them."""

    def find(name: str) -> str:
        found = shutil.which(name)
        if found:
            return found
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI must have {name}: scripts/setup.sh --test-tools")
        pytest.skip(f"{name} is not installed: scripts/setup.sh --test-tools")

    return find


@pytest.fixture(scope="session")
def record() -> Callable[[str, str, str], None]:
    """Return a function that adds a row to the file that $CORRAL_EVIDENCE names, if it does."""

    def add(tool: str, subject: str, result: str) -> None:
        if "CORRAL_EVIDENCE" in os.environ:
            with Path(os.environ["CORRAL_EVIDENCE"]).open("a") as file:
                file.write(f"| {tool} | {subject} | {result} |\n")

    return add
