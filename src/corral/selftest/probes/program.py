"""Run the probes and print one JSON line for each; then wait until stdin closes.

Trust: runs in a jail in the place of a zone's module, after the jail entry's locks; outside a jail
as the control. Input: one JSON line on stdin (see `registry.Context`; `only`: one probe alone).
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from corral.selftest.probes import (  # noqa: F401 - each registers its probes
    environment_unsafe,
    files,
    kernel_unsafe,
    links,
    memory_unsafe,
    network,
    privileges_unsafe,
    processes_unsafe,
    resources,
    streams,
)
from corral.selftest.probes.registry import OK, Context, ordered, outcome_of


def main() -> int:
    """Answer one request."""
    request = json.loads(sys.stdin.buffer.readline())
    answer(request, {})
    return 0


def answer(request: dict[str, Any], refused: dict[str, str]) -> None:
    """Run what was asked for and say what came of it.

    Args:
        request: see `registry.Context`.
        refused: probe -> the error that kept a control from what this attack needs.
    """
    context = Context(request)
    if context.zone == "sealed" and not context.refusal:
        from corral.selftest.probes.sealing import seal_process

        seal_process()
    skipped = set(request.get("skip", ()))
    for name, attack in ordered(str(request.get("only", ""))):
        if name not in skipped:
            outcome = outcome_of(attack, context)
            _say({"id": name, "outcome": outcome if outcome == OK else refused.get(name, outcome)})
    _say({"end": True})
    os.read(0, 1)  # until the selftest has looked at this process from outside


def _say(document: dict[str, object]) -> None:
    line = memoryview(json.dumps(document).encode() + b"\n")
    while line:
        line = line[os.write(1, line) :]


if __name__ == "__main__":
    sys.exit(main())
