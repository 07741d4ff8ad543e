"""Seal this process as a worker does once its model is loaded; what runs next is sealed.

Trust: runs in the engine's jail. Input: the image's sealed profile. See `corral.engine.seal`.
"""

from __future__ import annotations

import os

from corral.engine.seal import Seal

_PROFILE = "/opt/python/sealed.json"
_MODEL = "/opt/python/jail.py"
"""Any file of the image: it stands for the model that the load may read."""


def seal_process() -> None:
    """Take the steps of `corral.engine.worker.main`.

    Raises:
        SealError: a wall could not be put up.
    """
    in_gvisor = os.path.exists("/proc/sentry-meminfo")
    seal = Seal(_PROFILE, landlock=not in_gvisor)
    seal.before_load(_MODEL)
    seal.after_load()
    seal.finish()
