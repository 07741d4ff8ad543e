"""Reading and writing what is not ours: host files, kernel files, devices, the image.

Trust: runs in a jail. Input: `Context`. Writes go only to names that the selftest made, or are an
`open` for writing without a write.
"""

from __future__ import annotations

import os
import stat

from corral.selftest.probes.registry import Context, Stopped, no_result, probe

_STANDARD_DEVICES = frozenset({
    "null", "zero", "full", "random", "urandom", "tty", "console", "ptmx", "pts", "shm", "mqueue",
    "fd", "stdin", "stdout", "stderr", "core",
})  # fmt: skip


def _read(path: str) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        if not os.read(fd, 1):
            raise Stopped("empty")  # masked
    finally:
        os.close(fd)


def _list(path: str) -> None:
    if not os.listdir(path):
        raise Stopped("empty")


def _open_for_writing(path: str) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))


def _register() -> None:
    for name, path in {
        "files.passwd": "/etc/passwd",
        "files.shadow": "/etc/shadow",
        "files.dotdot": "/proc/self/root/../../../etc/passwd",
        "proc.kallsyms": "/proc/kallsyms",
        "proc.kcore": "/proc/kcore",
        "proc.meminfo": "/proc/meminfo",
        "proc.cmdline": "/proc/cmdline",
        "proc.keys": "/proc/keys",
        "proc.timer-list": "/proc/timer_list",
        "proc.core-pattern": "/proc/sys/kernel/core_pattern",
    }.items():
        probe(name)(lambda _, path=path: _read(path))  # type: ignore[misc]
    for name, path in {
        "files.programs": "/usr/bin",
        "files.homes": "/home",
        "sys.kernel": "/sys/kernel",
        "sys.class": "/sys/class",
    }.items():
        probe(name)(lambda _, path=path: _list(path))  # type: ignore[misc]
    for name, path in {
        "proc.sysctl-write": "/proc/sys/kernel/core_pattern",
        "proc.sysrq-write": "/proc/sysrq-trigger",
        "dev.kmsg": "/dev/kmsg",
    }.items():
        probe(name)(lambda _, path=path: _open_for_writing(path))  # type: ignore[misc]


_register()


@probe("files.image")
def _image(context: Context) -> None:
    # What every zone may read until it is sealed.
    _read(context.at("/opt/python/jail.py"))


@probe("files.secret")
def _secret(context: Context) -> None:
    _read(context.secret)


@probe("files.blobs")
def _blobs(context: Context) -> None:
    error: OSError | None = None
    for path in (context.blobs, "/store", "/mnt/store"):
        try:
            os.listdir(path)
        except OSError as problem:
            error = problem
        else:
            return
    if error:
        raise error


@probe("proc.others")
def _others(context: Context) -> None:
    _read(f"/proc/{context.victim}/environ")


@probe("sys.release-agent")
def _release_agent(_: Context) -> None:
    # Listing is enough: the file that CVE-2022-0492 writes is there or is not.
    _list("/sys/fs/cgroup")


@probe("dev.nodes")
def _devices(_: Context) -> None:
    if not set(os.listdir("/dev")) - _STANDARD_DEVICES:
        raise Stopped("none")


@probe("dev.raw-memory")
def _raw_memory(_: Context) -> None:
    os.close(os.open("/dev/mem", os.O_RDONLY))


@probe("dev.disks")
def _disks(_: Context) -> None:
    for name in ("vda", "sda", "nvme0n1", "xvda", "loop0"):
        with no_result():
            os.close(os.open(f"/dev/{name}", os.O_RDONLY))
            return
    raise FileNotFoundError(2, "no disk")


@probe("dev.kvm-fuse-tun")
def _powerful(_: Context) -> None:
    for name in ("kvm", "fuse", "net/tun", "vhost-net", "userfaultfd"):
        with no_result():
            os.close(os.open(f"/dev/{name}", os.O_RDWR))
            return
    raise FileNotFoundError(2, "no such device")


def _write(path: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.write(fd, b"x")
    finally:
        os.close(fd)
        with no_result():
            os.unlink(path)


@probe("write.root")
def _write_root(context: Context) -> None:
    _write(context.at("/probe"))


@probe("write.image")
def _write_image(context: Context) -> None:
    _write(context.at("/opt/python/lib/probe"))


@probe("write.tmp")
def _write_tmp(context: Context) -> None:
    _write(context.at("/tmp/probe"))  # noqa: S108


@probe("write.own-folder")
def _write_own(context: Context) -> None:
    _write(f"{context.scratch or '/state'}/probe")


@probe("write.host-file")
def _write_host_file(context: Context) -> None:
    _open_for_writing(context.at("/etc/hosts"))


@probe("write.descriptor")
def _write_descriptor(_: Context) -> None:
    # A file that was handed over read-only must not be opened anew for writing.
    target = "/proc/self/fd/3"
    if not os.path.exists(target):
        target = "/model"  # where a runtime hands over no descriptors
    os.close(os.open(target, os.O_RDWR))


@probe("write.interpreter")
def _write_interpreter(context: Context) -> None:
    # CVE-2019-5736: overwrite the program that the runtime started.
    _open_for_writing(context.at("/proc/self/exe"))


@probe("mount.root-read-only")
def _root_read_only(context: Context) -> None:
    # By a descriptor: no profile but the fetch job's allows statfs.
    fd = os.open(context.at("/"), os.O_RDONLY | os.O_DIRECTORY)
    try:
        if os.fstatvfs(fd).f_flag & os.ST_RDONLY:
            raise Stopped("read-only")
    finally:
        os.close(fd)


@probe("files.set-id")
def _set_id(context: Context) -> None:
    top = context.at("/")
    for folder, folders, names in os.walk(top):
        if folder == top:
            folders[:] = [f for f in folders if f not in {"proc", "sys", "dev"}]
        for name in names:
            mode = os.lstat(f"{folder}/{name}").st_mode
            special = stat.S_ISBLK(mode) or stat.S_ISCHR(mode)
            if special or (stat.S_ISREG(mode) and mode & (stat.S_ISUID | stat.S_ISGID)):
                return
    raise Stopped("none")
