"""Each jail's program imports only what its image holds, and never what only the operator may."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from corral.sandbox.image import PACKAGES
from corral.sandbox.policy import load_policy

PROGRAM = """
import importlib, json, sys
importlib.import_module(sys.argv[1])
print(json.dumps(sorted(sys.modules)))
"""
OPERATORS = ("sigstore", "model_signing", "OpenSSL", "tuf", "corral.advisories", "cyclonedx")


@pytest.mark.parametrize("kind", PACKAGES)
def test_what_a_program_imports_is_in_its_image(kind: str) -> None:
    module = load_policy(kind).module
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, module], capture_output=True, text=True, check=True
    )
    loaded = json.loads(ended.stdout)
    assert module in loaded
    ours = {name.split(".")[1] for name in loaded if name.startswith("corral.")}
    held = {package.split("/")[0] for package in PACKAGES[kind]}
    assert ours <= held
    assert [name for name in loaded if name.startswith(OPERATORS)] == []
