"""Stage 5: which sanitation policy a request goes by, and what it made of the request.

Trust: gateway [net]. Input: the operator's document out of the database, hostile texts. The
document is in memory and read again when the database changes, so that `corral sanitation set` acts
at the next request. What cannot be read or does not parse refuses every request: no policy is not
an empty policy.
"""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from corral.core.errors import CorralError
from corral.gateway.detection import detect
from corral.gateway.detector import Detector
from corral.gateway.errors import (
    DETECTOR_UNAVAILABLE,
    GUARD_MODEL_UNAVAILABLE,
    MEDIA_UNAVAILABLE,
    SANITATION_UNAVAILABLE,
    ApiError,
    rejected,
)
from corral.gateway.exchange import Exchange
from corral.gateway.guard_model import GuardModels
from corral.gateway.lookup_pool import LookupPool
from corral.gateway.media import Launcher, MediaDecoder
from corral.gateway.sanitation_table import read_document
from corral.gateway.stages import Leased, Sanitised
from corral.guard.input_chain import Cleaned, InputChain, input_chain
from corral.guard.output_chain import output_rules
from corral.guard.policy import DEFAULT, SanitationPolicy, built_in
from corral.guard.policy_file import Asker, PolicySet, parse_policy_set
from corral.guard.special_tokens import ControlTokens, control_tokens
from corral.state.change import ChangeWatch
from corral.telemetry.log import get_logger
from corral.telemetry.metrics import Metrics
from corral.tenancy.permissions import Permission
from corral.tenancy.principal import Principal

_log: Final = get_logger("gateway.sanitation")
_CHAINS_MAX: Final = 256
_BESIDE_CHARACTERS: Final = 32 * 1024
"""Texts of more are looked at beside the event loop; a thread costs more than shorter ones."""


class Sanitation:
    """Every policy of one installation, ready to be used. For one event loop.

    Args:
        database: where the operator's document is.
        launcher: starts jails of media.

    Attributes:
        beside: threads for long texts; a tenant has one at a time.
        detector: what policies have texts looked at by.
        guard_models: and the models that they may name for that.
        media: what makes images and sounds anew.
    """

    def __init__(
        self, database: Path, detector: Detector, guard_models: GuardModels, launcher: Launcher
    ) -> None:
        self.beside = LookupPool()
        self.media = MediaDecoder(launcher, self.beside)
        self.detector = detector
        self.guard_models = guard_models
        self._database = database
        self._watch = ChangeWatch(database)
        self._stale = True
        self._document: str | None = None
        self._policies: PolicySet = parse_policy_set("")
        self._chains: dict[tuple[str, ControlTokens], InputChain] = {}

    def chain(self, asker: Asker, texts: tuple[str, ...]) -> InputChain:
        """Return what the texts of a request go through.

        Args:
            asker: whose request it is.
            texts: control tokens of its model.

        Raises:
            CorralError, sqlite3.Error, OSError: the policies cannot be read.
        """
        self._refresh()
        policy = self._policies.of(asker)
        tokens = control_tokens(texts)
        chain = self._chains.get((policy.name, tokens))
        if chain is None:
            if len(self._chains) >= _CHAINS_MAX:
                self._chains.clear()
            chain = self._chains[policy.name, tokens] = input_chain(policy, tokens)
        return chain

    def warm(self) -> None:
        """Load what the first request would wait for; may run beside the loop."""
        policy, tokens = built_in(DEFAULT), control_tokens(())
        input_chain(policy, tokens)
        output_rules(policy, tokens)

    def close(self) -> None:
        """Close the database, and wait for no thread."""
        self.beside.close()
        self._watch.close()

    def _refresh(self) -> None:
        if not self._watch.changed() and not self._stale:
            return
        self._stale = True  # until it has been read: a change is reported once
        document = read_document(self._database)
        if document != self._document:
            self._policies = parse_policy_set(document)
            self._document = document
            self._chains.clear()
            for policy in self._policies.used:
                if policy.weakening:
                    _log.warning("sanitation_weakened", policy=policy.name)
        self._stale = False


async def sanitise(
    exchange: Exchange, leased: Leased, sanitation: Sanitation, metrics: Metrics
) -> Sanitised | ApiError:
    """Take a request through its policy; what was seen is counted, and told to who may know."""
    principal = leased.authorised.authenticated.principal
    receipt = leased.authorised.entry.receipt
    try:
        chain = sanitation.chain(leased.asker(), receipt.control_tokens)
    except (CorralError, sqlite3.Error, OSError):
        return SANITATION_UNAVAILABLE
    began_s = time.perf_counter()
    characters = sum(len(part.text) for part in leased.ask.parts())
    if characters > _BESIDE_CHARACTERS:
        sanitised, cleaned = await sanitation.beside.run(
            principal.tenant, lambda: leased.sanitise(chain)
        )
    else:
        sanitised, cleaned = leased.sanitise(chain)
    if isinstance(sanitised, Sanitised) and leased.ask.uploads:
        taken = await _media(leased, sanitation.media, chain.policy, cleaned)
        if taken is None:
            return MEDIA_UNAVAILABLE
        fresh, cleaned = taken
        refused = cleaned.refused
        sanitised = rejected(refused) if refused else sanitised.with_media(fresh)
    if isinstance(sanitised, Sanitised):
        parts = tuple(leased.ask.parts())
        tenant, policy = principal.tenant, chain.policy
        looked = await detect(sanitation.detector, tenant, policy, parts, cleaned)
        if looked is None:
            return DETECTOR_UNAVAILABLE
        looked = await sanitation.guard_models.look(leased, policy, parts, looked)
        if looked is None:
            return GUARD_MODEL_UNAVAILABLE
        cleaned = looked
        if cleaned.refused is not None:
            sanitised = rejected(cleaned.refused)
    metrics.sanitation.add(time.perf_counter() - began_s)
    mode = chain.policy.mode
    for one in cleaned.seen:
        metrics.findings.add(one.finding.kind, str(one.handling), mode)
    if may_see(principal):
        exchange.told += verdict_headers(chain.policy, cleaned)
    return sanitised


async def _media(
    leased: Leased, decoder: MediaDecoder, policy: SanitationPolicy, cleaned: Cleaned
) -> tuple[tuple[bytes, ...], Cleaned] | None:
    """Return a request's images and sounds made anew, and what is known of it then."""
    began_s = time.perf_counter()
    tenant = leased.authorised.authenticated.principal.tenant
    taken = await decoder.take(tenant, policy, leased.ask.uploads)
    if taken is None:
        return None
    spent_s = {**cleaned.spent_s, "media": time.perf_counter() - began_s}
    seen = (*cleaned.seen, *taken.seen)
    return taken.fresh, replace(cleaned, seen=seen, refused=taken.refused, spent_s=spent_s)


def may_see(principal: Principal) -> bool:
    """Return whether a credential may know what the sanitation saw in its requests."""
    return principal.may(Permission.SANITATION_READ)


def verdict_headers(policy: SanitationPolicy, cleaned: Cleaned) -> tuple[tuple[bytes, bytes], ...]:
    """Return what a request's policy made of it, as lists of RFC 9651 (structured fields)."""
    spent = ", ".join(f"{name};ms={1000 * s:.3f}" for name, s in cleaned.spent_s.items())
    counts = Counter((one.finding.kind, str(one.handling)) for one in cleaned.seen)
    headers = [
        (b"x-corral-sanitation", f"{policy.name};mode={policy.mode}".encode()),
        (b"x-corral-sanitation-stages", spent.encode()),
    ]
    if counts:
        headers.append((b"x-corral-sanitation-findings", findings_field(counts)))
    return tuple(headers)


def findings_field(counts: Mapping[tuple[str, str], int]) -> bytes:
    """Return findings as a list of RFC 9651, by their kind and handling."""
    return ", ".join(
        f"{kind};handling={handling};count={count}" for (kind, handling), count in counts.items()
    ).encode()
