"""The policy that corral ships with: `default.toml`.

Trust: operator side; package data, no other input.
"""

from __future__ import annotations

from importlib import resources


def default_policy_text() -> bytes:
    """Return the text of the default policy."""
    return (resources.files("corral.admission.policy") / "default.toml").read_bytes()
