"""Stage `private_data`: secrets and personal data in what is sent to a model.

Trust: gateway [net] and command line; pure. Input: a hostile text. What is cleaned is replaced by a
fixed mark such as `[secret]`, or, where the policy says so, personal data by a placeholder of this
request that is turned back in its answer (`guard.placeholders`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from typing import Final

from corral.guard.finding import NOTHING, Edit, Finding, Handling, Part, Verdict
from corral.guard.hit import Hit, Scanner, hits_in_order
from corral.guard.options import Options
from corral.guard.personal_scanner import PERSONAL_KINDS, PersonalScanner
from corral.guard.placeholders import Placeholders
from corral.guard.secret_scanner import SecretScanner

SECRET_KINDS: Final = ("secret", "credential")
PRIVATE_KINDS: Final = SECRET_KINDS + PERSONAL_KINDS
OUTPUT: Final = "output_"
"""Before a kind: the same in an answer."""


def private_scanners(wanted: Callable[[str], bool], options: Options) -> tuple[Scanner, ...]:
    """Return what looks for those of `PRIVATE_KINDS` that are wanted."""
    secret = [kind for kind in SECRET_KINDS if wanted(kind)]
    personal = [kind for kind in PERSONAL_KINDS if wanted(kind)]
    scanners: list[Scanner] = []
    if secret:
        scanners.append(SecretScanner(secret))
    if personal:
        scanners.append(PersonalScanner(personal, options.private_terms))
    return tuple(scanners)


def mark_of(kind: str) -> str:
    """Return what stands in the place of what was taken out."""
    return f"[{kind.removeprefix(OUTPUT).replace('_', ' ')}]"


class PrivateDataStage:
    """Looks for what the policy asks for.

    Args:
        handling: of every kind.
        options: `personal` and `private_terms` are read.

    Attributes:
        placeholders: of one request; None for fixed marks.
    """

    name = "private_data"

    def __init__(self, handling: Mapping[str, Handling], options: Options) -> None:
        self.placeholders: Placeholders | None = None
        self._handling = handling
        self._options = options
        self._scanners = private_scanners(
            lambda kind: handling[kind] is not Handling.ALLOW, options
        )

    def for_request(self, parts: Sequence[Part]) -> PrivateDataStage:
        """Return the stage for one request: with placeholders of its own where the policy asks."""
        if self._options.personal == "mark" or not self._scanners:
            return self
        stage = copy(self)
        stage.placeholders = Placeholders([part.text for part in parts])
        return stage

    def look(self, part: Part) -> Verdict:
        """Return what is in one text, and how it is taken out."""
        text = part.text
        findings: list[Finding] = []
        edits: list[Edit] = []
        for hit in hits_in_order(self._scanners, text, 0, len(text)):
            findings.append(Finding(hit.kind, hit.start, hit.end, hit.note))
            if self._handling[hit.kind] is Handling.CLEAN:
                edits.append(Edit(hit.start, hit.end, self._instead(hit, part)))
        return Verdict(tuple(findings), tuple(edits)) if findings else NOTHING

    def _instead(self, hit: Hit, part: Part) -> str:
        if self.placeholders is None or hit.kind in SECRET_KINDS:
            return mark_of(hit.kind)
        return self.placeholders.hide(hit.kind, part.text[hit.start : hit.end], part.origin)
