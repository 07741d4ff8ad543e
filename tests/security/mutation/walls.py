"""Each wall, how to take it away, and the probes that must notice. Test code only.

A mutation changes the compiled bundle of one jail, in a launcher of the test. Where another wall
hides the removal, that one is taken away first (`base`), and what must change is what comes after.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Bundle = dict[str, Any]
Change = Callable[[Bundle], None]

ENTRY = (
    "import os, sys; "
    "sys.path.append(os.path.realpath(os.path.realpath('/opt/python/jail.py') + '/../../..')); "
    "import corral.jail.lockdown_unsafe as lock; PATCH; "
    "import corral.jail.entry_unsafe as entry; entry.main()"
)
WITHOUT_OPTION = (
    "old = lock._prctl; lock._prctl = lambda c, o, v, *r: None if o == OPTION else old(c, o, v, *r)"
)
SEAL = "import corral.engine.seal as seal"
NO_EXEC_FILTER = "lock._forbid_exec = lambda *_: None"


@dataclass(frozen=True)
class Wall:
    """One wall.

    Attributes:
        killers: probes that must be red without it.
        only: run just this probe (exhaustion).
    """

    change: Change
    killers: tuple[str, ...]
    zone: str = "engine"
    base: tuple[str, ...] = ()
    only: str = ""


def without_namespace(kind: str) -> Change:
    def change(bundle: Bundle) -> None:
        linux = bundle["linux"]
        linux["namespaces"] = [n for n in linux["namespaces"] if n["type"] != kind]
        if kind == "user":
            del linux["uidMappings"], linux["gidMappings"]
        if kind == "uts":
            del bundle["hostname"]

    return change


def without_mount_option(place: str, *options: str) -> Change:
    def change(bundle: Bundle) -> None:
        for mount in bundle["mounts"]:
            if mount["destination"] == place:
                mount["options"] = [o for o in mount["options"] if not o.startswith(tuple(options))]

    return change


def without_limit(name: str) -> Change:
    def change(bundle: Bundle) -> None:
        limits = bundle["process"]["rlimits"]
        bundle["process"]["rlimits"] = [li for li in limits if li["type"] != name]

    return change


def without_resource(name: str) -> Change:
    def change(bundle: Bundle) -> None:
        del bundle["linux"]["resources"][name]

    return change


def patched_entry(patch: str) -> Change:
    def change(bundle: Bundle) -> None:
        argv = bundle["process"]["args"]
        if "-c" in argv:  # patched before
            place = argv.index("-c") + 1
            argv[place] = argv[place].replace(
                "; import corral.jail.entry", f"; {patch}; import corral.jail.entry"
            )
            return
        place = argv.index("/opt/python/jail.py")
        bundle["process"]["args"] = [
            *argv[:place], "-c", ENTRY.replace("PATCH", patch), *argv[place + 1 :],
        ]  # fmt: skip

    return change


def with_capabilities(*sets: str) -> Change:
    def change(bundle: Bundle) -> None:
        for name in sets:
            bundle["process"]["capabilities"][name] = ["CAP_NET_RAW"]

    return change


def host_root_in_sight(bundle: Bundle) -> None:
    bundle["mounts"].append({
        "destination": "/state", "type": "bind", "source": "/etc", "options": ["bind", "rw"],
    })  # fmt: skip


def writable_binds(bundle: Bundle) -> None:
    for mount in bundle["mounts"]:
        if mount["destination"] == "/etc/hosts":
            mount["options"] = [o for o in mount["options"] if o != "ro"]


def mapped_to_root(bundle: Bundle) -> None:
    for kind in ("uidMappings", "gidMappings"):
        bundle["linux"][kind][0]["hostID"] = 0


def no_seccomp(bundle: Bundle) -> None:
    del bundle["linux"]["seccomp"]


def no_argument_filters(bundle: Bundle) -> None:
    for rule in bundle["linux"]["seccomp"]["syscalls"]:
        if set(rule["names"]) & {"sendto", "sendmsg"}:
            rule.pop("args", None)


def may_clone(bundle: Bundle) -> None:
    for rule in bundle["linux"]["seccomp"]["syscalls"]:
        if "clone" in rule["names"]:
            rule.pop("args", None)


def without_arguments(name: str) -> Change:
    """Let a system call through whatever its arguments are."""

    def change(bundle: Bundle) -> None:
        rules = [r for r in bundle["linux"]["seccomp"]["syscalls"] if name in r["names"]]
        assert any("args" in rule for rule in rules)
        for rule in rules:
            rule.pop("args", None)
            rule["action"] = "SCMP_ACT_ALLOW"

    return change


def without_opt_out(option: str, before: str = "pass") -> Change:
    """Let the jail entry ask for a state where it would set it."""
    asked = f"hard._PR_SET_{option} = hard._PR_GET_{option}"
    return patched_entry(f"import corral.jail.hardware_unsafe as hard; {asked}; {before}")


MERGED = "import ctypes; ctypes.CDLL(None).prctl(67, ctypes.c_ulong(1), *[ctypes.c_ulong(0)] * 3)"
"""As below a service manager with MemoryKSM=yes: without the opt-out it would stay so."""

PREDICTORS = """
import ctypes

states = {0: 3, 1: 3}  # PR_SPEC_PRCTL | PR_SPEC_ENABLE


class Library(ctypes.CDLL):
    def __getattr__(self, name):
        real = self[name]  # the ordinary way would keep it, and never ask here again
        if name != "prctl":
            return real

        def prctl(option, *arguments):
            number = getattr(option, "value", option)
            if number not in {52, 53}:
                return real(option, *arguments)
            control, value = (getattr(one, "value", one) for one in arguments[:2])
            if number == 53:
                states[control] = 1 | value
            return 0 if number == 53 else states[control]

        return prctl


ctypes.CDLL = Library
"""
"""A kernel that leaves each process the choice (spec_ctrl.rst), as many do and that of CI does not:
put in below the entry's code and the probes', which both run unchanged."""


def may_gain_privileges(bundle: Bundle) -> None:
    bundle["process"]["noNewPrivileges"] = False
    patched_entry(f"{WITHOUT_OPTION.replace('OPTION', '38')}; {NO_EXEC_FILTER}")(bundle)


def with_environment(bundle: Bundle) -> None:
    bundle["process"]["env"] = ["SECRET=1"]


def no_masks(bundle: Bundle) -> None:
    bundle["linux"]["maskedPaths"] = []


def no_read_only_paths(bundle: Bundle) -> None:
    bundle["linux"]["readonlyPaths"] = []


def may_grow_files(bundle: Bundle) -> None:
    bundle["process"]["args"] = [a for a in bundle["process"]["args"] if a != "--lock=files"]


def nothing(_: Bundle) -> None:
    """What `mutant_launcher` does itself: descriptors, the stage."""


BASES = {
    # Without its capabilities the launcher cannot even start a jail without a user namespace.
    "launcher capabilities": Wall(nothing, ()),
    "kernel that leaves the choice": Wall(patched_entry(f"exec({PREDICTORS!r})"), ()),
}
"""What only makes the removal of a wall visible."""

WALLS: dict[str, Wall] = {
    "user namespace": Wall(
        without_namespace("user"), ("privilege.identity", "namespace.user", "host.user"),
        base=("launcher capabilities", "network namespace"),
    ),
    "own id on the host": Wall(
        mapped_to_root, ("host.user",), base=("launcher capabilities",)
    ),
    "network namespace": Wall(without_namespace("network"), ("net.interfaces", "namespace.net")),
    "pid namespace": Wall(
        without_namespace("pid"), ("process.first",),
        base=("launcher capabilities", "network namespace", "user namespace"),
    ),
    "ipc namespace": Wall(without_namespace("ipc"), ("namespace.ipc",)),
    "uts namespace": Wall(without_namespace("uts"), ("namespace.uts", "kernel.host-name-seen")),
    "cgroup namespace": Wall(without_namespace("cgroup"), ("namespace.cgroup",)),
    "mount view": Wall(host_root_in_sight, ("inherit.secret-state", "mount.writable-places")),
    "read-only root": Wall(nothing, ("mount.root-read-only",)),
    "read-only binds": Wall(writable_binds, ("mount.writable-places",), zone="fetch"),
    "proc subset": Wall(
        without_mount_option("/proc", "subset"), ("mount.proc-hides", "proc.meminfo")
    ),
    "hidden processes": Wall(without_mount_option("/proc", "hidepid"), ("mount.proc-hides",)),
    "read-only proc": Wall(without_mount_option("/proc", "ro"), ("process.own-memory-file",)),
    "masked paths": Wall(no_masks, ("proc.timer-list",), base=("proc subset",)),
    "read-only paths": Wall(
        no_read_only_paths, ("proc.sysctl-write",),
        base=("launcher capabilities", "proc subset", "read-only proc", "network namespace",
              "user namespace"),
    ),
    "no set-id programs in /tmp": Wall(without_mount_option("/tmp", "nosuid"), ("mount.flags",)),
    "no programs in /tmp": Wall(without_mount_option("/tmp", "noexec"), ("mount.flags",)),
    "no devices in /tmp": Wall(without_mount_option("/tmp", "nodev"), ("mount.flags",)),
    "size of /tmp": Wall(
        without_mount_option("/tmp", "size="), ("resource.temporary-disk",), zone="gateway",
        only="resource.temporary-disk",
    ),
    "seccomp": Wall(no_seccomp, ("kernel.bpf", "net.tcp", "process.fork", "mount.mount")),
    "seccomp arguments of clone": Wall(
        may_clone, ("process.fork", "process.clone-user-namespace")
    ),
    "seccomp arguments of sendto": Wall(
        no_argument_filters, ("net.fastopen-listener",), zone="gateway"
    ),
    "seccomp arguments of socket": Wall(
        without_arguments("socket"), ("net.tcp6", "net.netlink", "net.vsock")
    ),
    "seccomp arguments of ioctl": Wall(without_arguments("ioctl"), ("kernel.terminal-input",)),
    "seccomp arguments of madvise": Wall(without_arguments("madvise"), ("memory.mergeable",)),
    "seccomp arguments of prctl": Wall(
        without_arguments("prctl"), ("memory.merge-process", "hardware.allow-speculation")
    ),
    "KSM opt-out": Wall(
        without_opt_out("MEMORY_MERGE", MERGED), ("hardware.merging",),
        base=("seccomp arguments of prctl",),
    ),
    "speculation opt-out": Wall(
        without_opt_out("SPECULATION_CTRL"), ("hardware.store-bypass", "hardware.indirect-branch"),
        base=("kernel that leaves the choice",),
    ),
    "cgroup pids of processes": Wall(
        without_resource("pids"), ("resource.processes",), base=("seccomp",),
        only="resource.processes",
    ),
    "exec filter": Wall(patched_entry(NO_EXEC_FILTER), ("process.exec", "privilege.filters")),
    "capabilities": Wall(
        with_capabilities("bounding", "effective", "permitted"),
        ("privilege.effective", "privilege.permitted"),
    ),
    "inheritable set": Wall(
        with_capabilities("bounding", "permitted", "inheritable"), ("privilege.inheritable",)
    ),
    "bounding set": Wall(with_capabilities("bounding"), ("privilege.bounding",)),
    "no_new_privs": Wall(may_gain_privileges, ("privilege.no-new",), base=("seccomp",)),
    "MDWE": Wall(
        patched_entry(WITHOUT_OPTION.replace("OPTION", "65")),
        ("memory.writable-code", "memory.gain-exec", "memory.lock-state"),
    ),
    "dumpable": Wall(patched_entry(WITHOUT_OPTION.replace("OPTION", "4")), ("process.dumpable",)),
    "RLIMIT_FSIZE": Wall(may_grow_files, ("limit.file-size", "write.tmp")),
    "RLIMIT_CORE": Wall(without_limit("RLIMIT_CORE"), ("limit.core",)),
    "RLIMIT_NOFILE": Wall(without_limit("RLIMIT_NOFILE"), ("limit.files",)),
    "RLIMIT_MSGQUEUE": Wall(without_limit("RLIMIT_MSGQUEUE"), ("limit.queues",)),
    "RLIMIT_MEMLOCK": Wall(without_limit("RLIMIT_MEMLOCK"), ("limit.locked-memory",)),
    "RLIMIT_DATA": Wall(without_limit("RLIMIT_DATA"), ("limit.data",)),
    "RLIMIT_CPU": Wall(without_limit("RLIMIT_CPU"), ("limit.cpu-time",), zone="scan"),
    "cgroup memory": Wall(without_resource("memory"), ("host.memory",)),
    "cgroup pids": Wall(without_resource("pids"), ("host.tasks",)),
    "cgroup cpu": Wall(without_resource("cpu"), ("host.processor",), zone="scan"),
    "cgroup devices": Wall(without_resource("devices"), ("host.devices",)),
    "sealed filter": Wall(
        patched_entry(f"{SEAL}; seal.Seal.finish = lambda self: None"),
        ("files.image", "memory.writable-code", "proc.kallsyms"), zone="sealed",
    ),
    "Landlock": Wall(
        patched_entry(f"{SEAL}; seal.restrict_files = lambda *_: None"),
        ("files.image",), zone="sealed", base=("sealed filter",),
    ),
    "environment of the start": Wall(with_environment, ("inherit.environment-memory",)),
    "environment of the process": Wall(
        patched_entry("os.environ.clear = lambda: None"), ("inherit.environment",)
    ),
    "descriptor hygiene": Wall(nothing, ("inherit.descriptors", "inherit.directories")),
}  # fmt: skip
