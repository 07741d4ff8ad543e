"""A logger that loads the log library with its first line: most commands never write one.

Trust: operator side and gateway [net]. Input: see `telemetry.log`, which redacts every line.
"""

from __future__ import annotations


class LateLogger:
    """Writes as `telemetry.log.get_logger` does."""

    def __init__(self, name: str) -> None:
        self._name = name

    def error(self, event: str, **fields: object) -> None:
        """Write one line; `fields` as in `telemetry.log.FIELDS`."""
        from corral.telemetry.log import get_logger

        get_logger(self._name).error(event, **fields)
