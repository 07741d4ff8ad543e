"""How much of images and sounds a request may bring to a worker; both sides of the wire keep to it.

Trust: imported by the gateway [net] and by the worker [jail].
"""

from __future__ import annotations

from corral.core.limits import KIB, MIB

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

MEDIA_BYTES: Final = 8 * MIB
"""All images and sounds of one request together, as a worker is given them."""
MEDIA_COUNT: Final = 8
"""Most images and sounds of one request."""
MEDIA_PIECE_BYTES: Final = 384 * KIB
"""What of one goes into a line of the wire: 512 KiB in base64, half a line."""
