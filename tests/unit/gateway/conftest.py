"""A whole gateway in this process: real TLS, real database, real receipts, fake workers."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import msgspec
import openai
import pytest
import uvloop

from corral.admission.catalog_changes import put_rows
from corral.admission.receipt import sign_receipt
from corral.core.config import Config, override_config
from corral.core.home import Home
from corral.gateway.main import serve
from corral.ipc.messages import Drain
from corral.pki.audit_key import audit_key_file
from corral.pki.authority import ensure_server_certificate
from corral.pki.master_key import load_master_key
from corral.pki.receipt_key import load_receipt_key
from corral.state.database import open_database
from corral.tenancy.grants import grant_model
from corral.tenancy.keys import create_key
from corral.tenancy.setup import initialise
from corral.tenancy.tenants import add_tenant
from tests.support.admitted_row import make_receipt
from tests.support.fake_launcher import FakeLauncher

MODELS = {
    "tiny": "echo", "slow": "slow", "special": "special", "dead": "die", "midway": "die_midway",
    "fatal": "fatal", "long": "too_long", "broken": "engine_error", "bare": "echo",
    "garbage": "garbage", "endless": "endless", "longline": "long_line", "silent": "silent",
    "warden": "warden", "forged": "forged", "obedient": "obeys",
    "eyes": "sees",
}  # fmt: skip


@dataclass
class Served:
    """A running gateway.

    Attributes:
        keys: tokens by tenant name.
    """

    url: str
    home: Home
    launcher: FakeLauncher
    keys: dict[str, str]
    thread: threading.Thread
    clients: list[openai.OpenAI] = field(default_factory=list)

    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.home.ca_cert))

    def client(self, tenant: str = "default") -> openai.OpenAI:
        client = openai.OpenAI(
            base_url=self.url + "/v1", api_key=self.keys[tenant], max_retries=0, timeout=60,
            http_client=openai.DefaultHttpxClient(verify=self.trust()),
        )  # fmt: skip
        self.clients.append(client)
        return client

    def http(self, **options: object) -> httpx2.Client:
        return httpx2.Client(
            base_url=self.url,
            verify=self.trust(),
            **options,
        )  # type: ignore[arg-type]

    def bearer(self, tenant: str = "default") -> dict[str, str]:
        return {"authorization": f"Bearer {self.keys[tenant]}"}

    def usage(self) -> list[tuple[object, ...]]:
        engine = open_database(self.home.database)
        with engine.connect() as connection:
            rows = connection.exec_driver_sql(
                "SELECT tenant, model, prompt_tokens, completion_tokens, cached_tokens, status"
                " FROM usage ORDER BY id"
            ).fetchall()
        engine.dispose()
        return [tuple(row) for row in rows]


def admit(home: Home, name: str, *, digest: str, template: bool = True, **changes: object) -> None:
    receipt = make_receipt(
        name=name, digest=digest, size_bytes=1000, trust="verified", has_chat_template=template,
        control_tokens=("<|im_start|>", "<|im_end|>"),
        admitted_at=1_700_000_000, **changes,
    )  # fmt: skip
    text, signature = sign_receipt(receipt, load_receipt_key(home))
    put_rows(home, [(receipt, text, signature)], how="pull")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Return a function that starts a gateway; settings are dotted overrides."""
    running: list[Served] = []

    def run(*, host_report: bytes | None = None, guard: str = "", **settings: object) -> Served:
        home = Home(tmp_path / "home")
        first = initialise(home)
        assert first is not None
        ensure_server_certificate(home, ())
        keys = {"default": first.api_key, "admin": first.admin_key}
        add_tenant(home.database, "acme")
        grant_model(home.database, "acme", "tiny")
        keys["acme"], _ = create_key(
            home.database, home.pepper.read_bytes(), tenant="acme", name="test"
        )
        for number, name in enumerate(MODELS):
            admit(home, name, digest=f"{number:064x}", template=name != "bare")
        if not guard:  # there is no detector, and the operator knows it
            settings.setdefault("sandbox__allow_degraded", ("detector",))
        config = override_config(
            Config(), {name.replace("__", "."): value for name, value in settings.items()}
        )
        launcher = FakeLauncher(dict(MODELS))
        launcher.guard = guard
        launcher.secrets = {
            "config": json.dumps(msgspec.to_builtins(dataclasses.asdict(config))).encode(),
            "pepper": home.pepper.read_bytes(),
            "audit.key": audit_key_file(home).read_bytes(),
            "master.key": load_master_key(home),
            "receipt_public_key": home.receipt_public_key.read_bytes(),
            "tls_cert": home.server_cert.read_bytes(),
            "tls_key": home.server_key.read_bytes(),
        }
        if host_report is not None:
            launcher.secrets["host"] = host_report
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        port = listener.getsockname()[1]

        def body() -> None:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(serve(listener=listener, channel=launcher.client, state=home.state))

        thread = threading.Thread(target=body, daemon=True)
        thread.start()
        assert launcher.ready.wait(30)
        served = Served(f"https://127.0.0.1:{port}", home, launcher, keys, thread)
        running.append(served)
        return served

    yield run
    for served in running:
        for client in served.clients:
            client.close()
        if served.thread.is_alive():
            served.launcher.send_event(Drain(1))
            served.thread.join(30)
        assert not served.thread.is_alive()
        served.launcher.close()


@pytest.fixture
def served(start: Callable[..., Served]) -> Served:
    return start()
