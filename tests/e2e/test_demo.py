"""`make demo`'s program on each runtime, and the whole of `make demo` as an unprivileged user."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.server import leftovers_of

ROOT = Path(__file__).parents[2]
UNPRIVILEGED = 12345
NOWHERE = "http://127.0.0.1:9"


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["crun", "runc", "runsc"])
def test_demo_on_each_runtime(runtime, needs_runtime, home):
    needs_runtime(runtime)
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "demo.py")],
        capture_output=True, text=True, timeout=170, check=False, stdin=subprocess.DEVNULL,
        env=os.environ | {"CORRAL_DEMO_HOME": str(home), "CORRAL_DEMO_RUNTIME": runtime},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"runtime {runtime}" in done.stdout
    assert "tokens/s" in done.stdout
    assert "nothing is left" in done.stdout
    assert leftovers_of(home) == {"processes": [], "cgroups": [], "mounts": []}


def make_demo(
    clone: Path, environment: dict[str, str], *, seconds: int
) -> subprocess.CompletedProcess[str]:
    """Run `make demo` as a user without privilege; it must succeed and say how long it took."""
    done = subprocess.run(
        ["setpriv", f"--reuid={UNPRIVILEGED}", f"--regid={UNPRIVILEGED}", "--clear-groups",
         "make", "-C", str(clone), "demo"],
        capture_output=True, text=True, timeout=seconds, check=False, stdin=subprocess.DEVNULL,
        env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing is left" in done.stdout
    assert re.search(r"^Done in [0-9.]+ s\.$", done.stdout, re.MULTILINE)
    return done


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_make_demo_in_a_fresh_clone_without_root(needs_root, tmp_path_factory):
    """System Python, an empty HOME, no cgroup: it works, and says aloud what is missing.

    A second run is fast because it downloads nothing; that it does not is what is tested here.
    """
    python = Path("/usr/bin/python3")
    version = subprocess.run([python, "-c", "import sys; print(sys.version_info >= (3, 11))"],
                             capture_output=True, text=True, check=False)  # fmt: skip
    if version.stdout.strip() != "True":
        pytest.skip("the system's Python is older than 3.11")
    place = Path("/tmp") / f"corral-rootless-{os.getpid()}"
    place.mkdir(mode=0o755)
    try:
        clone = place / "clone"
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True
        )
        for name in listed.stdout.decode().split("\0")[:-1]:
            if (ROOT / name).exists():
                (clone / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, clone / name)
        subprocess.run(["chown", "-R", f"{UNPRIVILEGED}:{UNPRIVILEGED}", str(place)], check=True)
        kept = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "PIP_INDEX_URL", "UV_INDEX_URL",
                "HTTPS_PROXY", "https_proxy", "NO_PROXY")  # fmt: skip
        environment = {"HOME": str(place), "PATH": "/usr/bin:/bin:/usr/sbin:/sbin"}
        first = make_demo(
            clone, environment | {k: os.environ[k] for k in kept if k in os.environ}, seconds=380
        )
        assert "--allow-degraded=cgroup" in first.stdout + first.stderr
        assert "admitted by an earlier run" not in first.stdout
        made = (clone / ".venv" / ".setup-stamp").stat().st_mtime_ns
        # Whatever the second run would still download, it could not: no proxy answers there.
        second = make_demo(
            clone, environment | {"HTTPS_PROXY": NOWHERE, "https_proxy": NOWHERE}, seconds=170
        )
        assert "admitted by an earlier run" in second.stdout
        assert (clone / ".venv" / ".setup-stamp").stat().st_mtime_ns == made
    finally:
        shutil.rmtree(place, ignore_errors=True)
