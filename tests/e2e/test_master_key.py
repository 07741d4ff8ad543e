"""A server whose master key is locked by a passphrase: what it does, and what its state folder is
worth to who copies it.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import openai
import psutil
import pytest

from corral.core.errors import CorralError
from corral.core.home import Home
from corral.core.ids import TenantName
from corral.pki.master_key import load_master_key, master_key_file
from corral.tenancy.data_keys import DataKeys, unwrap_key
from corral.tenancy.quota import Scope
from corral.tenancy.quota_table import change_quotas
from corral.tenancy.stored import Shelf
from tests.support.server import (
    CORRAL,
    MODEL,
    RunningServer,
    corral,
    degraded_options,
    leftovers_of,
    wait_until,
    without_detector,
)
from tests.support.terminal import terminal

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
WORDS = "five random words of mine"
CANARY = "ZQXCANARY4711"
Start = Callable[..., RunningServer]


@pytest.fixture
def word(tmp_path: Path) -> Path:
    path = tmp_path / "word"
    path.write_text(f"{WORDS}\n")
    return path


def store(server: RunningServer) -> str:
    """Have the real engine answer a chat that is to be stored; return its id."""
    change_quotas(Home(server.home).database, Scope("default"), {"stored_completions": 10})
    answer = server.openai().chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": f"Say {CANARY}."}], max_tokens=4,
        store=True,
    )  # fmt: skip
    return answer.id


def question(server: RunningServer, stored: str) -> str:
    (message,) = server.openai().chat.completions.messages.list(stored).data
    return str(message.content)


def comes_back(server: RunningServer, stored: str) -> bool:
    try:
        return question(server, stored) == f"Say {CANARY}."
    except openai.OpenAIError:
        return False


def zones(server: RunningServer) -> dict[str, psutil.Process]:
    """Return the live processes below the monitor by the title that `ps` shows."""
    found = {"monitor": psutil.Process(server.pid)}
    for process in psutil.Process(server.pid).children(recursive=True):
        try:
            line = " ".join(process.cmdline())
        except psutil.Error:
            continue  # it has just ended
        if "corral.gateway.main" in line:
            found["gateway"] = process
        elif "corral.engine.worker" in line:
            found["engine"] = process
        elif "corral.launcher.main" in line:
            found["launcher"] = process
    return found


def memfds(process: psutil.Process) -> list[str]:
    links = Path(f"/proc/{process.pid}/fd").iterdir()
    names = [os.readlink(link) for link in links if link.is_symlink()]
    return [name for name in names if "memfd" in name]


def in_memory(process: psutil.Process, wanted: bytes) -> bool:
    """Return whether what a process can write holds these bytes."""
    folder = Path(f"/proc/{process.pid}")
    spans = [line.split()[:2] for line in (folder / "maps").read_text().splitlines()]
    with (folder / "mem").open("rb", 0) as memory:
        for span, rights in spans:
            begin, end = (int(one, 16) for one in span.split("-"))
            if not rights.startswith("rw"):
                continue
            memory.seek(begin)
            if wanted in (memory.read(end - begin) or b""):
                return True
    return False


def kill_gateway(server: RunningServer) -> None:
    old = zones(server)["gateway"]
    os.kill(old.pid, signal.SIGKILL)
    assert wait_until(lambda: (new := zones(server).get("gateway")) and new.pid != old.pid)


def read_by_thief(copy: Home, stored: str) -> bytes | None:
    """Return the stored messages of tenant `default`, if the copied folder opens them.

    The thief has every file, knows how corral works, and takes any 32 bytes in a row for a key.
    """
    with closing(sqlite3.connect(copy.database)) as connection:
        wrapped = connection.execute(
            "SELECT wrapped FROM tenant_keys WHERE tenant = 'default'"
        ).fetchone()[0]
        rows = connection.execute("SELECT id FROM stored_completions").fetchall()
    assert (stored,) in rows
    for path in sorted(copy.root.rglob("*")):
        inside = path.relative_to(copy.root).parts[0]
        if not path.is_file() or inside in {"store", "images"}:
            continue
        content = path.read_bytes()
        for at in range(len(content) - 31):
            try:
                unwrap_key(content[at : at + 32], "default", wrapped)
            except CorralError:
                continue
            keys = DataKeys(copy.database, content[at : at + 32])
            shelf = Shelf(copy.database, TenantName("default"), 1, 1, 30)
            return shelf.find(keys.storage_key(TenantName("default")), stored, "messages")
    return None


def copied(home: Path, to: Path) -> Home:
    shutil.copytree(
        home, to, ignore=lambda _, names: {"store", "images", "control.sock"} & set(names)
    )
    return Home(to)


@pytest.mark.claim("REST-11")
@pytest.mark.claim("REST-12")
def test_a_locked_server_stores_and_a_copy_of_its_folder_opens_nothing(
    home: Path, server_factory: Start, word: Path, tmp_path: Path
) -> None:
    # The control: with a plain key the thief reads what was stored.
    server = server_factory()
    stored = store(server)
    key = load_master_key(Home(home))
    # Locked beside the server that runs: it goes on, and so does its next gateway.
    corral(home, "master-key", "lock", "--passphrase-file", str(word))
    kill_gateway(server)
    assert wait_until(lambda: comes_back(server, stored))
    assert server.stop() == 0
    plain = copied(home, tmp_path / "plain")
    locked_file = master_key_file(plain).read_bytes()
    master_key_file(plain).write_bytes(key)
    read = read_by_thief(plain, stored)
    assert read is not None
    assert CANARY.encode() in read
    master_key_file(plain).write_bytes(locked_file)
    assert read_by_thief(plain, stored) is None

    # Without the passphrase nothing starts and nothing is left.
    for options, code in (
        ((), "master_key_locked"),
        (("--passphrase-file", "-"), "passphrase_wrong"),
    ):
        refused = subprocess.run(
            [str(CORRAL), "up", "--home", str(home), "--port", "0", "--print-json",
             *degraded_options(), *options],
            capture_output=True, text=True, timeout=120, check=False, input="another one of mine\n",
        )  # fmt: skip
        assert refused.returncode == 1
        assert f'"{code}"' in refused.stdout
        assert "another" not in refused.stdout + refused.stderr
        assert leftovers_of(home)["processes"] == []

    # With it, all is as before, also after its gateway was killed.
    server = server_factory("--passphrase-file", str(word))
    assert question(server, stored) == f"Say {CANARY}."
    kill_gateway(server)
    assert wait_until(lambda: comes_back(server, stored))
    second = store(server)
    assert comes_back(server, second)

    # The open key is in no file, and its memory is with the launcher alone.
    for path in home.rglob("*"):
        if path.is_file() and "store" not in path.parts and "images" not in path.parts:
            assert key not in path.read_bytes(), path
    live = zones(server)
    assert set(live) == {"monitor", "launcher", "gateway", "engine"}
    assert {name: len(memfds(process)) for name, process in live.items()} == {
        "monitor": 0, "launcher": 1, "gateway": 0, "engine": 0,
    }  # fmt: skip
    assert {link.name for link in Path(f"/proc/{live['engine'].pid}/fd").iterdir()} == {
        "0",
        "1",
        "2",
    }
    for process in live.values():
        for name in ("cmdline", "environ"):
            said = Path(f"/proc/{process.pid}/{name}").read_bytes()
            assert WORDS.encode() not in said
            assert key.hex().encode() not in said
        assert not in_memory(process, WORDS.encode()), process
    assert in_memory(live["gateway"], key), "the control: the search finds what is there"
    assert not in_memory(live["engine"], key)
    assert WORDS not in server.log()
    assert server.stop() == 0
    assert read_by_thief(copied(home, tmp_path / "locked"), stored) is None


def test_a_person_is_asked_at_the_terminal(home: Path, word: Path) -> None:
    corral(home, "master-key", "lock", "--passphrase-file", str(word))
    command = [str(CORRAL), "up", "--home", str(home), "--port", "0", *degraded_options(),
               *without_detector(home)]  # fmt: skip
    with terminal(command) as shown:
        shown.read_until(b"Passphrase of the master key: ")
        shown.write(f"{WORDS}\n".encode())
        shown.read_until(b"corral serves on ", seconds=120)
        assert WORDS.encode() not in shown.shown
        os.kill(shown.process.pid, signal.SIGTERM)
        assert shown.process.wait(60) == 0
