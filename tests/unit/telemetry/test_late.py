"""The log library is loaded by the first line that is written, and not before."""

from __future__ import annotations

import json
import subprocess
import sys

PROGRAM = """
import sys
import corral.cli.main, corral.cli.up, corral.cli.models, corral.cli.pull, corral.admission.catalog
from corral.admission.journal import note_removal
from corral.telemetry.late import LateLogger
assert "structlog" not in sys.modules and "asyncio" not in sys.modules
LateLogger("corral.some.place").error("something_happened", model="m", secret="s")
assert "structlog" in sys.modules
"""


def test_a_command_has_no_log_library_until_it_writes_a_line() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    line = json.loads(done.stderr)
    assert (line["event"], line["module"], line["model"]) == (
        "something_happened", "corral.some.place", "m",
    )  # fmt: skip
    assert line["dropped_fields"] == 1
    assert "secret" not in line
