"""The trust levels of admitted models.

Trust: any zone; no I/O.
"""

from __future__ import annotations

from typing import Literal

Trust = Literal["untrusted", "verified", "trusted"]
"""Least trusted first."""
