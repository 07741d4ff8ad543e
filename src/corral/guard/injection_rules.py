"""Rules for prompt injection: a few sentences that only attacks say, looked for in every scan view.

Trust: gateway [net] and command line; pure after its import. Input: untrusted text. The engine is
RE2: its time is linear in the text whatever the text is, and its memory is bounded.

They find what is said in known words. They are no proof of innocence, and never the only wall.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import re2

from corral.guard.finding import NOTHING, STRANGERS, Finding, Handling, Part, Verdict
from corral.guard.views import View, views

_MEMORY_BYTES: Final = 64 << 20
# Bytes of UTF-8 rather than Unicode's categories, which would make the automaton a hundred times
# larger: all above ASCII may be part of a word, and what of it is punctuation parts words too.
_APART: Final = r"(?:[^a-z0-9\x80-\x{10ffff}]|[\x{a0}-\x{bf}\x{2010}-\x{2030}\x{3000}-\x{303f}])+"
_WORD: Final = rf"[a-z0-9_'\x80-\x{{10ffff}}]+{_APART}"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of the table.

    Attributes:
        name: stable; the note of its findings.
        why: what such a text wants, for people.
        pattern: as RE2 reads it.
    """

    name: str
    why: str
    pattern: str


@dataclass(frozen=True, slots=True)
class Hit:
    """A rule that a view of a text matches."""

    rule: str
    view: View


def read_rules(document: str) -> tuple[Rule, ...]:
    """Return the rules of a table; docs/sanitation.md says how one is written.

    Raises:
        ValueError: the document or a pattern is broken, or a name is there twice.
    """
    rules = tuple(
        Rule(row["id"], row["why"], expanded(row["pattern"]))
        for row in tomllib.loads(document)["rule"]
    )
    if len({rule.name for rule in rules}) < len(rules):
        raise ValueError("two rules have one name")
    return rules


def expanded(pattern: str) -> str:
    """Return a pattern with the two short signs of the table written out."""
    pattern = re.sub(r"~([0-9]+)", lambda n: f"(?:{_WORD}){{0,{n[1]}}}", pattern)
    pattern = pattern.replace(" ?", f"(?:{_APART})?")
    return pattern.replace(" ", _APART)


RULES: Final = read_rules(Path(__file__).with_name("rules.toml").read_text(encoding="utf-8"))


class RuleSet:
    """Rules compiled into one automaton.

    Raises:
        ValueError: RE2 does not take a pattern.
    """

    def __init__(self, rules: Iterable[Rule] = RULES) -> None:
        options = re2.Options()
        options.case_sensitive = False
        options.log_errors = False
        options.max_mem = _MEMORY_BYTES
        self._names = []
        self._set = re2.Set.SearchSet(options)
        for rule in rules:
            try:
                self._set.Add(rule.pattern)
            except re2.error as e:
                raise ValueError(f"rule {rule.name}: {e}") from e
            self._names.append(rule.name)
        self._set.Compile()

    def hits(self, readings: Iterable[View]) -> tuple[Hit, ...]:
        """Return what matches, each rule once, with the first view that it matches."""
        found: dict[str, Hit] = {}
        for view in readings:
            for number in sorted(self._set.Match(view.text) or ()):
                found.setdefault(self._names[number], Hit(self._names[number], view))
        return tuple(found.values())


_RULE_SET: Final = RuleSet()
"""One automaton for all policies: it takes memory, and nothing of it changes."""


class RuleStage:
    """Looks at copies and changes nothing.

    Args:
        handling: what the policy does with its kinds.

    The system prompt is not looked at: it is full of rules and roles, and whoever writes it needs
    no injection. What users write is their own affair more than what a document says to them, so
    the two are two kinds.
    """

    name = "rules"

    def __init__(self, handling: Mapping[str, Handling]) -> None:
        self._active = frozenset(
            kind
            for kind in ("injection_rule", "untrusted_injection_rule")
            if handling.get(kind, Handling.ALLOW) is not Handling.ALLOW
        )

    def look(self, part: Part) -> Verdict:
        """Return which rules one text matches in any of its views."""
        kind = "untrusted_injection_rule" if part.origin in STRANGERS else "injection_rule"
        if kind not in self._active or part.origin == "system":
            return NOTHING
        hits = _RULE_SET.hits(views(part.text))
        end = len(part.text)
        return Verdict(tuple(
            Finding(kind, 0, end, f"{hit.rule} in view {hit.view.name}") for hit in hits
        ))  # fmt: skip
