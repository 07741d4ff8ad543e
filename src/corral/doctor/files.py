"""Read small files of the host; what cannot be read is empty.

Trust: operator side. Input: files of the kernel and of the package manager.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class HostFiles:
    """The host's file tree.

    Attributes:
        root: `/`, or a tree that a test made.
    """

    root: Path = Path("/")

    def path(self, name: str) -> Path:
        """Return the path of an absolute name."""
        return self.root / name.lstrip("/")

    def read(self, name: str) -> str:
        """Return a file's text without surrounding space; empty if it cannot be read."""
        try:
            return self.path(name).read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return ""

    def exists(self, name: str) -> bool:
        """Return whether there is something of that name."""
        return self.path(name).exists()

    def names(self, folder: str) -> list[str]:
        """Return the names in a folder, sorted; empty if there is none."""
        try:
            return sorted(one.name for one in self.path(folder).iterdir())
        except OSError:
            return []
