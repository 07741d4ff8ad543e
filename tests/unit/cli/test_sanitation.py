"""`corral sanitation` and `corral sanitise`."""

from __future__ import annotations

from pathlib import Path

import pytest

from corral.core.home import Home
from tests.support.command_line import Corral

POLICIES = """
default = "school"
[policies.school]
base = "strict"
mode = "report"
[[rules]]
tenant = "acme"
policy = "balanced"
"""


def test_policies_are_checked_set_shown_and_reset(
    corral: Corral, home: Home, tmp_path: Path
) -> None:
    place = ("--home", str(home.root))
    file = tmp_path / "sanitation.toml"
    file.write_text(POLICIES)
    assert corral("sanitation", "check", str(file), "--json").document["default"] == "school"
    assert corral("sanitation", "show", *place, "--json").document["default"] == "balanced"
    assert corral("sanitation", "set", str(file), *place).code == 0
    shown = corral("sanitation", "show", *place, "--json").document
    assert shown["default"] == "school"
    assert shown["rules"] == [
        {"tenant": "acme", "key": "", "model": "", "route": "", "policy": "balanced"}
    ]
    one = corral("sanitation", "show", "school", *place, "--json").document
    assert (one["mode"], one["input"]["invalid_text"]) == ("report", "refuse")
    assert "invalid_text" in corral("sanitation", "show", "off", *place).out
    file.write_text('default = "off"')
    refused = corral("sanitation", "set", str(file), *place, "--json")
    assert (refused.code, refused.error_code) == (1, "sanitation_invalid")
    assert corral("sanitation", "show", *place, "--json").document["default"] == "school"
    assert corral("sanitation", "reset", *place, "--json").document == {"reset": True}
    assert corral("sanitation", "show", *place, "--json").document["default"] == "balanced"


def test_what_weakens_is_said(corral: Corral, home: Home, tmp_path: Path) -> None:
    file = tmp_path / "sanitation.toml"
    file.write_text('default = "open"\n[policies.open]\nbase = "off"\nweakening = "exercise 7"\n')
    said = corral("sanitation", "set", str(file), "--home", str(home.root))
    assert "open is weakened: exercise 7" in said.err


@pytest.mark.parametrize(
    ("words", "code"),
    [(("sanitation", "check", "/nowhere"), "sanitation_unreadable"),
     (("sanitation", "show", "nobody"), "no_such_policy"),
     (("sanitise", "/nowhere"), "text_unreadable"),
     (("sanitise", "/dev/null", "--origin", "me"), "bad_origin"),
     (("sanitise", "/dev/null", "--model", "none"), "no_such_model")],
    ids=["file", "policy", "text", "origin", "model"],
)  # fmt: skip
def test_wrong_words_are_refused(
    corral: Corral, home: Home, words: tuple[str, ...], code: str
) -> None:
    place = () if words[1] == "check" else ("--home", str(home.root))
    done = corral(*words, *place, "--json")
    assert (done.code, done.error_code) == (1, code)


def test_an_answer_is_tried(corral: Corral, tmp_path: Path) -> None:
    place = ("--home", str(tmp_path / "none"))
    file = tmp_path / "text"
    file.write_bytes(b"![x](https://e.vil/?q) AKIAQYLPMN5HHHFPZAM2")
    tried = corral("sanitise", "--answer", str(file), *place, "--json")
    assert (tried.code, tried.document["text"]) == (0, "![x] (https://e.vil/?q) [secret]")
    assert tried.document["findings"] == [
        {"kind": "output_secret", "handling": "clean", "count": 1},
        {"kind": "remote_image", "handling": "clean", "count": 1},
    ]
    assert "[secret]" in corral("sanitise", "--answer", str(file), *place).out
    file.write_bytes(b"again " * 1000)
    tried = corral("sanitise", "--answer", str(file), "--policy", "strict", *place, "--json")
    assert (tried.code, tried.document["refused"]) == (1, "output_stopped.repetition")


def test_a_text_is_tried(corral: Corral, tmp_path: Path) -> None:
    """No installation is needed for that."""
    place = ("--home", str(tmp_path / "none"))
    file = tmp_path / "text"
    file.write_bytes(b"plain text")
    tried = corral("sanitise", str(file), *place, "--json")
    assert (tried.code, tried.document["text"]) == (0, "plain text")
    assert {"text", "special_tokens"} <= {one["stage"] for one in tried.document["steps"]}
    assert "plain text" in corral("sanitise", str(file), *place).out
    file.write_bytes(b"ab\x01")
    tried = corral("sanitise", str(file), *place, "--json")
    assert (tried.code, tried.document["refused"]) == (1, "input_rejected.invalid_text")
    found = next(step for step in tried.document["steps"] if step["findings"])["findings"]
    assert [(one["start"], one["end"], one["note"]) for one in found] == [(2, 3, "U+0001")]
    file.write_bytes(b"ab\xff")
    assert corral("sanitise", str(file), *place).code == 1
