"""What a trace costs: for each request, time of the event loop and of the writer; and the start.

    bench/traces.py [--out FILE]        takes five seconds; prints JSON

The loop's part is every stamp of a request, as `gateway.tracing` and `gateway.pipeline` make them,
until the writer has it; beside it the same of an untraced request. Nothing is done per token. The
writer's part is its thread: spans, JSON, and the write into a real file. All are times of the
processor: what else runs on the machine is not among them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from machine import machine_facts

from corral.telemetry.spans import trace_line
from corral.telemetry.timeline import STAGES, UNTRACED, Timeline
from corral.telemetry.trace_files import TraceWriter
from corral.telemetry.trace_log import TraceLog
from corral.telemetry.traceparent import caller_span

_REQUESTS = 1000
_ROUNDS = 15
_HEADERS = [
    (b"host", b"localhost"), (b"authorization", b"Bearer sk-corral-abcdefgh-secret"),
    (b"content-type", b"application/json"), (b"user-agent", b"bench"),
    (b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
]  # fmt: skip
_START = """
import sys, time
sys.path.insert(0, {source!r})
import corral.gateway.main
def private():
    with open("/proc/self/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Private_Dirty"))
before, began = private(), time.thread_time()
import corral.gateway.tracing
took = time.thread_time() - began
print(took * 1000, private() - before)
"""


def stamp(timeline: Timeline) -> None:
    """Do what a streamed chat does with its timeline before it is over."""
    timeline.by("acme", "abcdefgh")
    for stage in STAGES:
        timeline.enter(stage)
    timeline.about("smollm2-135m-instruct", "chat")
    timeline.owe()
    timeline.answered(200)
    timeline.hear()
    timeline.enter(None)
    timeline.settle(120, 80, 100)


def per_request_us(work: Callable[[], None]) -> float:
    """Return the median of the rounds, in microseconds for one request."""
    rounds = []
    for _ in range(_ROUNDS):
        began_s = time.thread_time()
        for _ in range(_REQUESTS):
            work()
        rounds.append((time.thread_time() - began_s) / _REQUESTS * 1e6)
    return round(statistics.median(rounds), 2)


def measure(folder: Path) -> dict[str, float]:
    """Return the figures."""
    kept: list[Timeline] = []

    def traced() -> None:
        timeline = Timeline("POST", "/v1/chat/completions", "req_" + "0" * 24, kept.append)
        stamp(timeline)
        timeline.parent = caller_span(_HEADERS)
        timeline.end("ok")

    loop_us = per_request_us(traced)
    untraced_us = per_request_us(lambda: stamp(UNTRACED))
    sample = kept[-1]
    writer = TraceWriter(folder, files=2)
    writer_us = per_request_us(lambda: writer.write(trace_line(sample)))
    writer.close()
    log = TraceLog(TraceWriter(folder, files=2))
    began_s = time.thread_time()
    for _ in range(_REQUESTS):
        log.add(sample)
    queue_us = (time.thread_time() - began_s) / _REQUESTS * 1e6
    log.close()
    program = _START.format(source=str(Path(__file__).parents[1] / "src"))
    starts = [
        [float(one) for one in subprocess.check_output([sys.executable, "-c", program]).split()]
        for _ in range(5)
    ]
    return {
        "loop_us_per_request": round(loop_us + queue_us, 1),
        "loop_us_per_request_untraced": untraced_us,
        "writer_us_per_request": writer_us,
        "bytes_per_request": len(trace_line(sample)),
        "import_ms": round(statistics.median(one[0] for one in starts), 2),
        "import_private_kib": statistics.median(one[1] for one in starts),
    }


def main() -> int:
    """Measure; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--out", type=Path, help="write the JSON here too")
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as folder:
        text = json.dumps({"machine": machine_facts(), **measure(Path(folder))}, indent=1) + "\n"
    if out:
        out.write_text(text, encoding="utf-8")
    sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
