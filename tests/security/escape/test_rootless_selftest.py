"""`corral selftest` by a user without privilege, for real: nothing red, nothing invalid."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.own_user import UID, as_user, check_system_python, install_program

SECONDS = 120


@pytest.fixture(scope="module")
def document() -> Iterator[dict[str, Any]]:
    check_system_python()
    place = Path(tempfile.mkdtemp(prefix="corral-user-"))  # where that user can go
    place.chmod(0o755)
    try:
        yield run(place)
    finally:
        shutil.rmtree(place)


def run(place: Path) -> dict[str, Any]:
    """Return what `corral selftest` of that user says, and its exit code."""
    program, home = install_program(place), place / "home"
    home.mkdir()
    os.chown(home, UID, UID)
    ended = subprocess.run(
        as_user(place, [str(program), "selftest", "--quick", "--json", "--home", str(home),
                        "--allow-degraded", "cgroup"]),
        capture_output=True, text=True, timeout=SECONDS, check=False, cwd="/",
    )  # fmt: skip
    assert ended.stdout, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    return found | {"code": ended.returncode}


@pytest.mark.claim("ESC-11")
def test_a_user_without_privilege_gets_a_result_that_can_be_green(document: dict[str, Any]) -> None:
    bad = {line["probe"]: (line["outcome"], line["control"], line["reason"])
           for line in document["lines"] if line["verdict"] in {"red", "invalid"}}  # fmt: skip
    assert bad == {}
    assert document["code"] == 0
    assert document["counts"]["green"] >= 110


@pytest.mark.claim("ESC-11")
def test_what_this_user_cannot_do_outside_either_is_no_pass(document: dict[str, Any]) -> None:
    absent = {line["probe"]: line["reason"] for line in document["lines"]
              if line["verdict"] == "n/a"}  # fmt: skip
    assert "this user cannot do it outside either" in absent.values()
    assert "--allow-degraded=cgroup" in absent["host.memory"]
    assert document["counts"]["n/a"] == len(absent)
