"""A detector that fails in the middle of a request: a dry run keeps what it has, others refuse."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from corral.gateway.detection import detect
from corral.gateway.detector import Detector, Score
from corral.guard.finding import Part
from corral.guard.input_chain import Cleaned
from corral.guard.policy import SanitationPolicy
from corral.guard.policy_file import Asker, parse_policy_set

PARTS = tuple(Part(f"messages[{n}]", f"text {n}", "document") for n in range(2))


class FailsMidway:
    """Says of the first text that it is an attack, and nothing of the next one."""

    def __init__(self, *, needless: bool = False) -> None:
        self.needless = needless
        self._scores: list[Score | None] = [Score(0.9, "text", 0.5, 0.66), None]

    async def score(self, _tenant: str, _text: str) -> Score | None:
        return self._scores.pop(0)


def policy(mode: str) -> SanitationPolicy:
    document = f'default = "own"\n[policies.own]\nbase = "balanced"\nmode = "{mode}"\n'
    return parse_policy_set(document).of(Asker("acme", "k", "m", "chat"))


def looked(mode: str, detector: FailsMidway) -> Cleaned | None:
    cleaned = Cleaned(tuple(part.text for part in PARTS), (), None, {})
    asked: Any = cast("Detector", detector)
    return asyncio.run(detect(asked, "acme", policy(mode), PARTS, cleaned))


@pytest.mark.claim("DET-03")
def test_a_dry_run_keeps_what_was_found_before() -> None:
    found = looked("report", FailsMidway())
    assert found is not None
    assert [one.finding.kind for one in found.seen] == ["untrusted_injection_detected"]
    assert found.refused is None


@pytest.mark.claim("DET-03")
def test_others_are_refused() -> None:
    assert looked("enforce", FailsMidway()) is None
