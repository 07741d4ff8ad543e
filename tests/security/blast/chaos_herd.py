"""Who takes part in the chaos: tenants that stream and compare, and somebody who does harm."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from collections import Counter
from dataclasses import dataclass, field

import psutil

from corral.core.errors import CorralError
from corral.core.home import Home
from corral.ipc.client import LauncherClient
from tests.security.blast.chaos_client import (
    Answer,
    CutError,
    Place,
    RefusedError,
    chat,
    read_head,
    request,
)
from tests.support.server import RunningServer

TYPED = {"worker_failed", "worker_timeout", "worker_restarting"}
"""What a request may be told that a fault of its own tenant's worker met."""
ATTACKS = (
    "garbage", "wrong_ids", "foreign_end", "after_end", "huge_usage", "leave", "half_line",
)  # fmt: skip


@dataclass
class Tenant:
    """One tenant: one prompt, one answer that it must always get, one stream at a time.

    Attributes:
        reference: text and finish reason of the isolated run.
        faults: how often harm was done to its worker, or to the gateway.
        underway: harm that is being done now.
        streaming: an answer is under way.
        hurt: harm was done and no whole answer has come since.
        failures: what must not happen; should stay empty.
    """

    name: str
    key: str
    prompt: str
    tokens: int
    reference: tuple[str, str] = ("", "")
    faults: int = 0
    underway: int = 0
    streaming: bool = False
    hurt: bool = False
    steps: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    @property
    def real(self) -> bool:
        return self.name.startswith("real-")

    @contextlib.contextmanager
    def harm(self):  # type: ignore[no-untyped-def]
        """Note that harm is done to this tenant, from before it begins until after its end."""
        self.faults += 1
        self.underway += 1
        self.hurt = True
        try:
            yield
        finally:
            self.underway -= 1
            self.faults += 1

    async def stream(self, place: Place, quota: int, rng: random.Random) -> None:
        """Take `quota` steps: open, read, dawdle, cancel; compare each answer's bytes."""
        while self.steps.total() < quota:
            await asyncio.sleep(rng.uniform(0, 0.02 if self.real else 0.1))
            await self._one(place, quota, rng)

    async def _one(self, place: Place, quota: int, rng: random.Random) -> None:
        before, hurt = self.faults, self.hurt
        cancel_at = rng.randrange(1, self.tokens) if rng.random() < 0.2 else None
        dawdles = rng.random() < 0.1
        self.steps["open"] += 1
        try:
            answer = await Answer.ask(place, self.key, self.prompt, self.tokens)
        except (RefusedError, TimeoutError, *CutError) as error:
            self.steps["refused"] += 1
            self._judge(before, hurt, error)
            await asyncio.sleep(0.1)
            return
        cut: BaseException | None = None
        self.streaming = True
        try:
            more, reads = True, 0
            while more and reads != cancel_at and self.steps.total() < quota:
                if dawdles and rng.random() < 0.2:
                    self.steps["dawdle"] += 1
                    await asyncio.sleep(rng.uniform(0, 0.1))
                self.steps["read"] += 1
                reads += 1
                more = await answer.read()
        except (TimeoutError, *CutError) as error:
            cut = error
        finally:
            self.streaming = False
            answer.close()
        if cut is not None or answer.error:
            self.steps["cut"] += 1
            self._judge(before, hurt, cut or RefusedError(answer.error))
        elif answer.whole:
            self.steps["whole"] += 1
            if before == self.faults and not self.underway:
                self.hurt = False
        else:
            self.steps["cancel"] += 1
        self._compare(answer)

    def _judge(self, before: int, hurt: bool, error: BaseException) -> None:
        """An answer did not come to its end: somebody must have done harm, and the end is typed."""
        if before == self.faults and not hurt:
            self.failures.append(f"{self.name}: {error!r} and nobody did it harm")
        elif isinstance(error, TimeoutError):
            self.failures.append(f"{self.name}: no answer in time")
        elif isinstance(error, RefusedError) and error.code not in TYPED:
            self.failures.append(f"{self.name}: {error.code} is no answer to harm")

    def _compare(self, answer: Answer) -> None:
        text, finish = self.reference
        same = (answer.text, answer.finish) == self.reference
        if not (same if answer.whole else text.startswith(answer.text)):
            self.failures.append(
                f"{self.name}: {answer.text!r} {answer.finish} is not {text!r} {finish}"
            )


class Vandal:
    """Does harm, by a seeded plan.

    Attributes:
        steps: what was done, by kind.
    """

    def __init__(
        self, server: RunningServer, place: Place, herd: list[Tenant], rng: random.Random
    ) -> None:
        self.steps: Counter[str] = Counter()
        self._server = server
        self._place = place
        self._herd = herd
        self._rng = rng
        self._kinds = {
            self.kill: 3, self.stop: 2, self.stop_and_continue: 1, self.attack: 3,
            self.continue_: 8, self.bad_json: 10, self.bad_key: 10, self.no_such_path: 10,
            self.half_a_request: 10, self.no_http: 10, self.no_tls: 10,
        }  # fmt: skip

    async def rage(self, quota: int, *, pause_s: float, gateways: int) -> None:
        """Take `quota` steps; `gateways` of them kill the gateway."""
        at = {quota * (i + 1) // (gateways + 1) for i in range(gateways)}
        for number in range(quota):
            await asyncio.sleep(self._rng.uniform(0, 2 * pause_s))
            victim = self._rng.choice(self._herd)
            if number in at:
                await self.kill_gateway()
                continue
            (deed,) = self._rng.choices(list(self._kinds), list(self._kinds.values()))
            self.steps[deed.__name__] += 1
            await deed(victim)

    async def kill(self, victim: Tenant) -> None:
        await self._signal(victim, signal.SIGKILL)

    async def stop(self, victim: Tenant) -> None:
        await self._signal(victim, signal.SIGSTOP)

    async def stop_and_continue(self, victim: Tenant) -> None:
        await self._signal(victim, signal.SIGSTOP, signal.SIGCONT)

    async def continue_(self, victim: Tenant) -> None:
        """No harm at all: who was not stopped goes on."""
        pid = self._pid_of(victim)
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    async def attack(self, victim: Tenant) -> None:
        """The victim's worker breaks the protocol when its own tenant says the word."""
        name = self._rng.choice(ATTACKS)
        with victim.harm():
            try:
                answer = await Answer.ask(self._place, victim.key, f"ATTACK:{name}", 4)
                with contextlib.closing(answer):
                    while await answer.read():
                        pass
            except (RefusedError, *CutError):
                pass

    async def kill_gateway(self) -> None:
        self.steps["kill_gateway"] += 1
        with contextlib.ExitStack() as stack:
            for tenant in self._herd:
                stack.enter_context(tenant.harm())
            everyone = psutil.Process(self._server.pid).children(recursive=True)
            for process in everyone:
                with contextlib.suppress(psutil.Error):
                    if "corral-gateway" in " ".join(process.cmdline()):
                        process.kill()
                        return

    async def bad_json(self, victim: Tenant) -> None:
        await self._exchange(request(victim.key, b'{"model": [[[['), 400)

    async def bad_key(self, _: Tenant) -> None:
        await self._exchange(request("sk-corral-" + "a" * 43, chat("hi", 4)), 401)

    async def no_such_path(self, victim: Tenant) -> None:
        await self._exchange(request(victim.key, b"{}", "/slots"), 404)

    async def half_a_request(self, victim: Tenant) -> None:
        whole = request(victim.key, chat(victim.prompt, 4))
        await self._exchange(whole[: self._rng.randrange(1, len(whole) - 1)], None)

    async def no_http(self, _: Tenant) -> None:
        await self._exchange(self._rng.randbytes(200) + b"\r\n\r\n", None)

    async def no_tls(self, _: Tenant) -> None:
        with contextlib.suppress(*CutError):
            _, writer = await asyncio.open_connection(self._place.host, self._place.port)
            writer.write(self._rng.randbytes(300))
            writer.transport.abort()

    async def _exchange(self, data: bytes, status: int | None) -> None:
        # While the gateway is being replaced even this may be cut off.
        with contextlib.suppress(TimeoutError, *CutError):
            reader, writer = await self._place.connect()
            try:
                writer.write(data)
                if status is not None:
                    assert (await read_head(reader))[0] == status
            finally:
                writer.transport.abort()

    async def _signal(self, victim: Tenant, *numbers: signal.Signals) -> None:
        # Rather in the middle of an answer than between two.
        victim = next((t for t in self._rng.sample(self._herd, 3) if t.streaming), victim)
        pid = self._pid_of(victim)
        if not pid:
            return
        with victim.harm(), contextlib.suppress(ProcessLookupError):
            for number in numbers:
                os.kill(pid, number)

    def _pid_of(self, victim: Tenant) -> int:
        with (
            contextlib.closing(
                LauncherClient.connect(Home(self._server.home).control_socket)
            ) as client,
            contextlib.suppress(CorralError),
        ):
            return next((w.pid for w in client.workers() if w.tenant == victim.name), 0)
        return 0
