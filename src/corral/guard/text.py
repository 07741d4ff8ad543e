"""Is this text fit to be given to a model at all?

Trust: gateway [net]. Input: untrusted text, bounded by the request's body. Refused are lone
surrogates (no UTF-8 has them), noncharacters U+FFFE and U+FFFF, and control characters other than
tab, line feed and carriage return. Nothing is normalised: NFKC changes meaning and can even
create special tokens out of full-width letters, so text is taken or refused as it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_FORBIDDEN: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class Denial:
    """The text is refused.

    Attributes:
        code: `invalid_text` or `special_token`.
        message: why, without any of the text.
    """

    code: str
    message: str


def check_text(text: str) -> Denial | None:
    """Return why `text` is refused, or None."""
    found = _FORBIDDEN.search(text)
    if found is None:
        return None
    return Denial(
        "invalid_text",
        f"the text has the character U+{ord(found[0]):04X} at position {found.start()}, "
        "which is not allowed",
    )
