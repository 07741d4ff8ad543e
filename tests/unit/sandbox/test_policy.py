"""A profile that says something unknown is refused: a misspelt restriction must not vanish."""

from __future__ import annotations

from typing import Any

import pytest

from corral.core.errors import SandboxError
from corral.sandbox.policy import KINDS, load_policy, parse_policy


def document() -> dict[str, Any]:
    return {
        "module": "m",
        "title": "t",
        "namespaces": ["user", "mount", "pid", "ipc", "uts", "network"],
        "tmp_bytes": 1,
        "pids": 1,
        "memory_bytes": 0,
        "cpu_shares": 1024,
        "cpu_cores": 0,
        "deadline_s": 0,
        "writes_files": False,
        "syscalls": [{"names": ["a"], "why": "because", "args": [
            {"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]}],
    }  # fmt: skip


def base() -> dict[str, Any]:
    return {
        "rlimits": {"RLIMIT_CORE": 0, "RLIMIT_NOFILE": 9},
        "syscalls": [{"names": ["read"], "why": "files"}],
    }


@pytest.mark.parametrize("kind", KINDS)
def test_every_shipped_profile_loads(kind: str) -> None:
    policy = load_policy(kind)
    assert policy.title == f"corral-{kind}"
    assert policy.pids > 0
    assert dict(policy.rlimits)["RLIMIT_CORE"] == 0
    assert all(len(rule.why) > 10 for rule in policy.syscalls)


@pytest.mark.claim("SBX-08")
@pytest.mark.parametrize("kind", KINDS)
def test_no_profile_allows_what_leads_out(kind: str) -> None:
    allowed = {name for rule in load_policy(kind).syscalls if not rule.errno for name in rule.names}
    assert not allowed & {
        "bpf", "ptrace", "process_vm_readv", "process_vm_writev", "mount", "umount2", "pivot_root",
        "unshare", "setns", "keyctl", "add_key", "request_key", "io_uring_setup", "userfaultfd",
        "perf_event_open", "init_module", "finit_module", "kexec_load", "fork", "vfork",
        "execveat", "memfd_create", "open_by_handle_at", "kill", "tkill", "clone3", "setuid",
        "personality",
    }  # fmt: skip


@pytest.mark.claim("SBX-09")
def test_only_the_fetcher_shares_the_network() -> None:
    assert [k for k in KINDS if "network" not in load_policy(k).namespaces] == ["fetch"]


@pytest.mark.claim("SBX-09")
@pytest.mark.parametrize("kind", ["engine", "scan", "gateway"])
def test_nobody_else_connects(kind: str) -> None:
    names = {name for rule in load_policy(kind).syscalls for name in rule.names}
    assert "connect" not in names


def test_a_profile_adds_to_the_base_and_may_change_its_limits() -> None:
    table = {**document(), "rlimits": {"RLIMIT_NOFILE": 5}, "host_files": ["/etc/hosts"]}
    policy = parse_policy("k", table, base())
    assert policy.rlimits == (("RLIMIT_CORE", 0), ("RLIMIT_NOFILE", 5))
    assert [rule.names for rule in policy.syscalls] == [("read",), ("a",)]
    assert policy.host_files == ("/etc/hosts",)


@pytest.mark.parametrize(
    "change",
    [
        {"writes_file": False},
        {"namespaces": ["user", "mount", "pid", "ipc"]},
        {"namespaces": ["user", "mount", "pid", "ipc", "uts", "net"]},
        {"syscalls": [{"names": ["a"]}]},
        {"syscalls": [{"names": ["a"], "why": " "}]},
        {"syscalls": [{"names": [], "why": "because"}]},
        {"syscalls": [{"why": "because"}]},
        {"syscalls": [{"names": ["a"], "why": "because", "arg": []}]},
        {"syscalls": [{"names": ["a"], "why": "because", "args": [{"indx": 0}]}]},
    ],
)
def test_a_malformed_profile_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(SandboxError) as caught:
        parse_policy("k", {**document(), **change}, base())
    assert caught.value.code == "bad_profile"


@pytest.mark.parametrize("key", ["module", "pids", "namespaces", "syscalls", "writes_files"])
def test_a_missing_key_is_refused(key: str) -> None:
    table = document()
    del table[key]
    with pytest.raises(SandboxError) as caught:
        parse_policy("k", table, base())
    assert caught.value.code == "bad_profile"


def test_an_unknown_kind() -> None:
    with pytest.raises(SandboxError) as caught:
        load_policy("../engine")
    assert caught.value.code == "unknown_profile"


def test_a_stretched_policy_has_more_time_and_nothing_else() -> None:
    policy = load_policy("scan")
    longer = policy.stretched(40)
    assert longer.deadline_s == policy.deadline_s + 40
    assert dict(longer.rlimits)["RLIMIT_CPU"] == dict(policy.rlimits)["RLIMIT_CPU"] + 40
    assert longer.stretched(-40) == policy
