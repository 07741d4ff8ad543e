"""What a policy makes of what is seen in an image or a sound.

Trust: gateway [net] and command line; pure. Input: kinds of `guard.kinds`, as a jail has said them:
one that was taken over may keep one to itself, which brings it nothing: what it sends is made anew.
"""

from __future__ import annotations

from collections.abc import Iterable

from corral.guard.finding import Finding, Handling
from corral.guard.input_chain import Seen
from corral.guard.policy import SanitationPolicy


def judge_media(
    policy: SanitationPolicy, param: str, kinds: Iterable[str]
) -> tuple[tuple[Seen, ...], Seen | None]:
    """Return what was seen in one file, and for which of it a request is refused.

    Args:
        policy: by which it goes.
        param: the request's field that has the file.
        kinds: what was seen; each is a wall, so that a policy that only reports changes nothing.
    """
    seen = tuple(Seen(param, Finding(kind, 0, 0), policy.handling[kind]) for kind in kinds)
    done = policy.effective()
    return seen, next((one for one in seen if done[one.finding.kind] is Handling.REFUSE), None)
