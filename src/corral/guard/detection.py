"""What a policy makes of a detector's score.

Trust: gateway [net] and command line; pure. Input: a probability that a jail has said.
"""

from __future__ import annotations

from typing import Final

from corral.guard.finding import STRANGERS, Finding, Handling, Part
from corral.guard.input_chain import Seen
from corral.guard.policy import SanitationPolicy

KINDS: Final = ("injection_suspected", "injection_detected", "untrusted_injection_detected")


def wants_detector(policy: SanitationPolicy) -> bool:
    """Return whether a policy has texts looked at by a detector."""
    done = policy.effective()
    return policy.options.detector != "off" and any(
        done[kind] is not Handling.ALLOW for kind in KINDS
    )


def detectable(part: Part) -> bool:
    """Return whether a text is looked at: a system prompt is not, being all instructions."""
    return part.origin != "system" and not part.text.isspace() and part.text != ""


def judge(
    policy: SanitationPolicy,
    part: Part,
    probability: float,
    view: str,
    *,
    flag: float,
    block: float,
) -> Seen | None:
    """Return what is seen in one text; None if it is below the policy's thresholds.

    Args:
        policy: whose thresholds count, where it has any.
        part: the text.
        probability: as the detector says it.
        view: the reading that it is of.
        flag: the detector's own threshold for what is suspected.
        block: and for what is detected.
    """
    options = policy.options
    kind = ""
    if probability >= (options.block or block):
        strange = part.origin in STRANGERS
        kind = "untrusted_injection_detected" if strange else "injection_detected"
    elif probability >= (options.flag or flag):
        kind = "injection_suspected"
    if not kind or policy.effective()[kind] is Handling.ALLOW:
        return None
    note = f"{probability:.2f} in view {view}"
    return Seen(part.param, Finding(kind, 0, len(part.text), note), policy.handling[kind])


def refusal(policy: SanitationPolicy, seen: tuple[Seen, ...]) -> Seen | None:
    """Return for which of the findings a request is refused; None if for none."""
    done = policy.effective()
    return next((one for one in seen if done[one.finding.kind] is Handling.REFUSE), None)
