"""`corral pull`: what is wrong with the command line is said before anything is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command_line import Corral


@pytest.mark.parametrize("rate", ["fast", "-1", "1T"])
def test_a_rate_that_is_none(corral: Corral, tmp_path: Path, rate: str) -> None:
    done = corral("pull", str(tmp_path / "m.gguf"), f"--limit-rate={rate}", "--json")
    assert done.error_code == "bad_rate"
