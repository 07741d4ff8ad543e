from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from corral.cli.main import VERBS
from corral.cli.reference import render_reference
from tests.support.command_line import Corral


def test_every_verb_has_an_example() -> None:
    for part in render_reference().split("\n## ")[1:]:
        if "\nCommands:" not in part:
            assert re.search(r"^  Example: corral ", part, re.MULTILINE), part.splitlines()[0]


def test_version(corral: Corral) -> None:
    assert set(corral("version", "--json").document) == {"corral", "engine", "python"}
    assert "corral" in corral("version").out


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_a_verb_is_found_whether_all_are_loaded_or_it_alone(corral: Corral, verb: str) -> None:
    alone, among_all = corral(verb, "--help"), corral("--help")
    assert alone.code == among_all.code == 0
    assert f"corral {verb} [" in alone.out
    assert verb in among_all.out


def test_only_the_verb_that_is_asked_for_is_imported() -> None:
    program = (
        "import sys; from corral.cli.main import asked_verbs, command_line;"
        "command_line(asked_verbs(['version', '--json']));"
        "print(sorted(m for m in sys.modules if m in ('corral.cli.up', 'corral.cli.scan')))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ran.stdout == "[]\n"


def test_wrong_usage_is_code_2(corral: Corral) -> None:
    assert corral("nonsense").code == 2
    assert corral("pull").code == 2
    assert corral("scan", "x", "--fail-on", "panic").code == 2


@pytest.mark.parametrize(
    "verb", [("list",), ("show", "m"), ("run", "m", "hi"), ("key", "list"), ("usage",)]
)
def test_a_folder_without_an_installation_is_refused(
    corral: Corral, tmp_path: Path, verb: tuple[str, ...]
) -> None:
    ended = corral(*verb, "--home", str(tmp_path), "--json")
    assert (ended.code, ended.error_code) == (1, "not_initialised")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", ["ps", "stop", "reload"])
def test_a_server_that_does_not_run_is_said_so(corral: Corral, tmp_path: Path, verb: str) -> None:
    ended = corral(verb, "--home", str(tmp_path), "--json")
    assert (ended.code, ended.error_code) == (1, "not_running")
    assert "corral up" in ended.err


def test_a_broken_configuration_is_refused(corral: Corral, tmp_path: Path) -> None:
    (tmp_path / "corral.toml").write_text("[listen]\nprot = 1\n")
    ended = corral("config", "show", "--home", str(tmp_path), "--json")
    assert (ended.code, ended.error_code) == (1, "config_unknown_key")
    assert "Traceback" not in ended.err


def test_a_file_that_may_not_be_read_is_no_traceback(
    corral: Corral, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_path: object, *_rest: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "open", refuse)
    ended = corral("logs", "--home", str(tmp_path), "--json")
    assert (ended.code, ended.error_code) == (1, "no_permission")
    assert "another user" not in ended.err  # that is only one of the reasons


def test_what_nobody_foresaw_is_an_error_with_a_code_and_no_insides(
    corral: Corral, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "log" / "corral.log"
    log.mkdir(parents=True)  # a folder where the log should be
    ended = corral("logs", "--home", str(tmp_path), "--json")
    assert (ended.code, ended.error_code) == (70, "internal_error")
    assert "Traceback" not in ended.err
    assert str(tmp_path) not in ended.out + ended.err
    monkeypatch.setenv("CORRAL_TRACEBACK", "1")
    asked = corral("logs", "--home", str(tmp_path), "--json")
    assert (asked.code, asked.error_code) == (70, "internal_error")
    assert "IsADirectoryError" in asked.err
    refused = corral("list", "--home", str(tmp_path), "--json")
    assert (refused.code, "Traceback" in refused.err) == (1, False)  # foreseen: no traceback
