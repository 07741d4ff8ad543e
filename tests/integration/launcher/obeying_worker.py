"""A program in the engine's place that does what its model file says."""

from __future__ import annotations

import os
import sys
import time


def main() -> None:
    path = sys.argv[sys.argv.index("--model") + 1]
    with open(path, encoding="ascii") as model:
        command, _, argument = model.read().strip("\0\n ").partition(" ")
    os.write(1, f"{command}\n".encode())
    if command in {"adapter", "projector"}:
        with open(sys.argv[sys.argv.index(f"--{command}") + 1], encoding="ascii") as laid:
            os.write(1, laid.read().encode() + b"\n")
        scale = "--adapter-scale"
        said = sys.argv[sys.argv.index(scale) + 1] if scale in sys.argv else "none"
        os.write(1, f"{said}\n".encode())
    if command == "exit":
        os._exit(int(argument))
    if command == "crash":
        import faulthandler

        faulthandler._read_null()
    if command == "grow":
        held = []
        while True:
            held.append(bytearray(b"x" * (1 << 20)))
    if command == "share":
        import mmap

        shared = mmap.mmap(
            -1, 1 << 30
        )  # shared memory is no data of the process: no rlimit counts it
        for page in range(0, 1 << 30, 4096):
            shared[page] = 1
    if command == "facts":
        status = open("/proc/self/status").read()
        os.write(
            1,
            (
                repr(
                    {
                        "status": dict(line.split(":\t", 1) for line in status.splitlines()),
                        "fds": sorted(os.listdir("/proc/self/fd")),
                        "argv": sys.argv[1:],
                        "env": dict(os.environ),
                    }
                )
                + "\n"
            ).encode(),
        )
    for line in sys.stdin:
        os.write(1, line.encode())
    time.sleep(600)
