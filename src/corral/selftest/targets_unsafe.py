"""What the attacks are aimed at: a process, sockets and files that the selftest itself made.

Trust: operator side. Input: trusted. Everything is gone when the context ends.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_NAMESPACES: Final = ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup")
_SLEEP: Final = "import time; time.sleep(600)"


@dataclass(frozen=True, slots=True)
class Targets:
    """Victims of one selftest.

    Attributes:
        folder: private folder of the host; `secret` lies in it.
    """

    folder: Path
    victim: int
    port: int
    abstract: str
    namespaces: dict[str, str]
    blobs: Path

    def request(
        self, zone: str, *, control: bool, scratch: str, only: str = "", skip: tuple[str, ...] = ()
    ) -> dict[str, object]:
        """Return what a probe program is told."""
        return {
            "zone": zone, "control": control, "scratch": scratch, "only": only, "skip": list(skip),
            "namespaces": self.namespaces, "secret": str(self.folder / "secret"),
            "blobs": str(self.blobs), "victim": self.victim, "port": self.port,
            "abstract": self.abstract, "unix": str(self.folder / "socket"),
        }  # fmt: skip


@contextmanager
def made_targets(blobs: Path) -> Iterator[Targets]:
    """Make the victims; end them afterwards.

    Args:
        blobs: the model store of this installation, which no probe may list.
    """
    folder = Path(tempfile.mkdtemp(prefix="corral-selftest-"))
    victim = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _SLEEP],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={},
    )  # fmt: skip
    try:
        (folder / "secret").write_text("a secret of the host\n")
        abstract = f"corral-selftest-{os.urandom(8).hex()}"
        with (
            socket.create_server(("127.0.0.1", 0), backlog=64) as tcp,
            _unix(f"\0{abstract}"), _unix(str(folder / "socket")),
        ):  # fmt: skip
            yield Targets(
                    folder=folder, victim=victim.pid, port=tcp.getsockname()[1], abstract=abstract,
                    namespaces={
                        kind: str(Path(f"/proc/self/ns/{kind}").readlink())
                        for kind in _NAMESPACES
                    },
                    blobs=blobs,
                )  # fmt: skip
    finally:
        victim.kill()
        victim.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _unix(address: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(address)
    listener.listen(64)
    return listener
