"""Which Landlock a worker insists on; what the walls hold is tried in tests/security/escape."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from corral.engine import seal as module
from corral.engine.seal import Seal, SealError
from corral.jail.seal_unsafe import READ_FILE
from corral.sandbox.policy import sealed_document

Allowed = list[tuple[str, int]]


@pytest.fixture
def profile(tmp_path: Path) -> str:
    (tmp_path / "sealed.json").write_text(sealed_document("engine"))
    return str(tmp_path / "sealed.json")


@pytest.fixture
def restricted(monkeypatch: pytest.MonkeyPatch) -> list[Allowed]:
    made: list[Allowed] = []
    monkeypatch.setattr(module, "restrict_files", made.append)
    return made


def sealed(profile: str, *, landlock: bool) -> Seal:
    made = Seal(profile, landlock=landlock)
    os.close(made._tasks)
    return made


@pytest.mark.claim("SEAL-05")
@pytest.mark.parametrize(("version", "enough"), [(0, False), (3, False), (5, False), (6, True)])
def test_a_landlock_that_holds_less_is_refused(
    profile: str, monkeypatch: pytest.MonkeyPatch, version: int, enough: bool
) -> None:
    monkeypatch.setattr(module, "landlock_version", lambda: version)
    if enough:
        sealed(profile, landlock=True)
        return
    with pytest.raises(SealError, match="no Landlock of version 6"):
        sealed(profile, landlock=True)


@pytest.mark.parametrize(("version", "used"), [(0, False), (3, True), (7, True)])
def test_where_it_is_waived_what_there_is_is_used(
    profile: str, monkeypatch: pytest.MonkeyPatch, restricted: list[Allowed], version: int,
    used: bool,
) -> None:  # fmt: skip
    monkeypatch.setattr(module, "landlock_version", lambda: version)
    sealed(profile, landlock=False).before_load("/model")
    assert restricted == ([[("/model", READ_FILE)]] if used else [])


@pytest.mark.claim("SEAL-03")
def test_the_load_may_read_the_model_and_touch_no_folder(
    profile: str, restricted: list[Allowed]
) -> None:
    sealed(profile, landlock=True).before_load("/model")
    assert restricted == [[("/model", READ_FILE)]]


def test_a_refused_question_counts_only_where_landlock_is_needed(
    profile: str, monkeypatch: pytest.MonkeyPatch, restricted: list[Allowed]
) -> None:
    def refused() -> int:
        raise PermissionError(1, "gVisor's first filter")

    monkeypatch.setattr(module, "landlock_version", refused)
    sealed(profile, landlock=False).before_load("/model")
    assert restricted == []
    with pytest.raises(SealError, match="sealed profile"):
        sealed(profile, landlock=True)
