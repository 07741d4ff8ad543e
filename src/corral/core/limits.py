"""Every fixed numeric bound, with its unit and its reason.

Trust: any zone. A bound that an operator may change lives in `core.config` instead.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:  # a worker imports this file, and should not pay for `typing`
    from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB

FRAME_BYTES: Final = 4 * KIB
"""Longest message between a client and the launcher: every request is a few typed fields."""
FRAME_FDS: Final = 4
"""Most descriptors one launcher message carries (a worker's stdin, stdout and stderr, plus one)."""
WIRE_LINE_BYTES: Final = 1 * MIB
"""Longest JSON line on an engine worker's stdin or stdout (architecture, section 3)."""
WIRE_BACKLOG_LINES: Final = 8192
"""Chunks of one request that may wait in the gateway for its client: more than one read of a
worker's full pipe can hold, so that only a client which does not read gets there."""
MEDIA_JAILS: Final = 4
"""Jails that decode media, of one channel, at the same time."""

TENANT_WORKERS: Final = 64
"""Most workers of one launcher: bounds uids, cgroups and descriptors."""
BODY_BYTES_MAX: Final = 16 * MIB
"""Upper bound of the operator's own `limits.body_bytes`."""
GGUF_METADATA_BYTES: Final = 32 * MIB
"""Largest metadata part of a GGUF file that the scanner reads: three times what the largest
vocabularies need, and little enough for the scan's memory."""
SCAN_SECONDS: Final = 60
"""A scan may take this long, and a second more for each `SCAN_BYTES_PER_SECOND` of its files."""
SCAN_BYTES_PER_SECOND: Final = 32 * MIB
"""What the slowest disk that is worth serving from reads in a second."""
WORKER_BYTES_MIN: Final = 64 * MIB
"""Least limit of a worker: interpreter, engine and next to no model."""
DRAIN_SECONDS: Final = 10
"""In-flight requests get this long to finish after SIGTERM."""
LANDLOCK_VERSION_MIN: Final = 6
"""TCP since version 4, signals and abstract sockets since version 6: an older one holds less than
is said of it, and counts as none."""
