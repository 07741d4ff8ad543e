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
    lists = (files.path(f"{_INFO}/{name}.list"), *files.path(_INFO).glob(f"{name}:*.list"))
    owned = {line for one in lists for line in files.read(f"{_INFO}/{one.name}").splitlines()}
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
    # The file has thousands of stanzas: only the one that begins with the name is taken apart.
    _, found, rest = f"\n\n{files.read(_STATUS)}".partition(f"\n\nPackage: {name}\n")
    stanza = rest.partition("\n\n")[0].splitlines() if found else []
    fields = dict(line.partition(": ")[::2] for line in stanza if not line.startswith(" "))
    return fields.get("Version", "") if fields.get("Status", "").endswith(" installed") else ""
