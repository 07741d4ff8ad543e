"""Stage 5, last part: what a detector says of a request's texts, and what its policy makes of that.

Trust: gateway [net]. Input: texts as they were sanitised. Fails closed: where a policy wants a
detector and none answers, the request is refused. Where none is installed it is served if the
operator said that corral may do without one (`--allow-degraded=detector`) and the policy agrees.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from corral.gateway.detector import Detector
from corral.guard.detection import detectable, judge, refusal, wants_detector
from corral.guard.finding import Part
from corral.guard.input_chain import Cleaned, Seen
from corral.guard.policy import SanitationPolicy


async def detect(
    detector: Detector,
    tenant: str,
    policy: SanitationPolicy,
    parts: Sequence[Part],
    cleaned: Cleaned,
) -> Cleaned | None:
    """Return what is known of a request's texts after a detector has looked; None to refuse it.

    Args:
        detector: of this gateway.
        tenant: whose request it is.
        policy: by which it goes.
        parts: its texts as they came.
        cleaned: what the chain made of them.
    """
    if not wants_detector(policy):
        return cleaned
    began_s = time.perf_counter()
    seen: list[Seen] = []
    for part, text in zip(parts, cleaned.texts, strict=True):
        shown = replace(part, text=text)
        if not detectable(shown):
            continue
        score = await detector.score(tenant, text)
        if score is None:
            if detector.needless and policy.options.detector == "installed":
                return cleaned
            if policy.mode == "enforce":
                return None
            break
        found = judge(
            policy, shown, score.probability, score.view, flag=score.flag, block=score.block
        )
        if found is not None:
            seen.append(found)
    spent_s = {**cleaned.spent_s, "detector": time.perf_counter() - began_s}
    return replace(
        cleaned,
        seen=(*cleaned.seen, *seen),
        refused=refusal(policy, tuple(seen)),
        spent_s=spent_s,
    )
