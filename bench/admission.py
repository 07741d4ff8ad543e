"""Measurement 6: the examination of a model, against reading it at all.

Structure: a header as large as a 7B model's (152,064 tokens, 151,387 merges, 339 tensors), examined
in a process that has loaded the scanner, and by the scan job from its start to its end.

Throughput: a file over 2 GB that is in the page cache, hashed by us and then examined by the scan
job (every weight: `--deep`), against `sha256sum`; in turns, and both begin as often. The scan job
runs without its jail, whose start is measured elsewhere.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from admission_files import MERGES, TOKENS, write_model
from goals import Goal, median, rounded
from parameters import Plan

from corral.admission.scan.examination import scan_descriptor
from corral.admission.scan.request import ScanRequest, encode_request
from corral.admission.sealing import hash_file
from corral.core.home import Home

GOAL_STRUCTURE_MS = 150.0
GOAL_THROUGHPUT = 0.8
GOAL_MEMORY_MIB = 256.0
_DATA_BYTES = 3 << 29
_LOOK_S = 0.005
_JOB = [sys.executable, "-I", "-B", "-m", "corral.admission.scan.job", "--candidate"]


def measure(_home: Home, plan: Plan, work: Path) -> tuple[dict[str, object], list[Goal]]:
    """Return the results of this measurement and its goals."""
    header, large = work / "header.gguf", work / "large.gguf"
    header_bytes = write_model(header, data_bytes=0)
    write_model(large, data_bytes=_DATA_BYTES)
    size_bytes = large.stat().st_size
    structure_ms = [_structure_ms(header) for _ in range(plan.starts)]
    jobs = [_job(header) for _ in range(plan.starts)]
    _read(large)
    hashed_s: list[float] = []
    scanned_s: list[float] = []
    sums_s: list[float] = []
    memory_mib: list[float] = []
    for turn in range(plan.cold_starts):
        if turn % 2:
            sums_s.append(_sha256sum_s(large))
        began_s = time.perf_counter()
        _hash(large)
        hashed_s.append(time.perf_counter() - began_s)
        seconds, peak_mib = _job(large)
        scanned_s.append(seconds)
        memory_mib.append(peak_mib)
        if not turn % 2:
            sums_s.append(_sha256sum_s(large))
    both_s = [a + b for a, b in zip(hashed_s, scanned_s, strict=True)]
    ratio = median(sums_s) / median(both_s)
    result: dict[str, object] = {
        "header": {
            "tokens": TOKENS, "merges": MERGES, "bytes": header_bytes,
            "structure_ms": rounded(structure_ms),
            "job_ms": rounded([seconds * 1000 for seconds, _ in jobs]),
            "job_peak_mib": rounded([peak for _, peak in jobs]),
        },
        "large": {
            "bytes": size_bytes, "hash_s": rounded(hashed_s), "scan_s": rounded(scanned_s),
            "sha256sum_s": rounded(sums_s), "scan_peak_mib": rounded(memory_mib),
            "hash_and_scan_mb_per_s": round(size_bytes / 1e6 / median(both_s), 1),
            "sha256sum_mb_per_s": round(size_bytes / 1e6 / median(sums_s), 1),
        },
    }  # fmt: skip
    return result, [
        Goal("structure of a 7B header", median(structure_ms), "ms", GOAL_STRUCTURE_MS,
             at_least=False),
        Goal("hash and scan over sha256sum", ratio, "x", GOAL_THROUGHPUT, at_least=True),
        Goal("memory of a scan", max(memory_mib + [peak for _, peak in jobs]), "MiB",
             GOAL_MEMORY_MIB, at_least=False),
    ]  # fmt: skip


def _structure_ms(path: Path) -> float:
    fd = os.open(path, os.O_RDONLY)
    began_s = time.perf_counter()
    report = scan_descriptor(fd)
    taken_s = time.perf_counter() - began_s
    os.close(fd)
    _accepted(report.verdict)
    return taken_s * 1000


def _job(path: Path) -> tuple[float, float]:
    """Return the seconds of a scan job, and the MiB that it had at most."""
    began_s = time.perf_counter()
    peak_mib = 0.0
    with subprocess.Popen([*_JOB, str(path)], stdin=-1, stdout=-1) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(encode_request(ScanRequest(deep=True)))
        process.stdin.close()
        # What the kernel says at the end counts us too, whose memory it began with.
        while not select.select([process.stdout], [], [], _LOOK_S)[0]:
            peak_mib = max(peak_mib, _peak_mib(process.pid))
        line = process.stdout.read()
    _accepted("accept" if line.startswith(b'{"verdict":"accept"') else "reject")
    return time.perf_counter() - began_s, peak_mib


def _peak_mib(pid: int) -> float:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0.0


def _sha256sum_s(path: Path) -> float:
    began_s = time.perf_counter()
    subprocess.run(["sha256sum", path], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began_s


def _hash(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    hash_file(fd, max_bytes=1 << 62, moved=lambda _done, _total: None)
    os.close(fd)


def _read(path: Path) -> None:
    with path.open("rb") as file:
        while file.read(1 << 20):
            pass


def _accepted(verdict: str) -> None:
    if verdict != "accept":
        raise RuntimeError("the scanner refused the file of the measurement")
