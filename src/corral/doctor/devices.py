"""Facts about accelerators: which are there, and which CDI offers.

Trust: operator side. Input: names in /dev, CDI specifications of the operator (JSON; of YAML ones
only the file name is shown). CDI: https://github.com/cncf-tags/container-device-interface
"""

from __future__ import annotations

import json
from typing import Final

from corral.doctor.fact import Fact
from corral.doctor.files import HostFiles

CDI_FOLDERS: Final = ("/etc/cdi", "/var/run/cdi")
_DEVICES: Final = ("nvidia", "dri", "kfd", "accel")
_SPEC_BYTES: Final = 1 << 20


def accelerators(files: HostFiles) -> Fact:
    """Return what is there; a jail gets a device only where the operator gives it one."""
    nodes = [n for n in files.names("/dev") if n.startswith(_DEVICES)]
    offers = [
        offer
        for folder in CDI_FOLDERS
        for name in files.names(folder)
        for offer in _offers(files, f"{folder}/{name}")
    ]
    found = f"devices: {', '.join(nodes) or 'none'}; CDI: {', '.join(offers) or 'none'}"
    return Fact("accelerators", "host-owned", found)


def _offers(files: HostFiles, name: str) -> list[str]:
    if name.endswith((".yaml", ".yml")):
        return [name]
    if not name.endswith(".json"):
        return []
    text = files.read(name)
    try:
        document = json.loads(text if len(text) <= _SPEC_BYTES else "")
        return [f"{document['kind']}={one['name']}" for one in document["devices"]]
    except (ValueError, TypeError, KeyError):
        return [f"{name} (not readable)"]
