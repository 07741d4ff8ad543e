"""One at a time of each tenant, also while others of it come and go."""

from __future__ import annotations

import asyncio

from corral.gateway.tenant_turns import TenantTurns


def test_one_that_comes_after_another_has_ended_waits_with_the_others() -> None:
    async def most() -> int:
        turns = TenantTurns()
        inside, found = 0, 0

        async def one() -> None:
            nonlocal inside, found
            async with turns.take("acme"):
                inside += 1
                found = max(found, inside)
                if len(tasks) < 20:
                    tasks.append(asyncio.create_task(one()))
                for _ in range(3):
                    await asyncio.sleep(0)
                inside -= 1
            if len(tasks) < 20:
                tasks.append(asyncio.create_task(one()))

        tasks = [asyncio.create_task(one()) for _ in range(3)]
        for task in tasks:
            await task
        assert len(tasks) == 20
        return found

    assert asyncio.run(most()) == 1


def test_tenants_wait_for_nobody_but_themselves() -> None:
    async def both() -> bool:
        turns = TenantTurns()
        async with turns.take("acme"), asyncio.timeout(5), turns.take("globex"):
            return True

    assert asyncio.run(both())


def test_who_goes_away_while_it_waits_takes_the_turn_from_nobody() -> None:
    async def after() -> bool:
        turns = TenantTurns()

        async def one() -> None:
            async with turns.take("acme"):
                pass

        async with turns.take("acme"):
            gone, waits = (asyncio.create_task(one()) for _ in range(2))
            await asyncio.sleep(0)
            gone.cancel()
        async with asyncio.timeout(5):
            await waits
        return gone.cancelled()

    assert asyncio.run(after())
