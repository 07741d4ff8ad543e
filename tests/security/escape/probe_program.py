"""Attacks from the inside, run in place of the engine worker and, as a control, outside any jail.

Standard library only: it runs in the engine image. Prints one JSON object: probe -> outcome, where
an outcome is `ok` (the attack got through), or the error name the kernel gave.

Most probes call with arguments that can change nothing (bad descriptors, null pointers), as
bubblewrap's try-syscall.c does: a call that the filter lets through fails later, by EFAULT, EBADF
or EINVAL, and counts as reached; a denied one fails by EPERM before its arguments are looked at.
"""

import ctypes
import errno
import json
import mmap
import os
import platform
import socket
import sys

libc = ctypes.CDLL(None, use_errno=True)
NR = {
    "x86_64": {
        "ptrace": 101, "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161,
        "unshare": 272, "setns": 308, "keyctl": 250, "add_key": 248, "request_key": 249,
        "bpf": 321, "perf_event_open": 298, "io_uring_setup": 425, "io_uring_enter": 426,
        "userfaultfd": 323, "process_vm_readv": 310, "process_vm_writev": 311,
        "pidfd_open": 434, "pidfd_getfd": 438, "pidfd_send_signal": 424, "kcmp": 312,
        "init_module": 175, "finit_module": 313, "delete_module": 176, "kexec_load": 246,
        "reboot": 169, "swapon": 167, "settimeofday": 164, "clock_settime": 227, "adjtimex": 159,
        "sethostname": 170, "acct": 163, "quotactl": 179, "nfsservctl": 180, "iopl": 172,
        "ioperm": 173, "open_by_handle_at": 304, "name_to_handle_at": 303, "memfd_create": 319,
        "memfd_secret": 447, "execveat": 322, "fork": 57, "vfork": 58, "kill": 62, "tkill": 200,
        "mknod": 133, "mknodat": 259, "fanotify_init": 300, "inotify_init1": 294,
        "move_mount": 429, "open_tree": 428, "fsopen": 430, "fsmount": 432, "mount_setattr": 442,
        "landlock_create_ruleset": 444, "personality": 135, "syslog": 103, "setuid": 105,
        "setgid": 106, "setgroups": 116, "setresuid": 117, "capset": 126, "setpriority": 141,
        "sched_setscheduler": 144, "ioprio_set": 251, "migrate_pages": 256, "move_pages": 279,
        "mbind": 237, "set_mempolicy": 238, "preadv2": 327, "splice": 275, "tee": 276,
        "vmsplice": 278, "sendfile": 40, "chmod": 90, "chown": 92, "link": 86, "symlink": 88,
        "rename": 82, "mkdir": 83, "rmdir": 84, "truncate": 76, "utime": 132, "setxattr": 188,
        "getxattr": 191, "msgget": 68, "semget": 64, "shmget": 29, "mq_open": 240,
        "timer_create": 222, "timerfd_create": 283, "signalfd4": 289, "lookup_dcookie": 212,
        "vhangup": 153, "uselib": 134, "ustat": 136, "sysfs": 139, "modify_ldt": 154,
        "process_madvise": 440, "process_mrelease": 448, "cachestat": 451, "mlock": 149,
        "mlockall": 151, "seccomp_user": 0, "connect": 42, "sendto": 44, "recvfrom": 45,
        "sendmsg": 46, "recvmsg": 47, "socketpair": 53, "clone_newuser": 56, "clone3": 435,
    },
}[platform.machine()]  # fmt: skip
BAD = ctypes.c_void_p(-1 & 0xFFFFFFFFFFFFFFFF)
CONTROL = sys.argv[2] if sys.argv[1:2] == ["--control"] else ""
results: dict[str, str] = {}


def call(name: str, *args: object) -> None:
    number = NR[name]
    ctypes.set_errno(0)
    values = [a if isinstance(a, ctypes.c_void_p) else ctypes.c_long(int(a)) for a in args]
    result = libc.syscall(ctypes.c_long(number), *values)
    code = ctypes.get_errno() if result == -1 else 0
    results[f"syscall:{name}"] = errno.errorcode.get(code, str(code)) if code else "ok"


def attempt(name: str, action) -> None:  # type: ignore[no-untyped-def]
    try:
        action()
        results[name] = "ok"
    except OSError as error:
        results[name] = errno.errorcode.get(error.errno or 0, "OSError")
    except Exception as error:
        results[name] = type(error).__name__


def probe_syscalls() -> None:
    # Null pointers, bad descriptors and impossible values: reached calls fail without an effect.
    for name in ("keyctl", "io_uring_setup", "io_uring_enter", "userfaultfd"):
        call(name, 0xFFFF, 0, 0, 0, 0, 0)
    call("ptrace", 3, 0x7FFFFFF0, 0, 0)
    call("process_vm_readv", 0x7FFFFFF0, 0, 0, 0, 0, 0)
    call("process_vm_writev", 0x7FFFFFF0, 0, 0, 0, 0, 0)
    call("pidfd_open", 0x7FFFFFF0, 0)
    call("pidfd_getfd", -1, 0, 0)
    call("pidfd_send_signal", -1, 0, 0, 0)
    call("kcmp", 0x7FFFFFF0, 0x7FFFFFF0, 0, 0, 0)
    call("unshare", 0x10000000 if not CONTROL else 0)  # the control must not leave its own
    call("setns", -1, 0)
    call("bpf", 0, 0, 0)
    call("perf_event_open", 0, 0, -1, -1, 0)
    call("mount", 0, 0, 0, 0, 0)
    call("umount2", 0, 0)
    call("pivot_root", 0, 0)
    call("chroot", 0)
    call("add_key", 0, 0, 0, 0, 0)
    call("request_key", 0, 0, 0, 0)
    call("init_module", 0, 0, 0)
    call("finit_module", -1, 0, 0)
    call("delete_module", 0, 0)
    call("kexec_load", 0, 17, 0, 0)
    call("settimeofday", BAD, 0)
    call("clock_settime", 0, 0)
    call("sethostname", 0, -1)
    call("open_by_handle_at", -1, 0, 0)
    call("name_to_handle_at", -1, 0, 0, 0, 0)
    call("memfd_create", 0, 0)
    call("memfd_secret", 0xFFFF)
    call("execveat", -1, 0, 0, 0, 0xFFFF)
    call("mknodat", -1, 0, 0, 0)
    call("fanotify_init", 0xFFFFFFFF, 0)
    call("inotify_init1", 0xFFFFFFFF)
    call("move_mount", -1, 0, -1, 0, 0)
    call("open_tree", -1, 0, 0xFFFFFFFF)
    call("fsopen", 0, 0)
    call("fsmount", -1, 0, 0)
    call("mount_setattr", -1, 0, 0, 0, 0)
    call("personality", 0xFFFFFFFF)
    call("syslog", 99, 0, 0)
    call("setgroups", -1, 0)
    call("capset", 0, 0)
    call("setpriority", 99, 0, 0)
    call("sched_setscheduler", 0, 99, 0)
    call("ioprio_set", 99, 0, 0)
    call("move_pages", 0, 1, 0, 0, 0, 0)
    call("mbind", 1, 0, 99, 0, 0, 0)
    call("preadv2", -1, 0, 0, 0, 0)
    call("splice", -1, 0, -1, 0, 0, 0)
    call("vmsplice", -1, 0, 0, 0)
    call("chown", 0, 0, 0)
    call("link", 0, 0)
    call("symlink", 0, 0)
    call("rename", 0, 0)
    call("mkdir", 0, 0)
    call("truncate", 0, 0)
    call("setxattr", 0, 0, 0, 0, 0)
    call("msgget", 0x7FFFFFF0, 0)
    call("semget", 0x7FFFFFF0, 0, 0)
    call("shmget", 0x7FFFFFF0, 0, 0)
    call("mq_open", 0, 0, 0, 0)
    call("timer_create", 99, 0, 0)
    call("modify_ldt", 99, 0, 0)
    call("process_madvise", -1, 0, 0, 0, 0)
    call("process_mrelease", -1, 0)
    call("mlockall", 0xFFFF)
    call("connect", -1, 0, 0)
    call("sendto", -1, 0, 0, 0, 0, 0)
    call("recvfrom", -1, 0, 0, 0, 0, 0)
    call("socketpair", 99, 0, 0, 0)
    call("kill", 0x7FFFFFF0, 0)
    call("tkill", 0x7FFFFFF0, 0)


def probe_sockets() -> None:
    for family in range(1, 46):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW):

            def make(family: int = family, kind: int = kind) -> None:
                socket.socket(family, kind).close()

            attempt(f"socket:{family}:{kind}", make)


def probe_files() -> None:
    for path in (
        "/etc/passwd", "/etc/shadow", "/etc/hostname", "/root", "/home", "/usr", "/var", "/mnt",
        "/work", "/boot", "/run", "/proc/kallsyms", "/proc/kcore", "/proc/meminfo", "/proc/version",
        "/proc/cmdline", "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/proc/keys",
        "/proc/net/dev", "/proc/2/cmdline", "/proc/1/root/etc/passwd", "/sys/kernel", "/sys/class",
        "/sys/fs/cgroup", "/dev/mem", "/dev/kmsg", "/dev/sda", "/dev/vda", "/dev/fuse",
        "/dev/net/tun", "/dev/kvm", "/proc/1/../../etc/shadow",
    ):  # fmt: skip

        def look(path: str = path) -> None:
            if os.path.isdir(path):
                if not os.listdir(path):
                    raise OSError(errno.ENOENT, "empty")
            else:
                with open(path, "rb") as file:
                    file.read(1)

        attempt(f"read:{path}", look)
    for path in (CONTROL,) if CONTROL else (
        "/probe", "/opt/python/probe", "/etc/probe", "/proc/sys/kernel/hostname", "/tmp/probe",
        "/dev/shm/probe", "/model",
    ):  # fmt: skip

        def write(path: str = path) -> None:
            with open(path, "wb") as file:
                file.write(b"x")

        attempt(f"write:{path}", write)
    attempt("write:model", lambda: os.close(os.open("/proc/self/fd/3", os.O_RDWR)))


def probe_processes() -> None:
    def fork() -> None:
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)

    attempt("fork", fork)

    def execute() -> None:
        os.execv(sys.executable, [sys.executable, "-c", ""])

    if not CONTROL:
        attempt("exec:interpreter", execute)

        def loader() -> None:
            os.execv("/lib64/ld-linux-x86-64.so.2", ["ld.so", sys.executable])

        attempt("exec:loader", loader)
    attempt("signal:others", lambda: os.kill(-1, 0))

    def foreign() -> None:
        mine = str(os.getpid())
        others = [p for p in os.listdir("/proc") if p.isdecimal() and p != mine]
        if not others:
            raise OSError(errno.ESRCH, "alone")

    attempt("see:other-processes", foreign)


def probe_memory() -> None:
    def writable_code() -> None:
        mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()

    attempt("memory:rwx", writable_code)

    def gain_exec() -> None:
        area = mmap.mmap(-1, 4096)
        address = ctypes.addressof(ctypes.c_char.from_buffer(area))
        if libc.mprotect(ctypes.c_void_p(address), 4096, 5):
            raise OSError(ctypes.get_errno(), "mprotect")

    attempt("memory:gain-exec", gain_exec)


def main() -> None:
    for probe in (probe_syscalls, probe_sockets, probe_files, probe_processes, probe_memory):
        probe()
    facts = {
        "uid": os.getuid(),
        "fds": {n: os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")
                if os.path.lexists(f"/proc/self/fd/{n}")},
        "env": dict(os.environ),
        "root": sorted(os.listdir("/")),
    }  # fmt: skip
    line = json.dumps({"results": results, "facts": facts}) + "\n"
    os.write(1, line.encode())


if __name__ == "__main__":
    main()
