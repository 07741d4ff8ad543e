"""Hostile code behind the production `Engine`: it probes while it loads and after the seal.

Standard library and corral only: it runs in the engine image, in the worker's place. A request is
answered with one JSON object: who probed -> probe -> outcome (`ok`, or the error's name).
With `--control FILE`, the probes run outside any jail and FILE is the model.
"""

import _thread
import ctypes
import errno
import fcntl
import json
import os
import platform
import sys
from _queue import SimpleQueue

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int,
                      ctypes.c_long)  # fmt: skip
NR = {
    "x86_64": {"preadv2": 327, "tgkill": 234, "kill": 62,
               "prctl": 157, "uname": 63, "futex": 202, "memfd_create": 319},
}[platform.machine()]  # fmt: skip
ALLOWED = {0, 1, 9, 10, 11, 12, 28, 202, 219, 228, 230, 231}
"""Numbers that are on the sealed list (x86_64): the sweep leaves them out."""
NEVER = {15, 34, 60, 335, 336}
"""rt_sigreturn, pause, exit: where no filter denies them, the sweep would not end. uretprobe and
uprobe: the kernel (6.14 and later) lets them past every filter, and ends whoever calls them from
any place but its own trampoline (seccomp: passthrough uretprobe systemcall without filtering)."""
RWF_NOWAIT = 8
READ, EXEC = 1, 4
ANONYMOUS = 0x22
BAD = ctypes.c_long(-1)


def outcome(action) -> str:  # type: ignore[no-untyped-def]
    try:
        action()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, "OSError")
    except Exception as error:
        return type(error).__name__
    return "ok"


def call(name: str, *arguments: object) -> None:
    checked(libc.syscall(ctypes.c_long(NR[name]), *map(as_word, arguments)))


def as_word(value: object) -> object:
    return ctypes.c_long(value) if isinstance(value, int) else value


def checked(result: int | None) -> int:
    if result in {-1, None, 0xFFFFFFFFFFFFFFFF}:
        raise OSError(ctypes.get_errno(), "refused")
    return result or 0


class Probes:
    """One set of probes, run again and again from different places."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.fd = os.open(model, os.O_RDONLY)
        # A pipe of its own is denied already; nothing is ever written to this one.
        self.pipe = fcntl.fcntl(2, fcntl.F_DUPFD_CLOEXEC, 10)
        self.code = checked(libc.mmap(None, 4096, READ | EXEC, ANONYMOUS, -1, 0))
        self.buffer = ctypes.create_string_buffer(16)

    def run(self) -> dict[str, str]:
        found = {
            "open:model": lambda: os.close(os.open(self.model, os.O_RDONLY)),
            "open:file": lambda: os.close(os.open(__file__, os.O_RDONLY)),
            "open:folder": lambda: os.close(os.open("/", os.O_RDONLY)),
            "list:processes": lambda: os.listdir("/proc"),
            "stat": lambda: os.stat("/"),
            "read:fd": lambda: os.read(self.fd, 1),
            "pread:fd": lambda: os.pread(self.fd, 1, 0),
            "preadv2:nowait": self.preadv2,
            "write:fd": lambda: os.write(self.pipe, b""),
            "socket:unix": lambda: self.socket(1),
            "socket:inet": lambda: self.socket(2),
            "thread": lambda: _thread.start_new_thread(lambda: None, ()),
            "fork": self.fork,
            "exec": lambda: os.execv("/nowhere", ["nowhere"]),
            "mmap:exec": lambda: self.map(READ | EXEC, ANONYMOUS, -1),
            "mmap:file": lambda: self.map(READ, 2, self.fd),
            "mprotect:exec": lambda: checked(
                libc.mprotect(ctypes.c_void_p(self.code), 4096, READ | EXEC)
            ),
            "signal:self": lambda: call("tgkill", os.getpid(), _thread.get_native_id(), 0),
            "signal:others": lambda: call("kill", 1 if os.getpid() != 1 else -1, 0),
            "uname": lambda: call("uname", ctypes.create_string_buffer(400)),
            "prctl": lambda: call("prctl", 3, 0, 0, 0, 0),
            "futex:pi": lambda: call("futex", ctypes.byref(ctypes.c_int(0)), 6, 0, 0, 0, 0),
            "memfd": lambda: call("memfd_create", b"x", 0),
        }
        return {name: outcome(action) for name, action in found.items()}

    @staticmethod
    def socket(family: int) -> None:
        os.close(checked(libc.socket(family, 1, 0)))

    def preadv2(self) -> None:
        vector = (ctypes.c_size_t * 2)(ctypes.addressof(self.buffer), 16)
        call("preadv2", self.fd, ctypes.byref(vector), 1, 0, 0, RWF_NOWAIT)

    @staticmethod
    def fork() -> None:
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)

    @staticmethod
    def map(protection: int, flags: int, fd: int) -> None:
        area = checked(libc.mmap(None, 4096, protection, flags, fd, 0))
        libc.munmap(ctypes.c_void_p(area), 4096)


def sweep() -> dict[str, str]:
    """Call every number there is with impossible arguments; return those that were not denied."""
    found = {}
    for number in range(480):
        if number in ALLOWED | NEVER:
            continue
        if libc.syscall(ctypes.c_long(number), BAD, BAD, BAD, BAD, BAD, BAD) != -1:
            found[str(number)] = "ok"
        elif ctypes.get_errno() != errno.EPERM:
            found[str(number)] = errno.errorcode[ctypes.get_errno()]
    return found


class ProbeEngine:
    """Implements `Engine`."""

    name = "probe 1"

    def load(self, options) -> None:  # type: ignore[no-untyped-def]
        self.probes = Probes(options.model_path)
        self.found = {"loading": self.probes.run()}
        self.asked: SimpleQueue = SimpleQueue()
        self.answered: SimpleQueue = SimpleQueue()
        _thread.start_new_thread(self.in_a_thread_of_its_own, ())

    def in_a_thread_of_its_own(self) -> None:
        while True:
            self.asked.get()
            try:
                self.answered.put(self.probes.run() | {"sweep": sweep()})
            except BaseException as error:
                self.answered.put({"failed": repr(error)})

    def complete(self, body, on_chunk) -> None:  # type: ignore[no-untyped-def]
        self.asked.put(None)
        self.found["engine's thread"] = self.answered.get()
        self.found["request's thread"] = self.probes.run() | {"sweep": sweep()}
        on_chunk(json.dumps({"choices": [{"text": json.dumps(self.found)}]}).encode())

    chat = complete


def main() -> None:
    from corral.engine import genuine

    genuine.XllamacppEngine = ProbeEngine  # type: ignore[assignment,misc]
    genuine.main()


if __name__ == "__main__":
    print(json.dumps(Probes(sys.argv[2]).run()))
