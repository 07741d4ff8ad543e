"""The shipped sandbox profiles, parsed once for all facts about them.

Trust: operator side. Input: the installation's own files.
"""

from __future__ import annotations

from functools import cache

from corral.sandbox.policy import KINDS, Policy, load_policy


@cache
def shipped_profiles() -> dict[str, Policy]:
    """Return each jail kind's profile.

    Raises:
        SandboxError: code `bad_profile`.
    """
    return {kind: load_policy(kind) for kind in KINDS}
