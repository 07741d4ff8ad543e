"""Every generated hostile file is refused by its code, and its control is accepted."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.support import gguf_models, gguf_structures
from tests.support.gguf_cases import Case
from tests.support.scanned import scan

CASES = [
    *gguf_structures.header(), *gguf_structures.metadata(), *gguf_structures.values(),
    *gguf_structures.tensors(), *gguf_structures.data(), *gguf_models.sizes(),
    *gguf_models.shapes(), *gguf_models.vocabulary(), *gguf_models.additions(),
    *gguf_models.more_vocabulary(), *gguf_models.more_additions(),
]  # fmt: skip


@pytest.mark.claim("ADM-07")
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_hostile_file_is_refused_by_its_code(case: Case) -> None:
    report = scan(case.hostile)
    assert report.verdict == case.verdict
    assert case.code in {f.code for f in report.findings if f.severity == case.verdict}


@pytest.mark.claim("ADM-07")
def test_no_control_is_refused() -> None:
    refused = [
        (case.name, report.findings)
        for raw, case in {case.sound: case for case in CASES}.items()
        if (report := scan(raw)).verdict != "accept"
    ]
    assert refused == []


def test_there_are_hundreds_and_each_is_another() -> None:
    assert len({case.name for case in CASES}) == len(CASES) > 400
    assert not [name for name, count in Counter(c.hostile for c in CASES).items() if count > 3]
