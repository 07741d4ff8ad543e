"""Write what tools of others found into docs/security-model.md: `make evidence`.

Runs tests/security/evidence, which looks at live processes, and replaces the table between the two
marks by what those tests recorded.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "security-model.md"
BEGIN, END = "<!-- evidence: written by make evidence -->", "<!-- end of evidence -->"
HEAD = "| tool | of what | what it says |\n|---|---|---|\n"


def main() -> int:
    """Run the tests and replace the table; return the tests' exit code."""
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows"
        rows.touch()
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "tests/security/evidence"],
            cwd=ROOT, check=False, env=os.environ | {"CORRAL_EVIDENCE": str(rows)},
        )  # fmt: skip
        found = sorted(set(rows.read_text().splitlines()))
    if done.returncode:
        return done.returncode
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{HEAD}{chr(10).join(found)}\n{END}{after}", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
