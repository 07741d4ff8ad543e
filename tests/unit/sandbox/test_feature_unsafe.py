from __future__ import annotations

import ctypes

import pytest

from corral.sandbox.feature_unsafe import in_child, landlock_works, mdwe_works
from tests.support.kernel_refusals import in_restricted_child


def refuse() -> None:
    raise OSError


def test_an_attempt_in_a_child() -> None:
    assert in_child(lambda: None)
    assert not in_child(refuse)


def test_a_kernel_without_mdwe() -> None:
    PR_SET_MDWE = 65  # noqa: N806
    assert in_restricted_child(lambda: str(mdwe_works()), prctl_option=PR_SET_MDWE) == "False"


def test_a_kernel_without_landlock() -> None:
    def look() -> str:
        return str(landlock_works())

    assert in_restricted_child(look, call="landlock_create_ruleset") == "False"
    assert landlock_works()


@pytest.mark.claim("SEAL-05")
@pytest.mark.parametrize(("version", "works"), [(0, False), (3, False), (5, False), (6, True)])
def test_a_landlock_that_holds_less_counts_as_none(
    monkeypatch: pytest.MonkeyPatch, version: int, works: bool
) -> None:
    class Libc:
        @staticmethod
        def syscall(*_: object) -> int:
            return version

    monkeypatch.setattr(ctypes, "CDLL", lambda _: Libc)
    assert landlock_works() is works


def test_this_kernel_says_what_it_does() -> None:
    assert isinstance(mdwe_works(), bool)
