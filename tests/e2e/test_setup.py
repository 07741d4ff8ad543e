"""scripts/setup.sh on a machine that lacks system packages, for a user without root."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.support.own_user import UID

SETUP = Path(__file__).parents[2] / "scripts" / "setup.sh"
APT_GET = "#!/bin/bash\necho called >> {log}\n"


def test_without_root_it_names_the_one_command_and_stops(needs_root) -> None:
    place = Path("/tmp") / f"corral-setup-{os.getpid()}"
    tools = place / "tools"
    log = place / "apt-get.log"
    script = place / "clone" / "scripts" / "setup.sh"
    try:
        for folder in (tools, script.parent):
            folder.mkdir(parents=True)
        shutil.copy(SETUP, script)
        (tools / "dirname").symlink_to(shutil.which("dirname") or "")
        (tools / "apt-get").write_text(APT_GET.format(log=log))
        (tools / "apt-get").chmod(0o755)
        subprocess.run(["chown", "-R", f"{UID}:{UID}", str(place)], check=True)
        done = subprocess.run(
            ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "env", "-i",
             f"PATH={tools}", f"HOME={place}", "/bin/bash", str(script)],
            capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        commands = [line.strip() for line in done.stderr.splitlines() if "apt-get" in line]
        assert done.returncode == 1
        assert done.stdout == ""
        (command,) = commands  # one, for everything that is missing
        assert command.startswith("sudo apt-get update && sudo apt-get install -y python3 ")
        assert "python3-venv" in command.split()
        assert not log.exists()  # it names the command and does not try it
        assert [path.name for path in script.parents[1].iterdir()] == ["scripts"]  # no .venv
    finally:
        shutil.rmtree(place, ignore_errors=True)
