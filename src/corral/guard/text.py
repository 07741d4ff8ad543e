"""Is this text fit to be given to a model at all?

Trust: gateway [net]. Input: untrusted text, bounded by the request's body. Found are lone
surrogates (no UTF-8 has them), noncharacters U+FFFE and U+FFFF, and control characters other than
tab, line feed and carriage return. It is a wall: nothing after it expects them.
"""

from __future__ import annotations

import re
from typing import Final

from corral.guard.finding import NOTHING, Finding, Part, Verdict

_FORBIDDEN: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


class TextStage:
    """Finds the first character that is not allowed in a text."""

    name = "text"

    def look(self, part: Part) -> Verdict:
        """See `guard.finding.Stage`."""
        found = _FORBIDDEN.search(part.text)
        if found is None:
            return NOTHING
        note = f"U+{ord(found[0]):04X}"
        return Verdict((Finding("invalid_text", found.start(), found.end(), note),))
