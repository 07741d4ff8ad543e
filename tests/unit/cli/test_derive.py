"""`corral derive`: an option that is given but empty is refused, never dropped with its demand."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command_line import Corral

GOOD = "a" * 64


@pytest.mark.parametrize(
    ("told", "options"),
    [
        ("bad_source", ("--adapter", "")),
        ("bad_source", ("--adapter", "", "--chat-template", "t.jinja")),
        ("bad_source", ("--adapter", "", "--sha256", GOOD, "--signed-by", "vendor")),
        ("bad_digest", ("--adapter", "a.gguf", "--sha256", "")),
        ("bad_digest", ("--adapter", "a.gguf", "--wheel-sha256", "")),
        ("say who must have signed", ("--adapter", "a.gguf", "--signed-by", "")),
        ("say who must have signed", ("--adapter", "a.gguf", "--signed-name", "")),
        ("say of which adapter", ("--chat-template", "t.jinja", "--sha256", "")),
        ("say of which adapter", ("--chat-template", "t.jinja", "--signed-by", "")),
        ("name a template", ()),
    ],
)
def test_what_is_given_empty_is_refused(
    corral: Corral, tmp_path: Path, told: str, options: tuple[str, ...]
) -> None:
    done = corral(
        "derive", "tiny", "--as", "new", *options, "--home", str(tmp_path / "h"), "--json"
    )
    assert done.code != 0
    assert told in done.out + done.err


def test_control_what_is_whole_goes_on_to_the_installation(corral: Corral, tmp_path: Path) -> None:
    whole = ("--adapter", "a.gguf", "--sha256", GOOD, "--signed-by", "vendor")
    done = corral("derive", "tiny", "--as", "new", *whole, "--home", str(tmp_path / "h"), "--json")
    assert done.error_code == "not_initialised"
