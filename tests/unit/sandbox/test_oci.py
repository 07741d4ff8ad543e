"""The bundle of each kind of jail is what the golden files show.

`UPDATE_GOLDEN=1 pytest tests/unit/sandbox/test_oci.py` writes them anew; the diff is the review.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from corral.sandbox.oci import (
    DATA_BYTES_MIN,
    Bind,
    Edits,
    Start,
    compile_bundle,
    compile_seccomp,
)
from corral.sandbox.policy import KINDS, SyscallArg, SyscallRule, load_policy

GOLDEN = Path(__file__).parent / "golden"
BASE = Start(
    rootfs="/mnt/images/kind",
    args=(),
    title_suffix="",
    host_uid=1_073_741_840,
    cgroup_path="/corral-0/serve-1/kind-1",
    memory_bytes=1 << 30,
)
STARTS = {
    "engine": replace(
        BASE, title_suffix="default/SmolLM2", args=("--threads", "2", "--model", "/proc/self/fd/3")
    ),
    "scan": replace(BASE, args=("--candidate", "/proc/self/fd/3")),
    "guard": replace(BASE, binds=(Bind("/mnt/bundles/guard-1.folder", "/quarantine"),)),
    "media": BASE,
    "fetch": replace(BASE, binds=(Bind("/mnt/quarantine/a", "/quarantine", writable=True),)),
    "gateway": replace(BASE, binds=(Bind("/mnt/state", "/state", writable=True),)),
}
RULES = (
    SyscallRule(("read", "write"), "files"),
    SyscallRule(("socket",), "unix", (SyscallArg(0, 1, "SCMP_CMP_EQ"),)),
    SyscallRule(("clone3",), "not filterable", errno=38),
)


@pytest.mark.parametrize("kind", KINDS)
def test_bundle_is_as_agreed(kind: str) -> None:
    bundle = compile_bundle(load_policy(kind), STARTS[kind], machine="x86_64")
    file = GOLDEN / f"{kind}.json"
    text = json.dumps(bundle, indent=1) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    assert text == file.read_text()


@pytest.mark.parametrize("kind", KINDS)
def test_walls_that_every_jail_has(kind: str) -> None:
    bundle = compile_bundle(load_policy(kind), STARTS[kind])
    process = bundle["process"]
    assert process["noNewPrivileges"] is True
    assert process["env"] == []
    assert set(map(tuple, process["capabilities"].values())) == {()}
    assert bundle["root"]["readonly"] is True
    for mount in bundle["mounts"]:
        assert {"nosuid", "noexec"} <= set(mount["options"])
    assert bundle["linux"]["seccomp"]["defaultAction"] == "SCMP_ACT_ERRNO"
    assert bundle["linux"]["resources"]["memory"]["limit"] == 1 << 30


def test_what_a_strict_start_adds() -> None:
    node = Bind("/dev/gpu7", "/dev/gpu0", writable=True, node=True)
    library = Bind("/lib/a.so", "/usr/lib/a.so", runs=True)
    edits = Edits(((195, 0),), (library, node), ("A=b=c",))
    start = replace(STARTS["engine"], cpus="1,3", no_swap=True, edits=edits)
    bundle = compile_bundle(load_policy("engine"), start)
    resources = bundle["linux"]["resources"]
    assert resources["cpu"]["cpus"] == "1,3"
    assert resources["memory"] == {"limit": 1 << 30, "swap": 1 << 30}
    assert resources["devices"] == [
        {"allow": False, "access": "rwm"},
        {"allow": True, "type": "c", "major": 195, "minor": 0, "access": "rw"},
    ]
    assert bundle["mounts"][-1] == {
        "destination": "/dev/gpu0", "type": "bind", "source": "/dev/gpu7",
        "options": ["bind", "nosuid", "noexec", "rw"],
    }  # fmt: skip
    assert bundle["mounts"][-2] == {
        "destination": "/usr/lib/a.so", "type": "bind", "source": "/lib/a.so",
        "options": ["bind", "nosuid", "nodev", "ro"],
    }  # fmt: skip
    assert "--env=A=b=c" in bundle["process"]["args"]
    assert bundle["process"]["env"] == []
    plain = compile_bundle(load_policy("engine"), STARTS["engine"])  # control
    assert "cpus" not in plain["linux"]["resources"]["cpu"]
    assert "swap" not in plain["linux"]["resources"]["memory"]
    assert len(plain["mounts"]) == len(bundle["mounts"]) - 2


@pytest.mark.claim("HW-03")
@pytest.mark.parametrize("kind", KINDS)
def test_no_jail_may_have_its_pages_merged(kind: str) -> None:
    rules = [rule for rule in load_policy(kind).syscalls if "madvise" in rule.names]
    assert [rule.args for rule in rules] == [(SyscallArg(2, 12, "SCMP_CMP_LT"),)]


def test_without_a_cgroup_only_rlimits_hold() -> None:
    bundle = compile_bundle(load_policy("scan"), replace(STARTS["scan"], cgroup_path=""))
    assert "resources" not in bundle["linux"]
    limits = {one["type"]: one["hard"] for one in bundle["process"]["rlimits"]}
    assert limits["RLIMIT_DATA"] == 1 << 30


def test_a_small_jail_leaves_its_runtime_room_for_threads() -> None:
    """The group holds the jail to its limit; `runc init` dies of a data limit that is so small."""
    bundle = compile_bundle(load_policy("scan"), replace(STARTS["scan"], memory_bytes=64 << 20))
    limits = {one["type"]: one["hard"] for one in bundle["process"]["rlimits"]}
    assert limits["RLIMIT_DATA"] == DATA_BYTES_MIN
    assert bundle["linux"]["resources"]["memory"]["limit"] == 64 << 20


def test_without_a_memory_limit_there_is_no_rlimit() -> None:
    bundle = compile_bundle(load_policy("scan"), replace(STARTS["scan"], memory_bytes=0))
    assert "RLIMIT_DATA" not in {one["type"] for one in bundle["process"]["rlimits"]}


@pytest.mark.parametrize(
    ("machine", "name"), [("x86_64", "SCMP_ARCH_X86_64"), ("aarch64", "SCMP_ARCH_AARCH64")]
)
def test_seccomp_names_one_architecture(machine: str, name: str) -> None:
    section = compile_seccomp(RULES, machine)
    assert section["architectures"] == [name]
    assert section["syscalls"] == [
        {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW"},
        {
            "names": ["socket"],
            "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "value": 1, "valueTwo": 0, "op": "SCMP_CMP_EQ"}],
        },
        {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
    ]


def test_a_rule_of_one_machine_counts_there_only() -> None:
    rules = (*RULES, SyscallRule(names=("faccessat",), why="glibc", machine="aarch64"))
    assert compile_seccomp(rules, "x86_64") == compile_seccomp(RULES, "x86_64")
    last: dict[str, Any] = compile_seccomp(rules, "aarch64")["syscalls"][-1]
    assert last == {"names": ["faccessat"], "action": "SCMP_ACT_ALLOW"}


def test_gvisor_gets_no_other_error_number() -> None:
    last: dict[str, Any] = compile_seccomp(RULES, "x86_64", gvisor=True)["syscalls"][-1]
    assert last == {"names": ["clone3"], "action": "SCMP_ACT_ALLOW"}


def test_an_unknown_machine_has_no_profile() -> None:
    with pytest.raises(KeyError):
        compile_seccomp(RULES, "riscv64")
