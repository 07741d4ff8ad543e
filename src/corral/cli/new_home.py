"""Make a state folder ready: a new one gets the policy that corral ships, an old one keeps its own.

Trust: operator side. Only a home whose receipt key does not exist yet counts as new: where a policy
has gone later, nothing takes its place by itself (`policy_missing`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from corral.core.home import Home

_Made = TypeVar("_Made")


def prepared(home: Home, prepare: Callable[[Home], _Made]) -> _Made:
    """Return what `prepare` does with a state folder, which has a policy then if it is new.

    Raises:
        CorralError: those of `prepare`; `state_write_failed`.
    """
    new = not home.receipt_key.exists()
    made = prepare(home)
    if new:
        from corral.admission.lock import store_lock
        from corral.admission.policy.shipped import default_policy_text
        from corral.admission.policy.standing import install_standing, policy_folder

        with store_lock(home):
            if not policy_folder(home).exists():
                install_standing(home, default_policy_text())
    return made
