"""`corral pull`: what is wrong with the command line is said before anything is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command_line import Corral


@pytest.mark.parametrize("rate", ["fast", "-1", "1T"])
def test_a_rate_that_is_none(corral: Corral, tmp_path: Path, rate: str) -> None:
    done = corral("pull", str(tmp_path / "m.gguf"), f"--limit-rate={rate}", "--json")
    assert done.error_code == "bad_rate"


@pytest.mark.parametrize(
    ("told", "options"),
    [
        ("bad_digest", ("--sha256", "")),
        ("bad_digest", ("--wheel-sha256", "")),
        ("say who must have signed", ("--signed-by", "")),
        ("say who must have signed", ("--signed-name", "")),
    ],
)
def test_a_demand_that_is_given_empty_is_refused(
    corral: Corral, tmp_path: Path, told: str, options: tuple[str, ...]
) -> None:
    home = ("--home", str(tmp_path / "h"))
    done = corral("pull", str(tmp_path / "m.gguf"), *options, *home, "--json")
    assert told in done.out + done.err
    assert not (tmp_path / "h").exists()
