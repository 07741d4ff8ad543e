"""Devices by CDI name: find the spec, take from it what a jail may get, refuse the rest.

Trust: trusted base. Input: CDI specs (JSON) that only root can write; the operator names devices in
the configuration, nobody else can. Hooks are programs that would run with the launcher's rights:
a spec that has one is refused, as is every edit that is not known here.

Spec: https://github.com/cncf-tags/container-device-interface/blob/main/SPEC.md (0.6 to 1.0).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

from corral.core.errors import SandboxError
from corral.launcher.blobs import open_read_only
from corral.sandbox.oci import Bind, Edits

FOLDERS: Final = (Path("/etc/cdi"), Path("/var/run/cdi"))
_SPEC_BYTES: Final = 1 << 20
_KNOWN: Final = ("deviceNodes", "mounts", "env")
_HIDDEN: Final = ("/proc", "/sys", "/tmp", "/opt", "/state", "/model", "/adapter", "/projector")  # noqa: S108 - in the jail
_UNAFFECTED: Final = frozenset({"nvidia.com", "intel.com", "arm.com"})
"""Vendors whose GPUs were found to clear local memory between programs: CVE-2023-4969 names Apple,
AMD, Qualcomm and Imagination as affected. A vendor that nobody looked at counts as affected."""


def may_be_shared(name: str) -> bool:
    """Return whether two tenants may have a device at once if the operator accepts that."""
    return name.partition("/")[0] in _UNAFFECTED


def load_device(name: str, folders: tuple[Path, ...] = FOLDERS) -> Edits:
    """Return what a device's spec adds to a jail.

    Args:
        name: `vendor.com/class=name`.
        folders: where specs are; a later one wins.

    Raises:
        SandboxError: codes `device_unknown`, `cdi_unsafe`, `cdi_unsupported`.
    """
    kind, _, wanted = name.partition("=")
    for folder in reversed(folders):
        for file in sorted(folder.glob("*.json")):
            spec = _read(file)
            for device in spec.get("devices", ()) if spec.get("kind") == kind else ():
                if device.get("name") == wanted:
                    return _edits(spec.get("containerEdits", {}), device.get("containerEdits", {}))
    raise SandboxError(
        "device_unknown", f"no CDI spec (JSON) describes the device {name}",
        remedy="write one, e.g. nvidia-ctk cdi generate --format=json --output=/etc/cdi/gpu.json",
    )  # fmt: skip


def _read(file: Path) -> dict[str, Any]:
    try:
        with os.fdopen(open_read_only(str(file)), "rb") as stream:
            return dict(json.loads(stream.read(_SPEC_BYTES)))
    except (SandboxError, ValueError, TypeError) as error:
        raise SandboxError(
            "cdi_unsafe", f"{file} is no JSON object that only root can write",
            remedy=f"chown root {file}; chmod 644 {file}; or remove it",
        ) from error  # fmt: skip


def _edits(*parts: dict[str, Any]) -> Edits:
    try:
        unknown = sorted({key for part in parts for key in part if part[key]} - set(_KNOWN))
        if unknown:
            raise _unsupported(f"asks for {', '.join(unknown)}")
        nodes, mounts, env = ([e for p in parts for e in p.get(key, ())] for key in _KNOWN)
        devices = [_device(node) for node in nodes]
        binds = (*(bind for bind, _ in devices), *map(_bind, mounts))
        return Edits(tuple(number for _, number in devices), binds, tuple(map(_env, env)))
    except (KeyError, TypeError, AttributeError) as error:
        raise _unsupported("is malformed") from error


def _device(node: dict[str, Any]) -> tuple[Bind, tuple[int, int]]:
    path = _inside(node["path"])
    host = Path(node.get("hostPath") or path)
    if not path.startswith("/dev/") or not host.is_char_device():
        raise _unsupported(f"names {host} or {path}, which is no character device")
    # The kernel's word, not the file's: numbers in a spec are only copies.
    number = host.stat().st_rdev
    bind = Bind(str(host), path, writable=True, node=True)
    return bind, (os.major(number), os.minor(number))


def _bind(mount: dict[str, Any]) -> Bind:
    path = _inside(mount["containerPath"])
    if any(path == place or path.startswith(f"{place}/") for place in _HIDDEN):
        raise _unsupported(f"covers {path}")
    return Bind(_inside(mount["hostPath"]), path, runs=True)


def _inside(path: str) -> str:
    if os.path.normpath(path) != path or not path.startswith("/") or path == "/":
        raise _unsupported("has a path that is not absolute and plain")
    return path


def _env(text: str) -> str:
    if not text.partition("=")[0].isidentifier() or "=" not in text:
        raise _unsupported("sets an environment variable with an odd name")
    return text


def _unsupported(what: str) -> SandboxError:
    return SandboxError(
        "cdi_unsupported", f"the device's CDI spec {what}: a jail gets no such thing",
        remedy="generate the spec without it, e.g. nvidia-ctk cdi generate --disable-hook=all",
    )  # fmt: skip
