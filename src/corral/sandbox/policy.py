"""What one kind of jail may do: a `Policy` as plain data, read from `profiles/<kind>.toml`.

Trust: trusted base. Input: our own shipped profiles; a key that is not known is an error, so that a
misspelt restriction cannot silently vanish. `sandbox.oci` compiles a policy to a bundle.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any, Final

from corral.core.errors import SandboxError

KINDS: Final = ("engine", "scan", "guard", "media", "fetch", "gateway")
NAMESPACES: Final = ("user", "mount", "pid", "network", "ipc", "uts", "cgroup")
"""Namespaces of the OCI runtime spec that a profile may ask for."""


@dataclass(frozen=True, slots=True)
class SyscallArg:
    """One condition on a syscall argument, as in the OCI runtime spec."""

    index: int
    value: int
    op: str
    value_two: int = 0


@dataclass(frozen=True, slots=True)
class SyscallRule:
    """System calls that are allowed, and what needs them.

    Attributes:
        why: the code that needs the calls; every rule has a reason.
        errno: set for a rule that denies with this error number instead of allowing.
        machine: set for a rule that counts on this machine only (`x86_64`, `aarch64`).
    """

    names: tuple[str, ...]
    why: str
    args: tuple[SyscallArg, ...] = ()
    errno: int = 0
    machine: str = ""


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything a jail of one kind may do; what is not named is denied.

    Attributes:
        module: the Python module that runs in the jail.
        title: the name that `ps` shows.
        namespaces: those that are new; a profile without `network` shares the host's network.
        tmp_bytes: size of the only writable folder, a noexec tmpfs on /tmp.
        pids: most tasks (threads) of the jail.
        memory_bytes: cgroup memory limit; 0 if each start names its own.
        cpu_shares: weight against other groups when the cores are contended; 1024 is the kernel's
            own default (cgroup v1 `cpu.shares`; runtimes translate it for version 2).
        cpu_cores: most processor time, in cores; 0 for no bound. A bound that equals the cores of
            the host bounds nothing and costs: the kernel throttled a lone worker for 150 ms at a
            time (docs/benchmarks.md).
        deadline_s: life time; 0 for no end.
        writes_files: False sets RLIMIT_FSIZE to 0. The jail entry does it, because crun still
            writes to cgroup files when the runtime's own limits are in force.
        rlimits: resource -> soft and hard limit.
        host_files: files of the host that are visible read-only.
        syscalls: the allow-list; the default action is EPERM.
    """

    kind: str
    module: str
    title: str
    namespaces: tuple[str, ...]
    tmp_bytes: int
    pids: int
    memory_bytes: int
    cpu_shares: int
    cpu_cores: int
    deadline_s: int
    writes_files: bool
    rlimits: tuple[tuple[str, int], ...]
    host_files: tuple[str, ...]
    syscalls: tuple[SyscallRule, ...]

    def stretched(self, seconds: int) -> Policy:
        """Return the same policy with a longer life and more processor time."""
        rlimits = tuple((n, v + seconds * (n == "RLIMIT_CPU")) for n, v in self.rlimits)
        return replace(self, deadline_s=self.deadline_s + seconds, rlimits=rlimits)


def load_policy(kind: str) -> Policy:
    """Read the shipped profile of `kind`.

    Raises:
        SandboxError: codes `unknown_profile`, `bad_profile`.
    """
    if kind not in KINDS:
        raise SandboxError("unknown_profile", "there is no such sandbox profile")
    text = resources.files("corral.sandbox").joinpath("profiles", f"{kind}.toml").read_text()
    base = resources.files("corral.sandbox").joinpath("profiles", "base.toml").read_text()
    return parse_policy(kind, tomllib.loads(text), tomllib.loads(base))


def sealed_document(kind: str) -> str:
    """Return what a jail of `kind` may still call once it is sealed, as JSON for its image.

    The rules of `profiles/KIND_sealed.toml`, `[]` where a kind has none; see `corral.engine.seal`.
    """
    path = resources.files("corral.sandbox").joinpath("profiles", f"{kind}_sealed.toml")
    return json.dumps(tomllib.loads(path.read_text())["syscalls"] if path.is_file() else [])


def parse_policy(kind: str, table: dict[str, Any], base: dict[str, Any]) -> Policy:
    """Turn a profile document into a `Policy`; `base` gives the rules every jail shares.

    Raises:
        SandboxError: code `bad_profile`.
    """
    try:
        rules = tuple(_rule(dict(r)) for r in (*base["syscalls"], *table.pop("syscalls")))
        rlimits = {**base["rlimits"], **table.pop("rlimits", {})}
        namespaces = tuple(table.pop("namespaces"))
        policy = Policy(
            kind=kind,
            syscalls=rules,
            rlimits=tuple(sorted(rlimits.items())),
            namespaces=namespaces,
            host_files=tuple(table.pop("host_files", ())),
            **table,
        )
    except (KeyError, TypeError) as error:
        raise SandboxError("bad_profile", f"profile {kind} is malformed: {error}") from error
    unknown = set(namespaces) - set(NAMESPACES)
    if unknown or not {"user", "mount", "pid", "ipc", "uts"} <= set(namespaces):
        raise SandboxError("bad_profile", f"profile {kind} has a wrong set of namespaces")
    return policy


def _rule(table: dict[str, Any]) -> SyscallRule:
    args = tuple(SyscallArg(**a) for a in table.pop("args", ()))
    rule = SyscallRule(names=tuple(table.pop("names")), args=args, **table)
    if not rule.why.strip() or not rule.names:
        raise TypeError("a rule needs names and a reason")
    return rule
