"""Which package of the distribution a program came from.

Trust: operator side. Input: dpkg's own files; a program that no package owns (a build of the
operator's own, say) has no distribution's fixes, whatever package of that name is installed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from corral.doctor.files import HostFiles

_INFO: Final = "/var/lib/dpkg/info"
_STATUS: Final = "/var/lib/dpkg/status"


@dataclass(frozen=True, slots=True)
class Package:
    """An installed package.

    Attributes:
        distribution: such as `debian-12`; empty if unknown.
    """

    name: str
    version: str
    distribution: str


def package_of(files: HostFiles, name: str, path: str) -> Package | None:
    """Return the package called `name` if it is installed and owns the program at `path`."""
    # Since the merge of /bin and /usr/bin, either spelling can be in the list.
    spellings = {path, path.removeprefix("/usr"), f"/usr{path}"}
    owned: set[str] = set()
    for listed in files.names(_INFO):
        if listed == f"{name}.list" or (listed.startswith(f"{name}:") and listed.endswith(".list")):
            owned |= set(files.read(f"{_INFO}/{listed}").splitlines())
    if not owned & spellings:
        return None
    version = _version(files, name)
    return Package(name, version, distribution(files)) if version else None


def distribution(files: HostFiles) -> str:
    """Return `ID-VERSION_ID` of os-release(5), such as `debian-12`; empty if unknown."""
    told = dict(
        line.partition("=")[::2]
        for line in files.read("/etc/os-release").splitlines()
        if "=" in line
    )
    name, version = (told.get(key, "").strip("\"'") for key in ("ID", "VERSION_ID"))
    return f"{name}-{version}" if name and version else ""


def _version(files: HostFiles, name: str) -> str:
    for stanza in files.read(_STATUS).split("\n\n"):
        fields = dict(
            line.partition(": ")[::2] for line in stanza.splitlines() if not line.startswith(" ")
        )
        if fields.get("Package") == name and fields.get("Status", "").endswith(" installed"):
            return fields.get("Version", "")
    return ""
