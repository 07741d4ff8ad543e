"""Start and stop the bare engine, and read what it says of its buffers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from parameters import BATCH_TOKENS, CONTEXT_TOKENS, MODEL, PARALLEL, threads
from stream_client import Endpoint

ENGINE_DEFAULT_VERBOSITY = 3
BUFFER_VERBOSITY = 4
"""From here on the engine states the sizes of its buffers."""

_SCRIPT = Path(__file__).parent / "bare_server.py"
_BUFFER = re.compile(r"(\S+)\s+(KV|compute|output) buffer size\s*=\s*([0-9.]+) MiB")


@dataclass(frozen=True, slots=True)
class BareServer:
    """A running bare engine."""

    endpoint: Endpoint
    pid: int


@contextmanager
def bare_server(
    model: Path, log: Path, verbosity: int = ENGINE_DEFAULT_VERBOSITY
) -> Iterator[BareServer]:
    """Start the bare engine, yield it once it serves, end it.

    Args:
        model: the GGUF file.
        log: takes what the engine prints.
        verbosity: how much it prints.
    """
    numbers = (CONTEXT_TOKENS, PARALLEL, threads(), BATCH_TOKENS, verbosity)
    with (
        log.open("wb") as printed,
        subprocess.Popen(
            [sys.executable, str(_SCRIPT), str(model), *map(str, numbers)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=printed,
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            ready = json.loads(_json_line(process.stdout.readline, log))
            address = urlsplit(ready["url"])
            yield BareServer(
                Endpoint("bare", address.hostname or "", address.port or 0, MODEL), ready["pid"]
            )
        finally:
            process.stdin.close()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def stated_buffers_mib(log: Path) -> dict[str, float]:
    """Return the sizes of the buffers that the engine states in its log, by kind."""
    sizes: dict[str, float] = {}
    for _, kind, size in _BUFFER.findall(log.read_text(encoding="utf-8", errors="replace")):
        sizes[kind] = sizes.get(kind, 0.0) + float(size)
    if not {"KV", "compute"} <= set(sizes):
        raise RuntimeError(f"the engine did not state its buffers; see {log}")
    return sizes


def _json_line(readline: Callable[[], bytes], log: Path) -> bytes:
    while line := readline():
        if line.startswith(b"{"):
            return line
    raise RuntimeError(f"the bare engine did not start; see {log}")
