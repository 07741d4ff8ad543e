"""Runs beside the service, in the namespaces of systemd_boot.sh: ask, look, report."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path


def ask(url: str, key: str, model: str, ca_file: str) -> str:
    body = {"model": model, "max_tokens": 8, "messages": [{"role": "user", "content": "Hello."}]}
    request = urllib.request.Request(
        f"{url}/v1/chat/completions", data=json.dumps(body).encode(),
        headers={"authorization": f"Bearer {key}", "content-type": "application/json"},
    )  # fmt: skip
    context = ssl.create_default_context(cafile=ca_file)
    with urllib.request.urlopen(request, context=context, timeout=90) as answer:
        return str(json.load(answer)["choices"][0]["message"]["content"])


def systemctl(*words: str) -> subprocess.CompletedProcess[str]:
    """Ask the systemd that runs the service: PID 1, or that of the user whose id we were told."""
    argv = ["systemctl", *words]
    if uid := os.environ.get("CORRAL_TEST_UID"):
        argv = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "env",
                f"XDG_RUNTIME_DIR=/run/user/{uid}", "systemctl", "--user", *words]  # fmt: skip
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=90)


def properties() -> dict[str, str]:
    shown = systemctl(
        "show", "corral.service", "-p", "ActiveState,SubState,MainPID,NRestarts,User,Result"
    )
    return dict(line.split("=", 1) for line in shown.stdout.splitlines())


def look(pid: str) -> dict[str, object]:
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    facts: dict[str, object] = {
        name: value.split()[0]
        for name, _, value in (line.partition(":") for line in status)
        if name in {"Uid", "CapEff", "CapBnd", "NoNewPrivs", "Seccomp"}
    }
    facts["interfaces"] = [line.split(":")[0].strip() for line in
                           Path(f"/proc/{pid}/net/dev").read_text().splitlines()[2:]]  # fmt: skip
    # As the service sees it: what is in its homes, and what it can write.
    root = Path(f"/proc/{pid}/root")
    facts["homes"] = sorted(str(p.relative_to(root)) for p in root.glob("home/*/*"))
    mounts = [line.split() for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()]
    # A later mount on the same place covers the earlier one.
    state = {mount[4]: mount[5].split(",")[0] for mount in mounts}
    facts["writable"] = sorted(path for path, access in state.items() if access == "rw")
    return facts


def recover(url: str, key: str, model: str, ca_file: str, pid: int) -> float:
    """Kill the service; return the seconds until the next answer of the one that systemd starts."""
    os.kill(pid, signal.SIGKILL)
    killed = time.monotonic()
    while properties()["MainPID"] in {"0", str(pid)} and time.monotonic() < killed + 30:
        time.sleep(0.02)
    ask(url, key, model, ca_file)
    return time.monotonic() - killed


def main(url: str, key: str, model: str, out: str, ca_file: str) -> None:
    found: dict[str, object] = {}
    try:
        found["before"] = properties()
        found["answer"] = ask(url, key, model, ca_file)
        found["after"] = after = properties()
        found["monitor"] = look(after["MainPID"])
        limits = Path("/sys/fs/cgroup/memory/system.slice").glob(
            "**/corral.service/corral-*/serve-*/engine-*/memory.limit_in_bytes"
        )
        found["limits"] = [int(path.read_text()) for path in limits]
        found["recovered_s"] = recover(url, key, model, ca_file, int(after["MainPID"]))
        found["restarts"] = properties()["NRestarts"]
        found["stop"] = systemctl("stop", "corral.socket", "corral.service").returncode
        found["stopped"] = properties()
    except Exception as problem:
        found["problem"] = f"{type(problem).__name__}: {problem}"
    temporary = Path(f"{out}.new")
    temporary.write_text(json.dumps(found))
    temporary.rename(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
