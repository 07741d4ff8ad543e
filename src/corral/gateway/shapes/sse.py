"""Server-sent events, each padded so that its size says little about its text.

Trust: gateway [net]. One token in one TLS record shows its length to whoever watches the wire
(Weiss et al. 2024: topics of 55 % of answers). Each event is filled up to a multiple of 128 bytes
with OpenAI's own `obfuscation` field; `stream_options.include_obfuscation: false` turns it off.
This hides lengths within a step of 128 bytes, not timing and not the number of events.
"""

from __future__ import annotations

from typing import Final

PAD_BYTES: Final = 128
DONE: Final = b"data: [DONE]\n\n"
_FIELD: Final = b',"obfuscation":"'
_CLOSE: Final = b'"}\n\n'
_OVERHEAD: Final = len(_FIELD) + len(_CLOSE)
# The client throws it away; TLS does not compress, so that a constant serves as well as chance.
_FILL: Final = tuple(b"Gx7pQ2mZ"[i % 8 : i % 8 + 1] for i in range(PAD_BYTES))
_PADDING: Final = tuple(_FIELD + b"".join(_FILL[:n]) + _CLOSE for n in range(PAD_BYTES))


def event(unclosed: bytes, *, pad: bool) -> bytes:
    """Return one event.

    Args:
        unclosed: `data: {...` without its last brace.
        pad: fill it up to a multiple of `PAD_BYTES`.
    """
    if pad:
        return unclosed + _PADDING[-(len(unclosed) + _OVERHEAD) % PAD_BYTES]
    return unclosed + b"}\n\n"


def error_event(body: bytes) -> bytes:
    """Return the event of an error that came after the stream had begun."""
    return b"data: " + body + b"\n\n"
