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
        folder: private folder of the host; all that a control aims at lies in it.
        marker: random text in a file of that folder and in the victim's environment: without it
            the probes refuse to run outside a jail.
        quarantine: what jails that write were given as their own folder lies there.
    """

    folder: Path
    marker: str
    victim: int
    port: int
    abstract: str
    namespaces: dict[str, str]
    blobs: Path
    quarantine: Path

    def request(
        self, zone: str, *, control: bool, scratch: str, only: str = "", skip: tuple[str, ...] = ()
    ) -> dict[str, object]:
        """Return what a probe program is told."""
        return {
            "zone": zone, "control": control, "scratch": scratch, "only": only, "skip": list(skip),
            "namespaces": self.namespaces, "secret": str(self.folder / "secret"),
            "blobs": str(self.folder / "blobs" if control else self.blobs), "victim": self.victim,
            "port": self.port, "abstract": self.abstract, "unix": str(self.folder / "socket"),
            "processors": len(os.sched_getaffinity(0)),
            **({"folder": str(self.folder), "marker": self.marker} if control else {}),
        }  # fmt: skip


@contextmanager
def made_targets(blobs: Path, quarantine: Path) -> Iterator[Targets]:
    """Make the victims; end them afterwards.

    Args:
        blobs: the model store of this installation, which no probe may list.
        quarantine: of this installation.
    """
    folder = Path(tempfile.mkdtemp(prefix="corral-selftest-"))
    marker = os.urandom(16).hex()
    victim = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _SLEEP],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={"CORRAL_SELFTEST": marker},
    )  # fmt: skip
    try:
        _fill(folder, marker)
        abstract = f"corral-selftest-{os.urandom(8).hex()}"
        with (
            socket.create_server(("127.0.0.1", 0), backlog=64) as tcp,
            _unix(f"\0{abstract}"), _unix(str(folder / "socket")),
        ):  # fmt: skip
            yield Targets(
                    folder=folder, marker=marker, victim=victim.pid,
                    port=tcp.getsockname()[1], abstract=abstract,
                    namespaces={
                        kind: str(Path(f"/proc/self/ns/{kind}").readlink())
                        for kind in _NAMESPACES
                    },
                    blobs=blobs, quarantine=quarantine,
                )  # fmt: skip
    finally:
        victim.kill()
        victim.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _fill(folder: Path, marker: str) -> None:
    """Make what controls attack; `mirror` stands for the places of a jail's tree."""
    (folder / "marker").write_text(marker, encoding="ascii")
    (folder / "secret").write_text("a secret of the host\n")
    (folder / "blobs/model").mkdir(parents=True)
    mirror = folder / "mirror"
    for name in ("opt/python/lib", "opt/python/bin", "tmp", "etc", "proc/self", "usr"):
        (mirror / name).mkdir(parents=True)
    for name in ("opt/python/jail.py", "etc/hosts", "etc/passwd", "proc/self/exe", "model"):
        (mirror / name).write_text("made by the selftest\n", encoding="ascii")
    (mirror / "opt/python/bin/python3").symlink_to(sys.executable)
    (mirror / "usr/program").touch()
    (mirror / "usr/program").chmod(0o4700)  # empty, ours, in a folder that nobody else may enter


def _unix(address: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(address)
    listener.listen(64)
    return listener
