"""The list of kept capabilities as data."""

from __future__ import annotations

import re
import tomllib
from importlib import resources
from pathlib import Path

import pytest

from corral.launcher.capabilities import load_kept

HEADER = Path("/usr/include/linux/capability.h")


def entries() -> dict[str, list[dict[str, object]]]:
    text = resources.files("corral.launcher").joinpath("capabilities.toml").read_text()
    return tomllib.loads(text)


def test_few_are_kept() -> None:
    assert load_kept("root") == {0, 1, 6, 7, 18, 19, 21}
    assert load_kept("user") == {18, 21, 31}
    assert load_kept("monitor") == {1}


def test_each_has_a_name_and_a_reason() -> None:
    assert set(entries()) == {"root", "user", "monitor"}
    for entry in (e for group in entries().values() for e in group):
        assert set(entry) == {"name", "number", "reason"}
        assert str(entry["name"]).startswith("CAP_")
        assert len(str(entry["reason"])) > 20


@pytest.mark.skipif(not HEADER.exists(), reason="needs the kernel's headers")
def test_names_and_numbers_are_the_kernels() -> None:
    kernel = dict(re.findall(r"#define (CAP_[A-Z_]+)\s+(\d+)\s", HEADER.read_text()))
    for entry in (e for group in entries().values() for e in group):
        assert kernel[str(entry["name"])] == str(entry["number"])
