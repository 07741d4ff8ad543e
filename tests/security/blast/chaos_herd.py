"""Who takes part in the chaos: tenants that stream and compare, and somebody who does harm."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import psutil

from corral.control.client import LauncherClient
from corral.core.errors import CorralError
from corral.core.home import Home
from tests.security.blast.chaos_client import (
    Answer,
    CutError,
    Line,
    Place,
    RefusedError,
    chat,
    read_head,
    request,
)
from tests.support.server import RunningServer

TYPED = {"worker_failed", "worker_timeout", "worker_restarting"}
"""What a request may be told that a fault of its own tenant's worker met."""
ATTACKS = ("garbage", "wrong_ids", "after_end", "huge_usage", "leave", "half_line", "eat_memory")
"""Not `foreign_end`: it may meet the other stream of the same tenant, and a hostile worker can
always give its own tenant a false answer. Nobody claims otherwise."""
CANCELLED, DAWDLING = 0.1, 0.05
"""Of all requests: the client leaves in the middle of the answer, or reads it slowly."""
Outcome = tuple[str, str]
"""Text and finish reason of an answer."""


@dataclass
class Tenant:
    """One tenant: a few prompts, each with the answers that it may get, two streams at a time.

    Attributes:
        references: by prompt, what isolated runs answered.
        faults: how often harm was done to its worker, or to the gateway.
        underway: harm that is being done now.
        streaming: answers that are under way.
        hurt: harm was done and no whole answer has come since.
        requests: by how each one ended.
        reads: chunks of answers.
        failures: what must not happen; should stay empty.
    """

    name: str
    key: str
    prompts: tuple[str, ...]
    tokens: int
    references: dict[str, set[Outcome]] = field(default_factory=dict)
    faults: int = 0
    underway: int = 0
    streaming: int = 0
    hurt: bool = False
    requests: Counter[str] = field(default_factory=Counter)
    reads: int = 0
    failures: list[str] = field(default_factory=list)

    @property
    def real(self) -> bool:
        return self.name.startswith("real-")

    @property
    def taken(self) -> int:
        """Requests that were answered, if only in part; a refusal after harm is none."""
        return self.requests.total() - self.requests["refused"]

    @contextlib.contextmanager
    def harm(self) -> Iterator[None]:
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
        """Ask until `quota` requests of the tenant were taken; compare each answer's bytes."""
        line: Line | None = None
        while self.taken < quota:
            await asyncio.sleep(rng.uniform(0, 0.02))
            ended, line = await self._ask(place, rng, line)
            self.requests[ended] += 1
        if line:
            line[1].transport.abort()

    async def _ask(
        self, place: Place, rng: random.Random, line: Line | None
    ) -> tuple[str, Line | None]:
        """Open, read, dawdle, perhaps cancel; return how it ended, and what is left open."""
        before, hurt = self.faults, self.hurt
        prompt = rng.choice(self.prompts)
        cancel_at = rng.randrange(1, self.tokens) if rng.random() < CANCELLED else None
        dawdles = rng.random() < DAWDLING
        try:
            answer = await Answer.ask(place, self.key, prompt, self.tokens, line)
        except (RefusedError, TimeoutError, *CutError) as error:
            self._judge(before, hurt, error)
            await asyncio.sleep(0.2)
            return "refused", None
        cut: BaseException | None = None
        self.streaming += 1
        try:
            more, reads = True, 0
            while more and reads != cancel_at:
                if dawdles and rng.random() < 0.2:
                    await asyncio.sleep(rng.uniform(0, 0.1))
                reads += 1
                more = await answer.read()
        except (TimeoutError, *CutError) as error:
            cut = error
        finally:
            self.streaming -= 1
            self.reads += reads
            if not answer.whole:
                answer.close()
        self._compare(prompt, answer)
        if cut is not None or answer.error:
            self._judge(before, hurt, cut or RefusedError(answer.error))
            return "cut", None
        if not answer.whole:
            return "cancelled", None
        if before == self.faults and not self.underway:
            self.hurt = False
        return "whole", await answer.leave()

    def _judge(self, before: int, hurt: bool, error: BaseException) -> None:
        """An answer did not come to its end: somebody must have done harm, and the end is typed."""
        if before == self.faults and not hurt:
            self.failures.append(f"{self.name}: {error!r} and nobody did it harm")
        elif isinstance(error, TimeoutError):
            self.failures.append(f"{self.name}: no answer in time")
        elif isinstance(error, RefusedError) and error.code not in TYPED:
            self.failures.append(f"{self.name}: {error.code} is no answer to harm")

    def _compare(self, prompt: str, answer: Answer) -> None:
        allowed = self.references[prompt]
        same = (answer.text, answer.finish) in allowed
        if not (same if answer.whole else any(t.startswith(answer.text) for t, _ in allowed)):
            self.failures.append(
                f"{self.name}: {answer.text!r} {answer.finish} to {prompt!r}, not of {allowed}"
            )


class Vandal:
    """Does harm, by a seeded plan, and talks nonsense in between.

    Attributes:
        harms: what struck a live worker or the gateway, by kind.
        nonsense: what strangers and tenants sent that harms nobody, by kind.
    """

    def __init__(
        self, server: RunningServer, place: Place, herd: list[Tenant], rng: random.Random
    ) -> None:
        self.harms: Counter[str] = Counter()
        self.nonsense: Counter[str] = Counter()
        self._server = server
        self._place = place
        self._herd = herd
        self._rng = rng
        self._harmful = {self.kill: 4, self.stop: 3, self.stop_and_continue: 1, self.attack: 8}
        self._harmless = (
            self.continue_, self.bad_json, self.bad_key, self.no_such_path, self.half_a_request,
            self.no_http, self.no_tls,
        )  # fmt: skip

    async def rage(self, quota: int, *, pause_s: float, gateways: int) -> None:
        """Do harm `quota` times; `gateways` of them to the gateway, which meets everybody."""
        at = {quota * (i + 1) // (gateways + 1): i for i in range(gateways)}
        while (done := self.harms.total()) < quota:
            await asyncio.sleep(self._rng.uniform(0, 2 * pause_s))
            if done in at:
                number = (signal.SIGKILL, signal.SIGSTOP)[at[done] % 2]
                await self.end_gateway(number)
                continue
            deed = self._rng.choice(self._harmless)
            self.nonsense[deed.__name__] += 1
            await deed(self._victim())
            (harm,) = self._rng.choices(list(self._harmful), list(self._harmful.values()))
            kind = await harm(self._victim())
            if kind:
                self.harms[kind] += 1

    async def kill(self, victim: Tenant) -> str:
        return "kill" if self._signal(victim, signal.SIGKILL) else ""

    async def stop(self, victim: Tenant) -> str:
        return "stop" if self._signal(victim, signal.SIGSTOP) else ""

    async def stop_and_continue(self, victim: Tenant) -> str:
        with victim.harm():
            if not self._signal(victim, signal.SIGSTOP, signal.SIGCONT):
                return ""
            self._await_verdict(victim)
        return "stop and continue"

    async def continue_(self, victim: Tenant) -> None:
        """No harm at all: who was not stopped goes on.

        Who was stopped a moment ago may answer once more and be killed all the same: that is the
        harm of before, which must not be taken for over.
        """
        with victim.harm() if victim.hurt else contextlib.nullcontext():
            pid = self._pid_of(victim)
            if pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
                self._await_verdict(victim)

    async def attack(self, victim: Tenant) -> str:
        """The victim's worker breaks the protocol when its own tenant says the word."""
        name = self._rng.choice(ATTACKS)
        with victim.harm():
            try:
                answer = await Answer.ask(self._place, victim.key, f"ATTACK:{name}", 4)
                with contextlib.closing(answer):
                    while await answer.read():
                        pass
            except RefusedError as error:
                if error.code == "worker_restarting":
                    return ""  # it struck nobody
            except CutError:
                pass
        return name

    async def end_gateway(self, number: signal.Signals) -> None:
        with contextlib.ExitStack() as stack:
            for tenant in self._herd:
                stack.enter_context(tenant.harm())
            everyone = psutil.Process(self._server.pid).children(recursive=True)
            for process in everyone:
                with contextlib.suppress(psutil.Error):
                    if "corral-gateway" in " ".join(process.cmdline()):
                        process.send_signal(number)
                        self.harms[f"gateway {number.name}"] += 1
                        return

    async def bad_json(self, victim: Tenant) -> None:
        await self._exchange(request(victim.key, b'{"model": [[[['), 400)

    async def bad_key(self, _: Tenant) -> None:
        await self._exchange(request("sk-corral-" + "a" * 43, chat("hi", 4)), 401)

    async def no_such_path(self, victim: Tenant) -> None:
        await self._exchange(request(victim.key, b"{}", "/slots"), 404)

    async def half_a_request(self, victim: Tenant) -> None:
        whole = request(victim.key, chat(victim.prompts[0], 4))
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

    def _victim(self) -> Tenant:
        """Rather one in the middle of an answer, and none that has not recovered yet."""
        some = self._rng.sample(self._herd, 4)
        return min(some, key=lambda t: (t.hurt, not t.streaming))

    def _signal(self, victim: Tenant, *numbers: signal.Signals) -> bool:
        pid = self._pid_of(victim)
        if not pid:
            return False
        with victim.harm(), contextlib.suppress(ProcessLookupError):
            for number in numbers:
                os.kill(pid, number)
            return True
        return False

    def _await_verdict(self, victim: Tenant) -> None:
        """Wait until a worker that was continued is killed for its stop, or will not be.

        The launcher sees no stop that is over, kills where it saw one before it does anything else,
        and has only one thread: once it has answered a question, it is decided.
        """
        self._pid_of(victim)

    def _pid_of(self, victim: Tenant) -> int:
        with (
            contextlib.closing(
                LauncherClient.connect(Home(self._server.home).control_socket)
            ) as client,
            contextlib.suppress(CorralError),
        ):
            return next((w.pid for w in client.workers() if w.tenant == victim.name), 0)
        return 0
