"""Read a policy: TOML, strictly. What is not understood is an error, never left out.

Trust: operator side; pure. Input: the operator's file, trusted but checked, so that a typing error
never weakens anything. docs/policy.md explains the language.

A policy has grants, by which a model earns a trust level, and caps, which hold it down:

    level = the highest of the grants that match, but at most the lowest of the caps that match

No grant matches, or a cap says `refuse`: the model is refused. The order of rules means nothing.
Grants cannot ask for findings, so a finding can only ever lower a level.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, get_args

import msgspec
from msgspec import Meta

from corral.admission.policy.pattern import SourcePattern, parse_pattern
from corral.admission.policy.subject import Evidence, TemplateOutcome
from corral.admission.policy.verdict import Allowance, Tier
from corral.admission.rules import rules
from corral.admission.trust_level import Trust
from corral.core.errors import CorralError

POLICY_BYTES: Final = 256 << 10
LEVELS: Final[tuple[Trust, ...]] = get_args(Trust)
"""Least trusted first."""
TIERS: Final[tuple[Tier, ...]] = get_args(Tier)
"""Weakest first; the empty one is the configuration's own."""

Ceiling = Trust | Literal["refuse"]

_Slug = Annotated[str, Meta(pattern=r"\A[a-z0-9][a-z0-9_-]{0,63}\Z")]
_Line = Annotated[str, Meta(min_length=1, max_length=400, pattern=r"\A[^\x00-\x1f\x7f]+\Z")]
_Digest = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
_Licence = Annotated[str, Meta(pattern=r"\A[a-z0-9][a-z0-9._+-]{0,63}\Z")]
_Architecture = Annotated[str, Meta(pattern=r"\A[a-z0-9][a-z0-9_.-]{0,63}\Z")]
_Count = Annotated[int, Meta(ge=1, le=1 << 62)]
_SOME: Final = Meta(min_length=1, max_length=1000)


class Grant(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A way to earn a level. All conditions that are given must hold; of a list, one entry.

    Attributes:
        rule: id of this rule.
        signers: names in `[trust.signers]`, fingerprints `sha256:…`, or `*` for anybody verified.
        evidence: what was demanded of the bytes.
    """

    rule: _Slug
    level: Trust
    why: _Line
    sources: Annotated[tuple[_Line, ...], _SOME] | None = None
    digests: Annotated[tuple[_Digest, ...], _SOME] | None = None
    evidence: Annotated[tuple[Evidence, ...], _SOME] | None = None
    signers: Annotated[tuple[_Line, ...], _SOME] | None = None
    licences: Annotated[tuple[_Licence, ...], _SOME] | None = None
    architectures: Annotated[tuple[_Architecture, ...], _SOME] | None = None
    templates: Annotated[tuple[TemplateOutcome, ...], _SOME] | None = None
    size_bytes_max: _Count | None = None
    parameters_max: _Count | None = None
    memory_bytes_max: _Count | None = None


class Cap(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A ceiling. All conditions that are given must hold, at least one; of a list, one entry.

    Attributes:
        rule: id of this rule.
        level: the most that is left, or `refuse`.
        severities: of a finding; what the scanner rejects no policy can admit.
        findings: codes (`corral explain`), of the same finding; `*` at the end is anything.
        licences_other_than: also true of a file that names no licence.
    """

    rule: _Slug
    level: Ceiling
    why: _Line
    severities: Annotated[tuple[Literal["info", "flag"], ...], _SOME] | None = None
    findings: Annotated[tuple[_Line, ...], _SOME] | None = None
    sources: Annotated[tuple[_Line, ...], _SOME] | None = None
    sources_other_than: Annotated[tuple[_Line, ...], _SOME] | None = None
    digests: Annotated[tuple[_Digest, ...], _SOME] | None = None
    licences: Annotated[tuple[_Licence, ...], _SOME] | None = None
    licences_other_than: Annotated[tuple[_Licence, ...], _SOME] | None = None
    architectures: Annotated[tuple[_Architecture, ...], _SOME] | None = None
    architectures_other_than: Annotated[tuple[_Architecture, ...], _SOME] | None = None
    templates: Annotated[tuple[TemplateOutcome, ...], _SOME] | None = None
    size_bytes_over: _Count | None = None
    parameters_over: _Count | None = None
    memory_bytes_over: _Count | None = None


class _Levels(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    untrusted: Allowance = Allowance()
    verified: Allowance = Allowance()
    trusted: Allowance = Allowance()


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: Literal[1]
    name: _Slug
    description: _Line
    grant: Annotated[tuple[Grant, ...], Meta(max_length=1000)] = ()
    cap: Annotated[tuple[Cap, ...], Meta(max_length=1000)] = ()
    level: _Levels = _Levels()


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy that was read without an error.

    Attributes:
        sha256: of its text.
        levels: what each level may do.
        patterns: every source pattern of the rules, by its text.
    """

    name: str
    description: str
    sha256: str
    grants: tuple[Grant, ...]
    caps: tuple[Cap, ...]
    levels: Mapping[Trust, Allowance]
    patterns: Mapping[str, SourcePattern]


def parse_policy(text: bytes) -> Policy:
    """Return the policy that a file says.

    Args:
        text: the whole file; its digest names the policy.

    Raises:
        CorralError: codes `policy_syntax`, `policy_unknown_key`, `policy_type`, `policy_value`.
    """
    if len(text) > POLICY_BYTES:
        raise _wrong("policy_syntax", f"it is longer than {POLICY_BYTES} bytes")
    try:
        tables = tomllib.loads(text.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise _wrong("policy_syntax", f"it is not TOML: {error}") from error
    document = _converted(tables)
    found = Policy(
        name=document.name,
        description=document.description,
        sha256=hashlib.sha256(text).hexdigest(),
        grants=document.grant,
        caps=document.cap,
        levels=MappingProxyType({level: getattr(document.level, level) for level in LEVELS}),
        patterns=MappingProxyType(dict(_patterns(document))),
    )
    _check_rules(found)
    _check_tiers(found)
    return found


def _converted(tables: dict[str, Any]) -> _Document:
    try:
        return msgspec.convert(tables, _Document)
    except msgspec.ValidationError as error:
        text = str(error)
        if "unknown field" in text:
            raise _wrong("policy_unknown_key", text) from error
        if re.match(r"Expected `[a-z| ]+`, got `", text):
            raise _wrong("policy_type", text) from error
        raise _wrong("policy_value", text) from error


def _patterns(document: _Document) -> Iterator[tuple[str, SourcePattern]]:
    every: tuple[Grant | Cap, ...] = (*document.grant, *document.cap)
    for rule in every:
        others = rule.sources_other_than if isinstance(rule, Cap) else None
        for text in (*(rule.sources or ()), *(others or ())):
            pattern = parse_pattern(text)
            if pattern is None:
                raise _wrong("policy_value", f"rule {rule.rule}: no pattern of sources: {text}")
            yield text, pattern


def _check_rules(policy: Policy) -> None:
    seen: set[str] = set()
    every: tuple[Grant | Cap, ...] = (*policy.grants, *policy.caps)
    for rule in every:
        if rule.rule in seen:
            raise _wrong("policy_value", f"two rules are called {rule.rule}")
        seen.add(rule.rule)
    if not policy.grants:
        raise _wrong("policy_value", "there is no grant, so no model could ever be admitted")
    for cap in policy.caps:
        if not conditions(cap):
            raise _wrong("policy_value", f"cap {cap.rule} has no condition")
        for code in cap.findings or ():
            # A code that does not exist would be a cap that never holds.
            if not any(matches_code(code, known) for known in rules()):
                raise _wrong("policy_value", f"cap {cap.rule}: no rule of the scanner is {code}")


def _check_tiers(policy: Policy) -> None:
    tiers = [TIERS.index(policy.levels[level].tier) for level in LEVELS]
    if tiers != sorted(tiers, reverse=True):
        raise _wrong("policy_value", "a less trusted level has a weaker tier than a more trusted")


def conditions(rule: Grant | Cap) -> dict[str, Any]:
    """Return the conditions that a rule gives, by name."""
    given = msgspec.structs.asdict(rule)
    return {
        name: value
        for name, value in given.items()
        if value is not None and name not in {"rule", "level", "why"}
    }


def matches_code(pattern: str, code: str) -> bool:
    """Return whether an entry of `findings` is about a code."""
    return code.startswith(pattern[:-1]) if pattern.endswith("*") else code == pattern


def _wrong(code: str, why: str) -> CorralError:
    return CorralError(
        code, f"the policy cannot be used: {why}", remedy="see docs/policy.md for its language"
    )
