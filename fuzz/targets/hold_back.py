"""A model's answer, cut anywhere: no control token goes out, and text without one is unchanged.

Input: two lines of control tokens (separated by tabs) and text; each U+0000 in the text is a cut.
"""

from __future__ import annotations

from corral.guard.output import OutputFilter
from corral.guard.special_tokens import REPLACEMENT, ControlTokens
from fuzz.target import Target


def check(data: bytes) -> None:
    """Feed the text piece by piece."""
    head, _, body = data.decode(errors="ignore").partition("\n")
    # One character is ordinary text; a token with the replacement in it could be made by it.
    texts = [t for t in head.split("\t")[:32] if 2 <= len(t) <= 256 and REPLACEMENT not in t]
    pieces = body.split("\0")
    guard = OutputFilter(ControlTokens(texts))
    out = "".join([*(guard.feed(piece) for piece in pieces), guard.flush()])
    whole = "".join(pieces)
    if any(token in out for token in texts):
        raise AssertionError("a control token went out")
    if not any(token in whole for token in texts) and out != whole:
        raise AssertionError("harmless text was changed")


TARGET = Target(
    "hold_back",
    check,
    (
        b"<|im_end|>\t<|im_start|>\na<|im\0_end|>b<\0|im_star\0t|>",
        b"ab\tabc\tbcd\nxabcd\0abcabc",
        b"aa\taab\naaa\0aab\0a",
        b"[INST]\t[/INST]\n[IN\0ST] [/\0I\0NST]",
    ),
)
