"""The genuine worker, which on `RANDOM:<json>` makes random system calls from where it stands.

Standard library and corral only: it runs in the engine image, in the worker's place; in any zone's
image, in the place of the selftest's program, where it takes its order from stdin; or (`--control`)
outside. What it was told to be allowed it may do; any other call must be refused.

Calls that are allowed are left out, or get tame arguments, where they would end, stop or deafen the
caller itself: the point is what it can do to others. Calls that are not allowed are never tamed.
"""

import ctypes
import errno
import json
import mmap
import os
import random
import sys
import time

X32_BIT = 0x40000000
UNFILTERED = {335: "uretprobe", 336: "uprobe"}  # the kernel asks no filter, and ends the caller
ENDS_SELF = {
    60: "exit", 231: "exit_group", 15: "rt_sigreturn: jumps to a frame that is none",
    12: "brk: takes the heap away", 158: "arch_prctl: takes thread-local storage away",
    56: "clone: a thread on a random stack", 234: "tgkill: may hit itself",
    157: "prctl: changes the caller only", 317: "seccomp: changes the caller only",
    302: "prlimit64: lowers its own limits", 13: "rt_sigaction: its own handlers",
    131: "sigaltstack: its own stack", 218: "set_tid_address: written to when it ends",
    273: "set_robust_list: walked when it ends", 334: "rseq: its own",
    14: "rt_sigprocmask: may block what ends it", 9: "mmap", 10: "mprotect",
    11: "munmap: its own memory", 25: "mremap", 28: "madvise",
}  # fmt: skip
WAITS = {202: "futex", 230: "clock_nanosleep", 35: "nanosleep", 7: "poll", 271: "ppoll",
         232: "epoll_wait", 281: "epoll_pwait"}  # fmt: skip
WAITS_FOR_OTHERS = {288: "accept4", 0: "read", 1: "write", 20: "writev", 42: "connect",
                    44: "sendto", 45: "recvfrom", 46: "sendmsg", 47: "recvmsg",
                    307: "sendmmsg"}  # fmt: skip
DESCRIPTORS = (3, 77, 127, -1, 0xFFFFFFFF)
REFUSED = {errno.EPERM, errno.ENOSYS}
ARENA_BYTES = 1 << 16
PATHS = (b"/etc/passwd", b"/proc/self/mem", b"/tmp/x", b"..", b"/model")


class Generator:
    """Random calls with random, hostile arguments; the same seed gives the same calls."""

    def __init__(self, seed, allowed, only=None):
        self.random = random.Random(seed)
        self.allowed = {int(n): cases for n, cases in allowed.items()}
        self.only = only
        self.libc = ctypes.CDLL(None, use_errno=True)
        # What the kernel writes to a pointer of ours must not run over into the engine's memory.
        self.arena = mmap.mmap(-1, 3 * ARENA_BYTES)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self.arena))
        self.base = start + ARENA_BYTES
        for wall in (start, self.base + ARENA_BYTES):
            assert self.libc.mprotect(ctypes.c_void_p(wall), ctypes.c_size_t(ARENA_BYTES), 0) == 0
        for index, path in enumerate(PATHS):
            at = ARENA_BYTES + index * 64
            self.arena[at : at + len(path)] = path
        self.counts = {"calls": 0, "outside": 0, "left_out": 0, "succeeded": 0}
        self.numbers = set()
        self.through = []

    def argument(self):
        pick = self.random
        kind = pick.randrange(6)
        if kind == 0:
            return pick.choice((0, 1, 2, 3, 16, 4096, 0x7FFFFFFF, -1, -100))
        if kind == 1:
            return pick.choice(DESCRIPTORS)
        if kind == 2:
            return self.base + 64 * pick.randrange(len(PATHS) + 20)
        if kind == 3:
            return 1 << pick.randrange(64)
        if kind == 4:
            return pick.choice((self.base - 4096, 0xFFFF800000000000, 0xFFFFFFFFFF600000, 1))
        return pick.getrandbits(64)

    def number(self):
        if self.only:
            return self.random.choice(self.only)
        kind = self.random.randrange(10)
        if kind < 8:
            return self.random.randrange(0, 480)
        if kind == 8:
            return self.random.randrange(480, X32_BIT)
        return self.random.choice((500, 512, 547, 1000, 65535, 0x3FFFFFFF))

    def may(self, number, args):
        """Return whether the filters let this call through, from the table that the test gave."""
        if number not in self.allowed:
            return False
        cases = self.allowed[number]
        return cases is None or any(all(fits(test, args) for test in case) for case in cases)

    def step(self):
        number = self.number()
        args = [self.argument() for _ in range(6)]
        may = self.may(number, args)
        if number in UNFILTERED or (may and number in ENDS_SELF):
            self.counts["left_out"] += 1
            return
        if may and number in WAITS:
            args = [1, 1, 0, 1, 0, 0]
        elif may and (number in WAITS_FOR_OTHERS or args[0] in {0, 1, 2}):
            args[0] = -1  # stdin, stdout and stderr stay, so that the result can be told
        may = self.may(number, args)
        if may and number in ENDS_SELF:
            return
        result = self.call(number, args)
        self.counts["calls"] += 1
        self.numbers.add(number)
        error = ctypes.get_errno() if result == -1 else 0
        if may:
            self.counts["succeeded"] += result != -1
            return
        self.counts["outside"] += 1
        if error not in REFUSED and len(self.through) < 20:
            self.through.append([number, args, result, error])

    def call(self, number, args):
        ctypes.set_errno(0)
        six = [ctypes.c_ulong(a & 0xFFFFFFFFFFFFFFFF) for a in args]
        return self.libc.syscall(ctypes.c_long(number), *six)

    def run(self, seconds, at_least):
        # On a busy machine the time alone may be over before anything was called.
        until = time.monotonic() + seconds
        while time.monotonic() < until or self.counts["outside"] < at_least:
            for _ in range(200):
                self.step()
            os.closerange(4, 128)  # what it opened; a sealed worker may not, and has nothing open
        return {**self.counts, "numbers": len(self.numbers), "through": self.through}


def fits(test, args):
    """Return whether one condition on 32 bits holds (the same tests as bpf.Test)."""
    offset, mask, op, value = test
    index, high = divmod(offset - 16, 8)
    word = args[index] >> (32 if high else 0) & 0xFFFFFFFF & mask
    return {"==": word == value, "!=": word != value, ">": word > value, "<=": word <= value,
            ">=": word >= value, "<": word < value, "&": word & value != 0,
            "!&": word & value == 0}[op]  # fmt: skip


def answer(order):
    wanted = json.loads(order)
    generator = Generator(wanted["seed"], wanted["allowed"], wanted.get("only"))
    return generator.run(wanted["seconds"], wanted.get("at_least", 0))


def main():
    if sys.argv[1:2] == ["--control"]:
        print(json.dumps(answer(sys.argv[2])))
        return
    if __name__.endswith(".program"):
        for order in sys.stdin:
            print(json.dumps(answer(order)), flush=True)
        return
    from corral.engine import genuine
    from corral.engine.worker_wire import chunk, encode_lines, end

    class RandomWorker(genuine.Worker):
        def take(self, message):
            for said in getattr(message, "messages", None) or ():
                if said["content"].startswith("RANDOM:"):
                    text = json.dumps(answer(said["content"].removeprefix("RANDOM:")))
                    lines = encode_lines([chunk(message.id, text, []),
                                          end(message.id, "stop", 1, 1, 0)])  # fmt: skip
                    sys.stdout.buffer.write(lines)
                    sys.stdout.buffer.flush()
                    return
            super().take(message)

    genuine.Worker = RandomWorker
    genuine.main()


if __name__ == "__main__":
    main()
