"""A picture that a worker and a trial load look at: half red, half blue, 32 times 32 pixels.

Trust: jail zone and operator side. Input: none.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

SAMPLE_PNG: Final = (
    "iVBORw0KGgoAAAANSUhEUgAAACAAAAAgCAIAAAD8GO2jAAAALUlEQVR42u3NsQ0AMAgEsYf9d05mQILO159c"
    "L7Mqs6NzHAAAAAAAAAAAANjqA5F6Aj+fE+F9AAAAAElFTkSuQmCC"
)
"""As base64."""
