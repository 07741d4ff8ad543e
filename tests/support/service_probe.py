"""Runs beside the service, in the namespaces of systemd_boot.sh: ask, look, report."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
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


def properties() -> dict[str, str]:
    names = "ActiveState,SubState,MainPID,NRestarts,User"
    shown = subprocess.run(
        ["systemctl", "show", "corral.service", "-p", names], capture_output=True, text=True,
        check=False,
    )  # fmt: skip
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
    return facts


def main(url: str, key: str, model: str, out: str) -> None:
    found: dict[str, object] = {}
    try:
        found["before"] = properties()
        found["answer"] = ask(url, key, model, "/var/lib/corral/tls/ca.crt")
        found["after"] = after = properties()
        found["monitor"] = look(after["MainPID"])
        limits = Path("/sys/fs/cgroup/memory/system.slice/corral.service").glob(
            "corral-*/serve-*/engine-*/memory.limit_in_bytes"
        )
        found["limits"] = [int(path.read_text()) for path in limits]
        stop = ["systemctl", "stop", "corral.socket", "corral.service"]
        found["stop"] = subprocess.run(stop, check=False).returncode
        found["stopped"] = properties()
    except Exception as problem:
        found["problem"] = f"{type(problem).__name__}: {problem}"
    temporary = Path(f"{out}.new")
    temporary.write_text(json.dumps(found))
    temporary.rename(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
