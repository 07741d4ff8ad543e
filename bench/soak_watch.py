"""What the soak looks at every few seconds: memory, descriptors, processes, mounts, files."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

from corral_side import CorralServer
from processes import descendants, private_memory

from tests.support.server import leftovers_of

OWN = ("monitor", "launcher", "gateway")


@dataclass(frozen=True, slots=True)
class Sample:
    """One look.

    Attributes:
        at_s: since the first look.
        memory_mib: by process: what no file backs (Pss_Anon), and with its share of files (Pss).
        descriptors: open ones, by process.
        processes: of the server, its jails and their runtimes among them.
        files: in the state folder, without what never changes there (images, blobs) and without
            the log and audit segments, whose number is their rotation's.
        temporary: files in the server's temporary folder, which is nobody else's.
    """

    at_s: float
    memory_mib: dict[str, tuple[float, float]]
    descriptors: dict[str, int]
    workers: int
    processes: int
    groups: int
    mounts: int
    files: int
    temporary: int

    @property
    def footprint(self) -> dict[str, object]:
        """Return what must be the same whenever the server is at rest."""
        return {
            "descriptors": self.descriptors,
            "workers": self.workers,
            "processes": self.processes,
            "groups": self.groups,
            "mounts": self.mounts,
            "files": self.files,
            "temporary": self.temporary,
        }


@dataclass
class Watch:
    """Takes samples of one server; its processes are those of its start, and must stay."""

    server: CorralServer
    own: dict[str, int]
    temporary: Path
    samples: list[Sample] = field(default_factory=list)
    began_s: float = field(default_factory=time.monotonic)

    def look(self) -> Sample:
        """Take one sample and keep it.

        Raises:
            FileNotFoundError: a process of corral's own has gone.
        """
        memory = {name: private_memory(pid) for name, pid in self.own.items()}
        left = leftovers_of(self.server.home.root)
        one = Sample(
            at_s=round(time.monotonic() - self.began_s, 1),
            memory_mib={
                name: (round(each.anonymous, 3), round(each.proportional, 3))
                for name, each in memory.items()
            },
            descriptors={
                name: len(list(Path(f"/proc/{pid}/fd").iterdir())) for name, pid in self.own.items()
            },
            workers=len(self.server.workers()),
            processes=len(descendants(self.server.monitor_pid)) + 1,
            groups=len(left["cgroups"]),
            mounts=_mounts(self.own["launcher"]),
            files=_files(self.server.home.root),
            temporary=sum(len(files) for _, _, files in os.walk(self.temporary)),
        )
        self.samples.append(one)
        return one

    def until_at_rest(self, limit_s: float) -> bool:
        """Return whether every worker and every process of one had gone in time."""
        until = time.monotonic() + limit_s
        while time.monotonic() < until:
            if not self.server.workers() and len(descendants(self.server.monitor_pid)) <= len(OWN):
                return True
            time.sleep(0.5)
        return False


def _mounts(pid: int) -> int:
    return len(Path(f"/proc/{pid}/mounts").read_text(encoding="utf-8").splitlines())


def _files(root: Path) -> int:
    found = 0
    for folder, names, files in os.walk(root):
        if Path(folder) == root:
            names[:] = [one for one in names if one not in {"images", "store", "log"}]
        found += sum(not one.startswith("audit") and ".jsonl" not in one for one in files)
    return found
