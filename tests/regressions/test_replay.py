"""Inputs that once broke a property, and the seeds of every fuzz target, hold it now."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import pytest

from fuzz.mutation import fuzz_blindly, mutate
from fuzz.target import Target
from fuzz.targets import TARGETS

KEPT = sorted(
    path for path in Path(__file__).parent.iterdir() if path.suffix == "" and path.is_file()
)


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.name)
def test_kept_inputs(path: Path) -> None:
    name, _, digest = path.name.rpartition("-")
    data = path.read_bytes()
    assert hashlib.sha256(data).hexdigest().startswith(digest)
    TARGETS[name].check(data)


@pytest.mark.parametrize("target", TARGETS.values(), ids=list(TARGETS))
def test_seeds_and_a_few_mutations(target: Target) -> None:
    chance = random.Random(2)
    for seed in target.seeds:
        target.check(seed)
        for _ in range(30):
            target.check(mutate(seed, chance))


def test_a_broken_property_is_found() -> None:
    def check(data: bytes) -> None:
        assert data.startswith(b"magic")

    found = fuzz_blindly(Target("example", check, (b"magic",)), seconds=10)
    assert found is not None
    assert not found.startswith(b"magic")
