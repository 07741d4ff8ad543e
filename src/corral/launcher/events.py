"""The launcher's log: constant event names with numbers and names of our own, as JSON lines.

Trust: trusted base. Input: trusted values only; text of engines, models or tenants never gets here.
The format is that of `telemetry.log`, so that `corral logs` shows both.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path


class EventLog:
    """Appends events to the log file; a write that fails never stops the launcher."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        self.fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)

    def write(self, event: str, **fields: str | int) -> None:
        """Append one event."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + "Z"
        record = {"ts": stamp, "level": "info", "module": "launcher", "event": event, **fields}
        try:
            os.write(self.fd, json.dumps(record).encode() + b"\n")
        except OSError:
            return
