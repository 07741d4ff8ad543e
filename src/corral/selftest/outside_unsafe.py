"""Run the same probe program outside every jail: the control of each line.

Trust: operator side; runs our own attacks against our own targets. Input: `Targets`. The process
gets the twin's control group, no terminal, a deadline, and by `control_unsafe` the state that the
attacks look for. As root it always acts in namespaces of its own, with our files in the place of
the host's (`private_unsafe`), or not at all. A user without root gets an own user namespace for
one run, so that the control is as strong as that user can be, and none for another: what the
kernel allows anybody harms nobody.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import corral
from corral.selftest.conversation import Results, converse
from corral.selftest.private_unsafe import SIGNAL_BASE
from corral.selftest.share import COMPETE_S, Judge, judge_share
from corral.selftest.targets_unsafe import Targets
from corral.selftest.twin import Twin

_SECONDS: Final = 60.0
_FLOOD_BYTES: Final = 96 << 20
_CORE_PATTERN: Final = Path("/proc/sys/kernel/core_pattern")
_BOOT: Final = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from corral.selftest.control_unsafe import main; sys.exit(main())"
)
_SPIN: Final = f"""
import os, time
now = said = time.monotonic()
end = now + {COMPETE_S}
mark = b"."
while now < end:
    if now >= said:
        os.write(1, b"%s%d %d\\n" % (mark, now * 1000, time.process_time() * 1000))
        said, mark = now + 0.02, b""
    now = time.monotonic()
"""
"""Its first count comes with the word that it runs: none that is waited for can be too late."""
_SLEEP: Final = "import os, time; os.write(1, b'.'); time.sleep(60)"


def run_outside(
    targets: Targets, twin: Twin, *, only: str = "", skip: tuple[str, ...] = (),
    own_user: bool = False,
) -> tuple[Results, str]:  # fmt: skip
    """Run the controls in one process.

    Returns:
        What it said, and how it ended: `ok`, `exited`, `signal-9`, ...
    """
    scratch = targets.folder / f"scratch-{os.urandom(4).hex()}"
    scratch.mkdir(mode=0o700)
    request = targets.request("control", control=True, scratch=str(scratch), only=only, skip=skip)
    request |= {"private": own_user or os.geteuid() == 0, "own_user": own_user}
    process = subprocess.Popen(
        [sys.executable, "-I", "-B", "-c", _BOOT, str(Path(corral.__file__).parent.parent)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True, env={"CORRAL_SELFTEST": targets.marker},
        # SAFETY: one thread; the child makes a few system calls before exec.
        preexec_fn=twin.enter,  # noqa: PLW1509 - there is no other thread
    )  # fmt: skip
    assert process.stdin and process.stdout and process.stderr  # noqa: S101, PT018 - pipes were asked for
    try:
        results = converse(
            (process.stdin.fileno(), process.stdout.fileno(), process.stderr.fileno()),
            request, seconds=_SECONDS, line_bytes=_FLOOD_BYTES,
        )  # fmt: skip
        process.stdin.close()
        try:
            code = process.wait(5)
        except subprocess.TimeoutExpired:
            code = SIGNAL_BASE + 9
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            stream.close()
    how = "ok" if code == 0 else "exited"
    if code >= SIGNAL_BASE or code < 0:
        how = f"signal-{code - SIGNAL_BASE if code > 0 else -code}"
    if only == "resource.core-dump":
        results.outcomes.setdefault(only, find_core(scratch))
    return results, how


def find_core(folder: Path) -> str:
    """Return whether a core was left in a folder: `ok`, or why not."""
    if any(folder.glob("core*")):
        return "ok"
    return "elsewhere" if _CORE_PATTERN.read_text()[:1] in {"|", "/"} else "no-core"


@contextmanager
def competitors(twin: Twin) -> Iterator[Judge]:
    """Let one process for each processor compute in the twin, for `COMPETE_S` at most.

    Yields:
        What a hog's outcome means beside them, see `share.judge_share`.
    """
    with _running([_SPIN] * len(os.sched_getaffinity(0)), twin.enter) as made:
        yield lambda outcome: judge_share(outcome, [_said(one) for one in made])


@contextmanager
def loose_process(twin: Twin) -> Iterator[int]:
    """Yield the id of a process that sleeps in a group without limits worth the name."""
    with _running([_SLEEP], twin.enter_loose) as made:
        yield made[0].pid


def _said(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout  # noqa: S101 - a pipe was asked for
    os.set_blocking(process.stdout.fileno(), False)
    return process.stdout.read() or b""


@contextmanager
def _running(
    programs: list[str], enter: Callable[[], None]
) -> Iterator[list[subprocess.Popen[bytes]]]:
    made: list[subprocess.Popen[bytes]] = []
    try:
        for program in programs:
            made.append(  # noqa: PERF401 - each one must be ended
                subprocess.Popen(
                    [sys.executable, "-I", "-S", "-c", program],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    env={},
                    # SAFETY: one thread; the child makes a few system calls before exec.
                    preexec_fn=enter,  # noqa: PLW1509 - there is no other thread
                )
            )
        for process in made:
            assert process.stdout  # noqa: S101 - a pipe was asked for
            process.stdout.read(1)  # it runs
        yield made
    finally:
        for process in made:
            process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()
