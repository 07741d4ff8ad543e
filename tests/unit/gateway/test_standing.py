"""A key that is taken away ends what it runs: streams, whole answers, and who waits in a queue."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from corral.admission.catalog import Catalog
from corral.admission.policy.verdict import Allowance
from corral.core.home import Home
from corral.gateway.standing import Permit, Standing
from corral.tenancy.certificate import Credential
from corral.tenancy.grants import grant_model, revoke_grant
from corral.tenancy.keyring import Keyring
from corral.tenancy.keys import create_key, revoke_key
from corral.tenancy.setup import initialise
from corral.tenancy.tenants import freeze_tenant, remove_tenant
from tests.support.policies import DECIDED
from tests.support.running_clock import running_clock
from tests.unit.gateway.conftest import MODELS, Served, admit
from tests.unit.gateway.test_pipeline import eventually

FOREVER: Final[list[ChatCompletionMessageParam]] = [{"role": "user", "content": "forever"}]
WITHIN_S: Final = 2.0
Start = Callable[..., Served]
Act = Callable[[Path, Served], None]


def revoke(database: Path, served: Served) -> None:
    revoke_key(database, served.keys["acme"].split("-")[2])


def freeze(database: Path, _: Served) -> None:
    freeze_tenant(database, "acme")


def take_back(database: Path, _: Served) -> None:
    revoke_grant(database, "acme", "slow")


def take_from_tenant(_: Path, served: Served) -> None:
    decide(served, allowance=Allowance(tenants=("default",)))


def decide(served: Served, **changes: object) -> None:
    """Sign the slow model's receipt anew, as `corral admit` does."""
    number = list(MODELS).index("slow")
    decision = msgspec.structs.replace(DECIDED, **changes)
    admit(served.home, "slow", digest=f"{number:064x}", decision=decision)


ACTS = [
    pytest.param(
        take_from_tenant, 404, "model_not_found", marks=pytest.mark.claim("POL-07"), id="policy"
    ),
    pytest.param(revoke, 401, "invalid_api_key", marks=pytest.mark.claim("KEY-03"), id="revoked"),
    pytest.param(freeze, 401, "invalid_api_key", marks=pytest.mark.claim("KEY-05"), id="frozen"),
    pytest.param(take_back, 404, "model_not_found", marks=pytest.mark.claim("KEY-05"), id="grant"),
]


@pytest.fixture
def database(served: Served) -> Path:
    """Return the database, as another process has it; acme may use the slow model."""
    grant_model(served.home.database, "acme", "slow")
    return served.home.database


@pytest.mark.parametrize(("act", "status", "code"), ACTS)
def test_a_running_stream_ends_with_its_key(
    served: Served, database: Path, act: Act, status: int, code: str
) -> None:
    other = served.client().chat.completions.create(model="slow", messages=FOREVER, stream=True)
    stream = served.client("acme").chat.completions.create(
        model="slow", messages=FOREVER, stream=True
    )
    for _ in range(3):
        next(stream)
    act(database, served)
    with running_clock() as clock:
        with pytest.raises(openai.APIError) as caught:
            list(stream)
        assert caught.value.code == code
        assert clock.now_s < WITHIN_S
    assert eventually(lambda: [(u[0], u[5]) for u in served.usage()] == [("acme", code)])
    assert status in {401, 404}
    # The control: a stream of somebody else goes on.
    for _ in range(5):
        assert next(other).choices
    other.close()


@pytest.mark.parametrize(("act", "status", "code"), ACTS)
def test_a_whole_answer_ends_with_its_key(
    served: Served, database: Path, act: Act, status: int, code: str
) -> None:
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(
            served.client("acme").chat.completions.create, model="slow", messages=FOREVER
        )
        assert eventually(lambda: bool(served.launcher.confirmed)), "its worker runs"
        time.sleep(0.3)
        act(database, served)
        with running_clock() as clock:
            with pytest.raises(openai.APIStatusError) as caught:
                asked.result(60)
            assert clock.now_s < WITHIN_S
    assert (caught.value.status_code, caught.value.code) == (status, code)


@pytest.mark.claim("KEY-03")
@pytest.mark.parametrize("waiting", ["queue", "slot"])
def test_who_waits_is_sent_away_with_its_key(start: Start, waiting: str) -> None:
    """The key that waits is revoked; the one that runs belongs to the same tenant and stays."""
    served = start(limits__concurrent_requests=1 if waiting == "queue" else 9, engine__parallel=1)
    pepper = served.home.pepper.read_bytes()
    served.keys["second"], record = create_key(
        served.home.database, pepper, tenant="default", name="second"
    )
    running = served.client().chat.completions.create(model="slow", messages=FOREVER, stream=True)
    next(running)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(
            served.client("second").chat.completions.create, model="slow", messages=FOREVER
        )
        time.sleep(0.5)
        assert not asked.done()
        revoke_key(served.home.database, record.prefix)
        with running_clock() as clock:
            with pytest.raises(openai.AuthenticationError):
                asked.result(60)
            assert clock.now_s < WITHIN_S
    for _ in range(3):
        next(running)
    running.close()


@pytest.mark.claim("KEY-12")
@pytest.mark.parametrize("busy", [True, False], ids=["busy", "idle"])
@pytest.mark.parametrize("act", ["freeze", "remove"])
def test_the_workers_of_a_frozen_tenant_end_with_its_keys(
    served: Served, database: Path, busy: bool, act: str
) -> None:
    ask: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hello"}]
    served.client().chat.completions.create(model="tiny", messages=ask)
    (control,) = served.launcher.live
    served.client("acme").chat.completions.create(model="tiny", messages=ask)
    if busy:
        stream = served.client("acme").chat.completions.create(
            model="slow", messages=FOREVER, stream=True
        )
        next(stream)
    theirs = set(served.launcher.live) - {control}
    assert len(theirs) == 1 + busy
    if act == "freeze":
        freeze_tenant(database, "acme")
    else:
        remove_tenant(database, "acme", sure=True)
    with running_clock() as clock:
        assert eventually(lambda: set(served.launcher.live) == {control})
        assert clock.now_s < WITHIN_S
    if busy:
        with pytest.raises(openai.APIError) as caught:
            list(stream)
        assert caught.value.code == "invalid_api_key", "it hears the reason, not the kill"
    with pytest.raises(openai.AuthenticationError):
        served.client("acme").chat.completions.create(model="tiny", messages=ask)
    served.client().chat.completions.create(model="tiny", messages=ask)
    assert control in served.launcher.live


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "other")
    initialise(home)
    return home


def catalog(home: Home) -> Catalog:
    return Catalog(home.database, home.receipt_public_key.read_bytes())


class NoWorkers:
    """A router that nobody has asked yet."""

    def runs(self, _tenants: object = None) -> bool:
        return False

    def stop_tenants(self, tenants: object) -> None:
        raise AssertionError(tenants)

    def share_cores(self) -> None:
        pass


def lost(permit: Permit) -> str | None:
    return permit.lost.result().code if permit.lost.done() else None


@pytest.mark.claim("KEY-04")
def test_time_alone_ends_a_request(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    pepper = home.pepper.read_bytes()
    soon = datetime.now(UTC) + timedelta(hours=1)
    token, _ = create_key(home.database, pepper, tenant="default", name="n", expires_at=soon)
    keyring = Keyring(home.database, pepper)

    async def follow() -> tuple[bool, str]:
        with Standing(keyring, catalog(home), NoWorkers()).follow(Credential(token)) as permit:
            await asyncio.sleep(1.2)  # over the first look
            early = permit.lost.done()
            monkeypatch.setattr("time.time", soon.timestamp)
            with running_clock() as clock:
                lost = await asyncio.wait_for(permit.lost, 30)
                assert clock.now_s < WITHIN_S
            return early, lost.code

    assert asyncio.run(follow()) == (False, "invalid_api_key")
    keyring.close()


@pytest.mark.claim("KEY-06")
def test_one_failed_look_ends_nothing_and_two_end_everything(home: Home) -> None:
    pepper = home.pepper.read_bytes()
    token, _ = create_key(home.database, pepper, tenant="default", name="n")
    keyring = Keyring(home.database, pepper)
    away = home.database.with_suffix(".away")

    async def look() -> list[str | None]:
        permit, models = Permit(Credential(token)), catalog(home)
        found = []
        for there in (True, False, True, False, False):
            if there is not home.database.exists():
                home.database.rename(away) if not there else away.rename(home.database)
            permit.look(keyring, models)
            found.append(lost(permit))
        return found

    assert asyncio.run(look()) == [None, None, None, None, "invalid_api_key"]
    keyring.close()


@pytest.mark.claim("KEY-05")
def test_a_look_holds_until_a_key_a_grant_or_the_model_changes(home: Home) -> None:
    pepper = home.pepper.read_bytes()
    token, _ = create_key(home.database, pepper, tenant="default", name="n")
    keyring = Keyring(home.database, pepper)

    async def looks() -> list[bool]:
        permit = Permit(Credential(token))
        found = [permit.holds(keyring.version())]  # nobody has looked yet
        permit.look(keyring, catalog(home))
        found.append(permit.holds(keyring.version()))
        permit.model = "slow"
        found.append(permit.holds(keyring.version()))
        permit.look(keyring, catalog(home))
        found.append(permit.holds(keyring.version()))
        create_key(home.database, pepper, tenant="default", name="other")
        found.append(permit.holds(keyring.version()))
        permit.look(keyring, catalog(home))
        home.database.rename(home.database.with_suffix(".away"))
        found.append(permit.holds(keyring.version()))
        return found

    grant_model(home.database, "default", "slow")
    assert asyncio.run(looks()) == [False, True, False, True, False, False]
    keyring.close()


def test_nobody_is_looked_after_when_nobody_asks(home: Home) -> None:
    keyring = Keyring(home.database, home.pepper.read_bytes())

    async def follow() -> tuple[int, int]:
        loop = asyncio.get_running_loop()
        timers = []
        plain = loop.call_later
        loop.call_later = lambda *args, **more: (timers.append(1), plain(*args, **more))[1]  # type: ignore[assignment, method-assign]
        with Standing(keyring, catalog(home), NoWorkers()).follow(Credential("x")):
            began = len(timers)
        await asyncio.sleep(1)
        return began, sum(timers)

    began, all_in_all = asyncio.run(follow())
    assert (began, all_in_all - began) == (1, 1), "only the sleep's own"
    keyring.close()
