"""The policy of a new state folder: the one that corral ships.

Trust: operator side. Only a folder that was never set up gets it (`tenancy.setup` says when). Where
a policy has gone later, nothing takes its place by itself: `policy_missing`.
"""

from __future__ import annotations

from corral.core.home import Home


def install_first_policy(home: Home) -> None:
    """Put the shipped policy in force unless an interrupted setup has done so; runs in the setup.

    Raises:
        CorralError: codes `receipt_key_unreadable`, `state_write_failed`.
    """
    from corral.admission.lock import store_lock
    from corral.admission.policy.shipped import default_policy_text
    from corral.admission.policy.standing import install_standing, policy_folder

    with store_lock(home):
        if not (policy_folder(home) / "standing.json").exists():
            install_standing(home, default_policy_text())
