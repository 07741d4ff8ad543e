"""The media job without its jail, or something else in its place; the mode says what.

Run as a program by `fake_launcher`, which gives it the paths that packages are found in.
"""

import json
import os
import signal
import sys
import time


def lie(**fields: object) -> None:
    said = {"said": "image", "width": 1, "height": 1, "was_width": 1, "was_height": 1, "found": [],
            "peak_bytes": 0}  # fmt: skip
    sys.stdout.buffer.write(json.dumps(said | fields).encode() + b"\n")


def main(mode: str) -> None:
    if mode == "real":
        from corral.media.job import serve

        serve(sys.stdin.buffer, sys.stdout.buffer)
        return
    task = json.loads(sys.stdin.buffer.readline())
    data = sys.stdin.buffer.read(task["length"])
    print("words of a decoder " * 100, file=sys.stderr, flush=True)
    if mode == "crashes":
        os.kill(os.getpid(), signal.SIGSEGV)
    if mode == "hangs":
        time.sleep(600)
    if mode == "echoes":  # the file itself in place of numbers
        lie()
        sys.stdout.buffer.write(data)
    if mode == "grows":
        lie(width=5000, height=5000)
        sys.stdout.buffer.write(bytes(75_000_000))
    if mode == "floods":
        sys.stdout.buffer.write(b"x" * 1_000_000)
    if mode == "talks":
        lie(note="words of a decoder")


if __name__ == "__main__":
    sys.path += sys.argv[2:]
    main(sys.argv[1])
