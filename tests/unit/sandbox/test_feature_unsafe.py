from __future__ import annotations

from pathlib import Path

from corral.sandbox.feature_unsafe import in_child, read_runtime_version


def refuse() -> None:
    raise OSError


def test_an_attempt_in_a_child() -> None:
    assert in_child(lambda: None)
    assert not in_child(refuse)


def script(folder: Path, text: str) -> str:
    path = folder / "runtime"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_versions(tmp_path: Path) -> None:
    assert read_runtime_version(script(tmp_path, "echo first; echo second")) == "first"
    assert read_runtime_version(script(tmp_path, "printf %0100d 0")) == "0" * 80
    assert read_runtime_version(script(tmp_path, "exit 0")) == "no version"
    assert read_runtime_version(str(tmp_path / "none")) == "does not run"
