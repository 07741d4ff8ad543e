"""The stages of a request as types: what a request has passed is what its value can prove.

Trust: gateway [net]. Input: hostile requests. Each type can be made only by the stage before it
(the constructors are sealed), so no stage can be skipped or swapped. A stage that refuses returns
an `ApiError`; what it cannot decide it refuses.

    Parsed → Authenticated → Authorised → Leased → Sanitised → Routed
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field, replace
from typing import Final, final

import msgspec

from corral.admission.catalog import Catalog, CatalogEntry
from corral.admission.demand import context_tokens
from corral.core.config import Config
from corral.core.errors import CorralError
from corral.core.ids import TenantName
from corral.engine.allowance import allowed_config, quota_config, tier_is_given
from corral.engine.router import Router
from corral.engine.unavailable import Unavailable
from corral.engine.wire import fits_line
from corral.engine.worker_link import Stream
from corral.gateway.ask import Ask
from corral.gateway.dialect import Dialect
from corral.gateway.errors import (
    CATALOG_UNAVAILABLE,
    LEDGER_UNHEALTHY,
    OVER_CEILING,
    PERMISSION_DENIED,
    TIER_NOT_GIVEN,
    UNAUTHENTICATED,
    ApiError,
    answer_too_long,
    bad_request,
    media_not_supported,
    model_not_found,
    over_limit,
    rejected,
    too_long,
    unavailable,
)
from corral.gateway.worker_choice import find_worker
from corral.guard.canary import new_canary
from corral.guard.finding import Handling, Part
from corral.guard.input_chain import Cleaned, InputChain, Seen
from corral.guard.output_chain import Asked, OutputRules, output_rules
from corral.guard.policy import SanitationPolicy
from corral.guard.policy_file import Asker
from corral.guard.spotlight import spotlit
from corral.guard.text import TextStage
from corral.guard.tool_policy import denied_tools
from corral.tenancy.certificate import Credential
from corral.tenancy.fair_queue import Entry, FairQueue
from corral.tenancy.keyring import Keyring
from corral.tenancy.ledger import Ledger
from corral.tenancy.limits import Lease, Refusal, TenantLimits
from corral.tenancy.permissions import Permission
from corral.tenancy.principal import Principal
from corral.tenancy.quota import Quota

_SEAL: Final = object()
_TEXT: Final = TextStage()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sealed:
    seal: object = field(repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.seal is not _SEAL:
            raise TypeError(f"{type(self).__name__} is made by the stage before it")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed(_Sealed):
    """Stage 1. The body is of the schema; who sent it is unknown."""

    ask: Ask
    dialect: Dialect

    def authenticate(self, credential: Credential, keyring: Keyring) -> Authenticated | ApiError:
        """Stage 2: token and certificate are of one tenant that lives."""
        principal = keyring.identify(credential)
        if principal is None:
            return UNAUTHENTICATED
        return Authenticated(seal=_SEAL, parsed=self, principal=principal)


def parse(body: bytes, dialect: Dialect, config: Config) -> Parsed | ApiError:
    """Stage 1: the body is of the dialect's schema, within the server's ceilings and one line."""
    ask = dialect.parse(body, max_tokens=config.limits.max_tokens)
    if isinstance(ask, ApiError):
        return ask
    if not fits_line(ask.sampling, ask.messages, ask.prompt, body_bytes=len(body)):
        return too_long(ask.text_param)
    return Parsed(seal=_SEAL, ask=ask, dialect=dialect)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Authenticated(_Sealed):
    """Stage 2. We know whose request it is."""

    parsed: Parsed
    principal: Principal

    def authorise(self, catalog: Catalog, config: Config) -> Authorised | ApiError:
        """Stage 3: the credential may ask models, its tenant this one, and the policy agrees.

        Unknown and forbidden look the same. What the policy allows is in the signed receipt.
        """
        if not self.principal.may(Permission.COMPLETION_CREATE):
            return PERMISSION_DENIED
        entry = find_usable(self.principal, self.parsed.ask.model, catalog)
        if isinstance(entry, ApiError):
            return entry
        allowance = entry.receipt.decision.allowance
        if not tier_is_given(config, entry.trust, allowance):
            return TIER_NOT_GIVEN
        if self.parsed.dialect.needs_template and not entry.receipt.has_chat_template:
            return bad_request(
                "no_chat_template", "this model has no chat template; use /v1/completions", "model"
            )
        for upload in self.parsed.ask.uploads:
            if upload.modality not in entry.receipt.modalities:
                return media_not_supported(upload.modality, upload.param)
        ask = _within(self.parsed.ask, allowed_config(config, allowance).limits.max_tokens)
        if isinstance(ask, ApiError):
            return ask
        bounded = replace(self, parsed=replace(self.parsed, ask=ask))
        return Authorised(seal=_SEAL, authenticated=bounded, entry=entry)


def find_usable(principal: Principal, name: str, catalog: Catalog) -> CatalogEntry | ApiError:
    """Return a model that a tenant may use, or the one refusal of all others.

    Of a model that was not granted nothing is looked up: whether another tenant has it or nobody
    does, the same is done and said.
    """
    if not principal.may_use(name):
        return model_not_found(name)
    try:
        entry = catalog.lookup(name)
    except (CorralError, sqlite3.Error, OSError):
        return CATALOG_UNAVAILABLE
    if entry is None or not usable(principal, entry):
        return model_not_found(name)
    return entry


def usable(principal: Principal, entry: CatalogEntry) -> bool:
    """Return whether a tenant may use an admitted model: by its grants and by the policy."""
    allowance = entry.receipt.decision.allowance
    return principal.may_use(entry.name) and allowance.admits_tenant(principal.tenant)


def _within(ask: Ask, most: int) -> Ask | ApiError:
    """Return the ask with an answer of at most so many tokens, or the refusal of a longer one."""
    if ask.sampling.max_tokens <= most:
        return ask
    if ask.asked_as:
        return answer_too_long(ask.asked_as, ask.sampling.max_tokens, most)
    return replace(ask, sampling=msgspec.structs.replace(ask.sampling, max_tokens=most))


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Authorised(_Sealed):
    """Stage 3. This tenant may use this model."""

    authenticated: Authenticated
    entry: CatalogEntry

    async def lease(
        self, limits: TenantLimits, fair: FairQueue, ledger: Ledger, config: Config, *, batch: bool
    ) -> Leased | ApiError:
        """Stage 4: within every limit of tenant, key and model, and in its turn.

        It may wait in the tenant's own queue, then among all tenants'; `batch` lets others pass.

        What is reserved is the whole context of a request. Whatever the vocabulary makes of a text
        and the template of a conversation, a prompt is refused by the engine where it is longer,
        and an answer ends there (there is no context shift): nothing less is never too little.
        """
        if not ledger.healthy:
            return LEDGER_UNHEALTHY
        principal, model = self.authenticated.principal, self.entry.name
        try:
            quota = limits.quota(principal.tenant, model)
            config = allowed_config(config, self.entry.receipt.decision.allowance)
            config = quota_config(config, quota)
            lease = await limits.acquire(
                principal.tenant,
                key_id=principal.key_id,
                model=model,
                tokens=context_tokens(self.entry.receipt, config.engine),
            )
        except (CorralError, sqlite3.Error, OSError):
            return LEDGER_UNHEALTHY
        if isinstance(lease, Refusal):
            return over_limit(_with_wait(lease, fair, principal.tenant))
        try:
            lease.turn = await fair.enter(self._entry(quota, config, batch=batch))
        except BaseException:
            lease.settle(0, 0)
            lease.release()
            raise
        return Leased(seal=_SEAL, authorised=self, lease=lease, quota=quota, config=config)

    def _entry(self, quota: Quota, config: Config, *, batch: bool) -> Entry:
        tenant = self.authenticated.principal.tenant
        parts = self.authenticated.parsed.ask.parts()
        return Entry(
            tenant=tenant,
            lane=f"{tenant}/{self.entry.identity}",
            lane_places=config.engine.parallel,
            weight=quota.weight or 1,
            batch=batch,
            prompt_tokens=-(-sum(len(part.text) for part in parts) // 4),
        )


def _with_wait(refusal: Refusal, fair: FairQueue, tenant: TenantName) -> Refusal:
    """Return the refusal; that of a full queue with the place after its end, and the wait there."""
    if refusal.code != "queue_full":
        return refusal
    position = refusal.waiting + fair.position(tenant)
    wait_s = max(refusal.retry_after_s, -int(-fair.wait_s(position) // 1))
    told = (
        (b"x-corral-queue-position", b"%d" % (position + 1)),
        (b"x-corral-queue-wait", b"%ds" % wait_s),
    )
    return replace(refusal, retry_after_s=wait_s, headers=refusal.headers + told)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Leased(_Sealed):
    """Stage 4. The request has its place; whoever holds this must release the lease.

    Attributes:
        quota: limits of the tenant.
        config: what it, and the policy of the model, leave of the server's.
    """

    authorised: Authorised
    lease: Lease
    quota: Quota
    config: Config

    @property
    def ask(self) -> Ask:
        """What is asked."""
        return self.authorised.authenticated.parsed.ask

    def asker(self) -> Asker:
        """Whose request it is, for the choice of a sanitation policy."""
        authenticated = self.authorised.authenticated
        principal = authenticated.principal
        return Asker(
            principal.tenant,
            principal.key_prefix,
            self.authorised.entry.name,
            authenticated.parsed.dialect.route,
        )

    def sanitise(self, chain: InputChain) -> tuple[Sanitised | ApiError, Cleaned]:
        """Stage 5: every text is as its policy wants it, and forges no control token.

        Args:
            chain: of this request's policy and model.
        """
        ask = self.ask
        came = tuple(ask.parts())
        cleaned = chain.run(came)
        denied = denied_tools(ask.tools, chain.policy)
        if denied.seen:
            refused = cleaned.refused or denied.refused
            cleaned = replace(cleaned, seen=(*cleaned.seen, *denied.seen), refused=refused)
        if cleaned.refused is not None:
            return rejected(cleaned.refused), cleaned
        for stop in ask.sampling.stop:
            (found,) = _TEXT.look(Part("stop", stop, "user")).findings or (None,)
            if found is not None:
                return rejected(Seen("stop", found, Handling.REFUSE)), cleaned
        policy = chain.policy
        way = policy.options.spotlight if policy.mode == "enforce" else "none"
        texts = spotlit(came, cleaned.texts, way)
        if any(new is not old.text for new, old in zip(texts, came, strict=True)):
            ask = ask.saying(texts)
            if not fits_line(ask.sampling, ask.messages, ask.prompt):
                return too_long(ask.text_param), cleaned
        # Two parts that are harmless can make a control token where they meet.
        whole = chain.walls(tuple(ask.joined()))
        if whole is not None:
            return rejected(whole), cleaned
        asked = _asked(ask, cleaned, policy)
        ask = ask.without_tools(denied.names)
        sent = ask.as_read()
        sent = sent.with_canary(asked.canary) if asked.canary else sent
        if sent is not ask and not fits_line(sent.sampling, sent.messages, sent.prompt):
            return too_long(ask.text_param), cleaned
        done = Sanitised(seal=_SEAL, leased=self, ask=ask, sent=sent, chain=chain, asked=asked)
        return done, cleaned


def _asked(ask: Ask, cleaned: Cleaned, policy: SanitationPolicy) -> Asked:
    """Return what the answer to a request must not tell, and what comes back in it."""
    prompts = tuple(part.text for part in ask.parts() if part.origin == "system")
    canary = ""
    if prompts and policy.options.canary and policy.mode == "enforce":
        canary = new_canary()
    return Asked(
        chat=ask.messages is not None, canary=canary, prompts=prompts, restored=cleaned.restored,
        is_json=ask.schema is not None,
    )  # fmt: skip


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Sanitised(_Sealed):
    """Stage 5. The text may be given to the model.

    Attributes:
        ask: with the texts as the model may read them.
        sent: the same as the model reads it: with its tools, and with its canary, where the policy
            wants one.
        chain: what they went through.
        asked: what the answer must not tell of them, and what comes back in it.
    """

    leased: Leased
    ask: Ask
    sent: Ask
    chain: InputChain
    asked: Asked

    @property
    def way_out(self) -> OutputRules:
        """What the answer goes through."""
        return output_rules(self.chain.policy, self.chain.tokens)

    def with_media(self, fresh: tuple[bytes, ...]) -> Sanitised:
        """Return the same with images and sounds made anew in place of those that came."""
        return replace(
            self,
            ask=replace(self.ask, uploads=(), media=fresh),
            sent=replace(self.sent, uploads=(), media=fresh),
        )

    async def route(self, router: Router) -> Routed | ApiError:
        """Stage 6: sent to the worker of this tenant, model and options."""
        leased, ask = self.leased, self.ask
        tenant = leased.authorised.authenticated.principal.tenant
        worker = find_worker(router, tenant, leased.authorised.entry, leased.quota, leased.config)
        if worker is None:
            return OVER_CEILING
        turn = self.leased.lease.turn
        if turn is not None:
            turn.lend_while(lambda: worker.held_up)
        sent = self.sent
        stream = await worker.open(sent.sampling, sent.messages, sent.prompt, sent.media)
        if isinstance(stream, Unavailable):
            return unavailable(stream)
        return Routed(seal=_SEAL, sanitised=self, ask=ask, stream=stream)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Routed(_Sealed):
    """Stage 6. The answer is on its way; stages 7 and 8 are in `gateway.answer`."""

    sanitised: Sanitised
    ask: Ask
    stream: Stream
