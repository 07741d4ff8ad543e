"""A tenant that looks without end keeps neither others nor changes waiting."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from corral.core.errors import CorralError
from corral.core.ids import TenantName
from corral.gateway.lookup_pool import LookupPool
from corral.state.schema import ensure_current
from corral.state.transaction import snapshot

ACME, BOLT = TenantName("acme"), TenantName("bolt")
ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"


@pytest.mark.claim("LIM-14")
def test_one_tenants_looks_take_one_thread() -> None:
    async def body() -> None:
        pool, held = LookupPool(), threading.Event()
        flood = [asyncio.create_task(pool.run(ACME, held.wait)) for _ in range(20)]
        await asyncio.sleep(0)
        assert await asyncio.wait_for(pool.run(BOLT, lambda: "seen"), 30) == "seen"
        held.set()
        assert all(await asyncio.gather(*flood)), "the control: they were let in, one by one"
        pool.close()

    asyncio.run(body())


@pytest.mark.claim("LIM-14")
def test_a_query_without_end_is_cut_off(tmp_path: Path) -> None:
    database = tmp_path / "corral.db"
    ensure_current(database)

    def ask(query: str) -> int:
        with snapshot(database) as connection:
            return int(connection.execute(query).fetchone()[0])

    async def body() -> None:
        pool = LookupPool(longest_s=0.2)
        with pytest.raises(CorralError) as refused:
            await pool.run(ACME, lambda: ask(ENDLESS))
        assert refused.value.code == "database_unavailable"
        assert await pool.run(ACME, lambda: ask("SELECT 1")) == 1, "the control"
        pool.close()

    asyncio.run(body())
