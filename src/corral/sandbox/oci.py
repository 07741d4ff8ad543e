"""Compile a `Policy` and one start's particulars to an OCI runtime-spec document; pure.

Trust: trusted base. Input: trusted. Golden-tested: tests/unit/sandbox/golden/*.json.
Spec: https://github.com/opencontainers/runtime-spec (1.0.2).
"""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from typing import Any, Final

from corral.sandbox.cgroup import CPU_PERIOD_US
from corral.sandbox.policy import Policy, SyscallRule

PYTHON: Final = "/opt/python/bin/"
"""Folder of the interpreter in every image; a link per process kind gives `ps` its name."""
ENTRY: Final = "/opt/python/jail.py"
"""In every image a link to `corral/jail/entry_unsafe.py`."""
SEALED_PROFILE: Final = "/opt/python/sealed.json"
"""In every image: `policy.sealed_document`."""
DATA_BYTES_MIN: Final = 128 << 20
"""The least RLIMIT_DATA. `runc init` runs under it too, and 8 MiB of stack for each of its threads
count: under 64 MiB it now and then died on a busy host, before it had come to the jail's program.
The control group holds a jail to its exact limit."""
_ARCHITECTURES: Final = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}
_CAPABILITY_SETS: Final = ("bounding", "effective", "permitted", "inheritable", "ambient")


@dataclass(frozen=True, slots=True)
class Bind:
    """One file or folder of the launcher's private tree that the jail sees.

    Attributes:
        runs: code in it may be executed, e.g. a device's user-space driver.
        node: it is a device; making one in the jail would take CAP_MKNOD, which the launcher drops.
    """

    source: str
    destination: str
    writable: bool = False
    runs: bool = False
    node: bool = False


@dataclass(frozen=True, slots=True)
class Edits:
    """What the CDI specs of a jail's devices add to it.

    Attributes:
        numbers: major and minor of its character devices, which also are among the binds.
        env: `NAME=VALUE`; the jail entry sets them, after it has emptied the environment.
    """

    numbers: tuple[tuple[int, int], ...] = ()
    binds: tuple[Bind, ...] = ()
    env: tuple[str, ...] = ()

    def plus(self, other: Edits) -> Edits:
        """Return both together."""
        return Edits(self.numbers + other.numbers, self.binds + other.binds, self.env + other.env)


@dataclass(frozen=True, slots=True)
class Start:
    """The particulars of one start.

    Attributes:
        rootfs: the image's folder, absolute.
        args: arguments after the interpreter and the jail entry.
        title_suffix: shown in `ps` after the title; e.g. `default/SmolLM2`.
        host_uid: id (user and group) on the host that the jail's id 0 maps to.
        cgroup_path: path below each cgroup hierarchy; empty where the host grants none.
        memory_bytes: cgroup limit and, from `DATA_BYTES_MIN` on, RLIMIT_DATA.
        gvisor: the runtime is runsc, whose seccomp knows no error number but EPERM.
        cpus: processors that are this jail's alone; empty for all of the host's.
        no_swap: nothing of the jail may be swapped out.
        edits: what its devices add.
    """

    rootfs: str
    args: tuple[str, ...]
    title_suffix: str
    host_uid: int
    cgroup_path: str
    memory_bytes: int
    binds: tuple[Bind, ...] = ()
    gvisor: bool = False
    cpus: str = ""
    no_swap: bool = False
    edits: Edits = field(default_factory=Edits)


def compile_bundle(policy: Policy, start: Start, *, machine: str = "") -> dict[str, Any]:
    """Return the `config.json` of a jail.

    Args:
        policy: what this kind of jail may do.
        start: this start's particulars.
        machine: `x86_64` or `aarch64`; default: this host's.
    """
    program = PYTHON + policy.title
    argv = [program, "-I", "-S", "-B", ENTRY, policy.module, *start.args]
    if start.title_suffix:
        argv.append(f"--title={start.title_suffix}")
    if not policy.writes_files:
        argv.append("--lock=files")
    argv += [f"--env={one}" for one in start.edits.env]
    rlimits = dict(policy.rlimits)
    if start.memory_bytes:
        rlimits["RLIMIT_DATA"] = max(start.memory_bytes, DATA_BYTES_MIN)
    linux: dict[str, Any] = {
        "namespaces": [{"type": name} for name in policy.namespaces],
        "uidMappings": [{"containerID": 0, "hostID": start.host_uid, "size": 1}],
        "gidMappings": [{"containerID": 0, "hostID": start.host_uid, "size": 1}],
        "seccomp": compile_seccomp(
            policy.syscalls, machine or platform.machine(), gvisor=start.gvisor
        ),
        "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
                        "/proc/sched_debug", "/proc/scsi", "/proc/acpi", "/sys/firmware"],
        "readonlyPaths": ["/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus"],
    }  # fmt: skip
    if start.cgroup_path:
        linux["cgroupsPath"] = start.cgroup_path
        linux["resources"] = {
            "devices": [
                {"allow": False, "access": "rwm"},
                *(
                    {"allow": True, "type": "c", "major": a, "minor": b, "access": "rw"}
                    for a, b in start.edits.numbers
                ),
            ],
            "memory": {"limit": start.memory_bytes},
            "pids": {"limit": policy.pids},
            "cpu": _cpu(policy),
        }
        if start.no_swap:  # memory and swap together, also where version 2 counts them apart
            linux["resources"]["memory"]["swap"] = start.memory_bytes
        if start.cpus:
            linux["resources"]["cpu"]["cpus"] = start.cpus
    return {
        "ociVersion": "1.0.2",
        "hostname": "jail",
        "process": {
            "terminal": False,
            "user": {"uid": 0, "gid": 0},
            "args": argv,
            "env": [],
            "cwd": "/",
            "noNewPrivileges": True,
            "capabilities": {name: [] for name in _CAPABILITY_SETS},
            "rlimits": [{"type": n, "soft": v, "hard": v} for n, v in sorted(rlimits.items())],
        },
        "root": {"path": start.rootfs, "readonly": True},
        "mounts": _mounts(policy, start),
        "linux": linux,
    }


def _cpu(policy: Policy) -> dict[str, Any]:
    cpu: dict[str, Any] = {"shares": policy.cpu_shares}
    if policy.cpu_cores:
        cpu |= {"period": CPU_PERIOD_US, "quota": policy.cpu_cores * CPU_PERIOD_US}
    return cpu


def compile_seccomp(
    rules: tuple[SyscallRule, ...], machine: str, *, gvisor: bool = False
) -> dict[str, Any]:
    """Return the seccomp section: default EPERM, the rules allow.

    Rules that give another error number become allowances under gVisor: the calls reach only the
    sentry, which answers ENOSYS by itself.

    Raises:
        KeyError: there is no profile for this machine's architecture.
    """
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 1,
        "architectures": [_ARCHITECTURES[machine]],
        "syscalls": [_syscall(r, gvisor=gvisor) for r in rules if r.machine in {"", machine}],
    }


def _syscall(rule: SyscallRule, *, gvisor: bool) -> dict[str, Any]:
    entry: dict[str, Any] = {"names": list(rule.names), "action": "SCMP_ACT_ALLOW"}
    if rule.errno and not gvisor:
        entry |= {"action": "SCMP_ACT_ERRNO", "errnoRet": rule.errno}
    if rule.args:
        entry["args"] = [
            {"index": a.index, "value": a.value, "valueTwo": a.value_two, "op": a.op}
            for a in rule.args
        ]
    return entry


def _mounts(policy: Policy, start: Start) -> list[dict[str, Any]]:
    mounts: list[dict[str, Any]] = [
        {
            "destination": "/proc",
            "type": "proc",
            "source": "proc",
            # Read-only: a write to /proc/self/mem changes code that no mprotect may change.
            "options": ["nosuid", "noexec", "nodev", "ro", "subset=pid", "hidepid=invisible"],
        },
        {
            "destination": "/dev",
            "type": "tmpfs",
            "source": "tmpfs",
            "options": ["nosuid", "noexec", "size=65536", "mode=755"],
        },
        {
            "destination": "/tmp",  # noqa: S108 - inside the jail, private to it
            "type": "tmpfs",
            "source": "tmpfs",
            "options": ["nosuid", "noexec", "nodev", f"size={policy.tmp_bytes}", "mode=700"],
        },
    ]
    host_files = [Bind(path, path) for path in policy.host_files]
    return mounts + [_bind(bind) for bind in (*host_files, *start.binds, *start.edits.binds)]


def _bind(bind: Bind) -> dict[str, Any]:
    locks = ("nosuid", *(() if bind.node else ("nodev",)), *(() if bind.runs else ("noexec",)))
    return {
        "destination": bind.destination,
        "type": "bind",
        "source": bind.source,
        "options": ["bind", *locks, "rw" if bind.writable else "ro"],
    }
