from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from corral.cli.readback import Row, read_back
from tests.support.children import ended

ZERO = "0" * 16


def verdicts(rows: tuple[Row, ...]) -> dict[str, str]:
    return {row.wall: row.verdict for row in rows}


def jailed(proc: Path) -> None:
    """Write the /proc of a fully jailed process 7 as seen by a plain one."""
    for pid, inode in (("7", 1), ("self", 2)):
        (proc / pid / "ns").mkdir(parents=True)
        for name in ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time"):
            (proc / pid / "ns" / name).symlink_to(f"{name}:[{inode}]")
    folder = proc / "7"
    caps = "".join(f"{c}:\t{ZERO}\n" for c in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"))
    (folder / "status").write_text(
        f"Uid:\t200000\t200000\t200000\t200000\n{caps}NoNewPrivs:\t1\nSeccomp:\t2\n"
        "Seccomp_filters:\t2\nThreads:\t3\n"
    )
    (folder / "net").mkdir()
    (folder / "net" / "dev").write_text("Inter-|\n face |\n    lo: 0 0\n")
    (folder / "limits").write_text(
        "Limit  Soft  Hard\nMax core file size  0  0  bytes\nMax open files  64  64  files\n"
    )
    group = proc / "cgroup" / "jail" / "7"
    group.mkdir(parents=True)
    (group / "memory.max").write_text("max\n")
    (group.parent / "memory.max").write_text(f"{512 << 20}\n")
    (group / "pids.max").write_text("32\n")
    (folder / "cgroup").write_text("0::/above/jail/7\n")
    (proc / "self" / "mountinfo").write_text(
        f"30 20 0:1 /above {proc / 'cgroup'} rw - cgroup2 cgroup2 rw\n"
    )
    (folder / "environ").write_bytes(b"")
    (folder / "fd").mkdir()
    (folder / "fd" / "0").symlink_to("pipe:[1]")
    (folder / "fd" / "3").symlink_to("/store/secret-path")


def test_a_jailed_process_shows_every_wall(tmp_path: Path) -> None:
    jailed(tmp_path)
    rows = read_back(7, proc=tmp_path)
    assert "absent" not in verdicts(rows).values()
    values = {row.wall: row.value for row in rows}
    assert values["cgroup: memory"] == "512 MiB"
    assert values["seccomp"] == "filter, 2 filter(s)"
    assert values["open descriptors"] == "file:1 pipe:1"


@pytest.mark.claim("SEE-01")
@pytest.mark.parametrize(
    ("file", "before", "after", "wall"),
    [
        ("status", "Seccomp:\t2", "Seccomp:\t0", "seccomp"),
        ("status", "NoNewPrivs:\t1", "NoNewPrivs:\t0", "no_new_privs"),
        ("status", f"CapBnd:\t{ZERO}", "CapBnd:\t0000000000000400", "capabilities"),
        ("status", "CapEff:", "Cap:", "capabilities"),
        ("status", "Uid:\t200000", "Uid:\t0", "uid on the host"),
        ("net/dev", "    lo: 0 0", "    lo: 0 0\n  eth0: 0 0", "network interfaces"),
        ("limits", "Max core file size  0", "Max core file size  unlimited", "rlimit: core file"),
        ("cgroup", "/above/jail/7", "/above", "cgroup: processes"),
    ],
)
def test_each_missing_wall_is_seen(
    tmp_path: Path, file: str, before: str, after: str, wall: str
) -> None:
    jailed(tmp_path)
    path = tmp_path / "7" / file
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    assert verdicts(read_back(7, proc=tmp_path))[wall] == "absent"


def test_a_shared_network_namespace_is_seen(tmp_path: Path) -> None:
    jailed(tmp_path)
    link = tmp_path / "7" / "ns" / "net"
    link.unlink()
    link.symlink_to("net:[2]")
    assert verdicts(read_back(7, proc=tmp_path))["own namespaces"] == "absent"


def test_a_process_that_is_gone_has_no_walls(tmp_path: Path) -> None:
    (tmp_path / "self").mkdir()
    found = verdicts(read_back(7, proc=tmp_path))
    assert "enforced" not in found.values()


def test_a_plain_process_of_this_host_is_not_taken_for_a_jail() -> None:
    with ended(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)) as child:
        found = verdicts(read_back(child.pid))
        child.kill()
    assert found["own namespaces"] == "absent"
    assert found["network interfaces"] == "absent" or [
        p.name for p in Path("/sys/class/net").iterdir()
    ] == ["lo"]
