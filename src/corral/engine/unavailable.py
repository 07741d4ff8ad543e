"""Why no worker can be had, and when a crashed one is started again.

Trust: gateway [net]. Made by the supervisor and the router.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unavailable:
    """No worker can take the request now.

    Attributes:
        code: `worker_restarting`, `worker_failed`, `model_load_failed`, `model_load_timeout`,
            `model_quarantined`, `no_worker_free`, `insufficient_memory`, `worker_quota_reached` or
            `worker_start_refused`.
        retry_after_s: when it is worth asking again.
    """

    code: str
    message: str
    retry_after_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartPolicy:
    """When a crashing worker is started again."""

    first_delay_s: float = 0.1
    delay_max_s: float = 30
    crashes_max: int = 5
    window_s: float = 600
    quarantine_s: float = 3600
