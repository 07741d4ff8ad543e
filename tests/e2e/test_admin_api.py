"""The admin API in the gateway's real jail: a tenant from its first key to its wipe."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from corral.core.home import Home
from corral.state.connection import read_rows
from tests.support.server import MODEL, RunningServer, corral, wait_until


@pytest.mark.claim("KEY-12")
def test_a_tenant_is_made_used_and_wiped_from_afar(shared_server: RunningServer) -> None:
    admin = shared_server.http(shared_server.admin_key)
    tenant = "/admin/v1/tenants/afar"
    assert admin.post("/admin/v1/tenants", json={"name": "afar"}).status_code == 201
    assert admin.put(f"{tenant}/grants/{MODEL}").status_code == 200
    key = admin.post("/admin/v1/keys", json={"tenant": "afar", "models": [MODEL]}).json()["key"]
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2}
    with shared_server.http(key) as client:
        assert client.post("/v1/chat/completions", json=body).status_code == 200
        assert client.get("/admin/v1/tenants").status_code == 403

        def used() -> list[tuple[str, int]]:
            totals = client.get("/admin/v1/usage?by=tenant").json()["data"]
            return [(one["tenant"], one["requests"]) for one in totals]

        assert wait_until(lambda: used() == [("afar", 1)])
        assert shared_server.worker_of("afar")

        home = Home(shared_server.home)
        wrapped = read_rows(home.database, "SELECT wrapped FROM tenant_keys WHERE tenant = 'afar'")
        assert admin.post(f"{tenant}/wipe", json={"confirm": "afar"}).json()["wiped"] is True
        assert client.get("/v1/models").status_code == 401
    assert wait_until(lambda: "afar" not in {one["tenant"] for one in shared_server.workers()})
    for file in home.state.glob(home.database.name + "*"):
        assert bytes(wrapped[0][0]) not in file.read_bytes()
    actions = [one["action"] for one in admin.get("/admin/v1/audit?limit=9").json()["data"]]
    assert "tenant:wipe" in actions
    # Another process closes the database: had the wipe lost SQLite's locks, it would take the log.
    assert corral(shared_server.home, "audit", "verify").returncode == 0
    for name in ("afar-one", "afar-two"):
        assert admin.post("/admin/v1/tenants", json={"name": name}).status_code == 201
        assert admin.get(f"/admin/v1/tenants/{name}").status_code == 200
    assert admin.delete(f"{tenant}?sure=true").status_code == 200


def test_a_large_database_is_summed_up_and_wiped(shared_server: RunningServer) -> None:
    """What SQLite sorts and rebuilds is larger than the jail's /tmp, which is memory."""
    admin = shared_server.http(shared_server.admin_key)
    assert admin.post("/admin/v1/tenants", json={"name": "large"}).status_code == 201
    database = Home(shared_server.home).database
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(
            "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 500000)"
            " INSERT INTO usage (ts_ms, tenant, key_id, model, prompt_tokens, completion_tokens,"
            " cached_tokens, status, duration_ms) SELECT x,"
            " 'large', x, 'm', 1, 1, 0, 'ok', 1 FROM n"
        )
        connection.commit()
        assert database.stat().st_size > 3 * (8 << 20)
        try:
            (used,) = admin.get("/admin/v1/usage?tenant=large").json()["data"]
            assert used["requests"] == 500_000
            wiped = admin.post("/admin/v1/tenants/large/wipe", json={"confirm": "large"})
            assert wiped.json() == {"name": "large", "wiped": True}
        finally:
            connection.execute("DELETE FROM usage WHERE tenant = 'large'")
            connection.commit()
    assert admin.delete("/admin/v1/tenants/large?sure=true").status_code == 200
