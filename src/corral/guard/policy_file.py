"""`sanitation.toml`: an operator's policies, and whose requests go by which.

Trust: gateway [net] and command line; pure. Input: a text of the operator's; the gateway reads it
out of the database, so it is checked there again. Unknown names are errors: a rule that was
mistyped must not leave a tenant with less than the operator meant.

    default = "balanced"            # for whom no rule speaks

    [policies.school]
    base = "strict"                 # strict, balanced, off
    mode = "report"                 # look and tell only; or enforce
    input = { special_token = "refuse" }
    output = {}
    options = {}

    [[rules]]                       # the first that fits
    tenant = "class-7"              # also: key, model, route; what is left out fits everybody
    policy = "school"
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Final, Literal, NamedTuple

import msgspec

from corral.core.errors import CorralError
from corral.guard.finding import Handling
from corral.guard.kinds import KINDS, Direction
from corral.guard.options import BUILT_IN, Base, Options
from corral.guard.policy import BASES, DEFAULT, Mode, SanitationPolicy, built_in, handling_of

DOCUMENT_BYTES_MAX: Final = 256 * 1024
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,47}")
Route = Literal["chat", "completions"]

_Word = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]


class _Rule(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    policy: _Word
    tenant: _Word = ""
    key: _Word = ""
    model: _Word = ""
    route: Route | Literal[""] = ""


class _Policy(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    base: Base
    mode: Mode = "enforce"
    weakening: Annotated[str, msgspec.Meta(max_length=200)] = ""
    input: dict[str, Handling] = {}
    output: dict[str, Handling] = {}
    options: dict[str, object] = {}


class _Document(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    default: _Word = DEFAULT
    policies: Annotated[dict[str, _Policy], msgspec.Meta(max_length=256)] = {}
    rules: Annotated[tuple[_Rule, ...], msgspec.Meta(max_length=4096)] = ()


class Asker(NamedTuple):
    """Whose request it is, in the words of a rule."""

    tenant: str
    key: str
    model: str
    route: Route


@dataclass(frozen=True, slots=True)
class PolicySet:
    """Every policy of an installation.

    Attributes:
        policies: by name; the built-in ones are among them.
        default: for whom no rule speaks.
    """

    policies: Mapping[str, SanitationPolicy]
    default: SanitationPolicy
    _rules: tuple[_Rule, ...] = field(default=(), repr=False)

    def of(self, asker: Asker) -> SanitationPolicy:
        """Return the policy of a request: that of the first rule that fits."""
        for rule in self._rules:
            if all(not said or said == is_ for said, is_ in zip(_said(rule), asker, strict=True)):
                return self.policies[rule.policy]
        return self.default

    @property
    def used(self) -> tuple[SanitationPolicy, ...]:
        """Return the policies that some request can go by, each once, in the file's order."""
        names = dict.fromkeys((*(one.policy for one in self._rules), self.default.name))
        return tuple(self.policies[name] for name in names)

    @property
    def rules(self) -> tuple[tuple[str, ...], ...]:
        """Return (tenant, key, model, route, policy) of each rule."""
        return tuple((*_said(one), one.policy) for one in self._rules)


def parse_policy_set(text: str) -> PolicySet:
    """Return what a document says; an empty one says the defaults.

    Raises:
        CorralError: code `sanitation_invalid`.
    """
    if len(text.encode("utf-8", "surrogatepass")) > DOCUMENT_BYTES_MAX:
        raise _invalid(f"it is longer than {DOCUMENT_BYTES_MAX} bytes")
    try:
        document = msgspec.convert(tomllib.loads(text), _Document)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, RecursionError) as error:
        raise _invalid(str(error)) from error
    found: dict[str, SanitationPolicy] = {base: built_in(base) for base in BASES if base != "off"}
    for name, one in document.policies.items():
        if not _NAME.fullmatch(name) or name in BASES:
            raise _invalid(f"'{name}' is no name for a policy of your own")
        found[name] = _policy(name, one)
    for where, name in (
        ("default", document.default), *(("a rule", one.policy) for one in document.rules)
    ):  # fmt: skip
        if name == "off":
            raise _invalid(
                f"{where} names 'off': make a policy of your own with base = \"off\" and say in "
                "'weakening' why"
            )
        if name not in found:
            raise _invalid(f"{where} names the policy '{name}', which is not there")
    return PolicySet(MappingProxyType(found), found[document.default], document.rules)


def _policy(name: str, table: _Policy) -> SanitationPolicy:
    handling = {kind: handling_of(one, table.base) for kind, one in KINDS.items()}
    handling |= _choices(name, "input", table.input) | _choices(name, "output", table.output)
    if table.base == "off" and not table.weakening.strip():
        raise _invalid(f"the policy '{name}' is off: say in 'weakening' why")
    options = msgspec.structs.asdict(BUILT_IN[table.base]) | table.options
    try:
        checked = msgspec.convert(options, Options)
    except msgspec.ValidationError as error:
        raise _invalid(f"the policy '{name}', options: {error}") from error
    return SanitationPolicy(
        name=name,
        base=table.base,
        mode=table.mode,
        handling=MappingProxyType(handling),
        options=checked,
        weakening=table.weakening.strip(),
    )


def _choices(name: str, direction: Direction, said: dict[str, Handling]) -> dict[str, Handling]:
    for kind, handling in said.items():
        known = KINDS.get(kind)
        if known is None or known.direction != direction:
            raise _invalid(f"the policy '{name}': there is no {direction} finding '{kind}'")
        if handling not in known.choices:
            may = ", ".join(known.choices)
            raise _invalid(f"the policy '{name}': {kind} can be {may}; not {handling}")
    return said


def _said(rule: _Rule) -> tuple[str, str, str, str]:
    return rule.tenant, rule.key, rule.model, rule.route


def _invalid(why: str) -> CorralError:
    return CorralError(
        "sanitation_invalid", f"the sanitation policies cannot be used: {why}",
        remedy="see docs/sanitation.md; corral sanitation check FILE",
    )  # fmt: skip
