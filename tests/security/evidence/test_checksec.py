"""checksec on what holds hostile input: the engine's library and the interpreter of its image."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

SHELL = Path("/bin/sh")


@pytest.fixture(scope="module")
def checked(needs_tool: Callable[[str], str]) -> Callable[[Path], dict[str, str]]:
    program = needs_tool("checksec")

    def check(path: Path) -> dict[str, str]:
        done = subprocess.run(
            [program, f"--file={path}", "--output=json"], capture_output=True, text=True,
            check=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        (found,) = json.loads(done.stdout).values()
        return dict(found)

    return check


@pytest.fixture(scope="module")
def image(model_home: Path) -> Path:
    (found,) = model_home.glob("images/engine-*/rootfs")
    return found


@pytest.mark.claim("SVC-09")
def test_the_engine(
    checked: Callable[[Path], dict[str, str]], image: Path, record: Callable[..., None]
) -> None:
    (library,) = image.glob("opt/python/lib/*/site-packages/xllamacpp/*.so")
    found = checked(library)
    assert (found["nx"], found["canary"], found["pie"]) == ("yes", "yes", "dso")
    assert found["relro"] in {"partial", "full"}
    assert (found["rpath"], found["runpath"]) == ("no", "no")
    record("checksec", "the engine's library (prebuilt wheel)", facts(found))


@pytest.mark.claim("SVC-09")
def test_the_interpreter(
    checked: Callable[[Path], dict[str, str]], image: Path, record: Callable[..., None]
) -> None:
    found = checked(image / "opt/python/bin/python3")
    assert found["nx"] == "yes"
    assert found["relro"] in {"partial", "full"}
    record("checksec", "the interpreter of the image (of this host)", facts(found))


def facts(found: dict[str, str]) -> str:
    return ", ".join(f"{name} {found[name]}" for name in ("relro", "nx", "pie", "canary"))


@pytest.mark.claim("SVC-09")
def test_a_program_without_them_is_told_from_others(
    checked: Callable[[Path], dict[str, str]], tmp_path: Path
) -> None:
    weak = tmp_path / "weak"
    code = tmp_path / "weak.s"
    code.write_text(".globl _start\n_start: mov $60, %eax\nsyscall\n")
    flags = ["-nostdlib", "-static", "-no-pie", "-Wl,-z,execstack", "-Wl,-z,norelro"]
    made = subprocess.run(["cc", *flags, "-o", str(weak), str(code)], check=False)
    if made.returncode:
        pytest.fail("no compiler") if os.environ.get("CI") == "true" else pytest.skip("no compiler")
    found = checked(weak)
    assert (found["nx"], found["pie"], found["relro"]) == ("no", "no", "no")
