"""Schemas that were written to do harm: by hand, and drawn by a seed.

Some are taken, because they are within every bound; what they cost is then the engine's to bear.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

TEXT: Final = {"type": "string"}


def closed(**members: Any) -> dict[str, Any]:
    """Return an object that must have these members and no others."""
    return {"type": "object", "properties": members, "required": list(members)}


def nested(depth: int, wrap: Callable[[Any], Any], innermost: Any = TEXT) -> Any:
    """Return a schema put into another so many times."""
    for _ in range(depth):
        innermost = wrap(innermost)
    return innermost


def chain(length: int) -> dict[str, Any]:
    """Return definitions that each lead to the next."""
    defs = {f"d{n}": closed(x={"$ref": f"#/$defs/d{n + 1}"}) for n in range(length)}
    return {"$defs": {**defs, f"d{length}": TEXT}, "$ref": "#/$defs/d0"}


def lists(schema: Any, **counts: int) -> dict[str, Any]:
    return {"type": "array", "items": schema, **counts}


def ref(name: str = "T") -> dict[str, str]:
    return {"$ref": f"#/$defs/{name}"}


def defined(schema: Any, **more: Any) -> dict[str, Any]:
    return {"$defs": {"T": schema, **more}, "$ref": "#/$defs/T"}


BOMBS: Final[Mapping[str, Any]] = {
    # counts
    "min items": lists(TEXT, minItems=2_000_000_000),
    "max items": lists(TEXT, maxItems=2_000_000_000),
    "nested max items": nested(20, lambda one: lists(one, maxItems=1000)),
    "nested min items": nested(20, lambda one: lists(one, minItems=1000)),
    "negative items": lists(TEXT, minItems=-1, maxItems=-5),
    "huge number": {"type": "integer", "minimum": 10**400},
    "wide range": {"type": "integer", "minimum": -(1 << 63), "maximum": (1 << 63) - 1},
    "wide floats": {"type": "number", "minimum": 1e-300, "maximum": 1e300},
    "min length": {"type": "string", "minLength": 1 << 40},
    "long texts": closed(**{f"t{n}": {"type": "string", "maxLength": 4096} for n in range(8)}),
    # depth and number
    "deep lists": nested(300, lists),
    "deep objects": nested(20, lambda one: closed(a=one)),
    "deep choices": nested(20, lambda one: {"anyOf": [one, {"type": "null"}]}),
    "doubling choices": nested(12, lambda one: {"anyOf": [closed(a=one), closed(a=one)]}),
    "many members": closed(**{f"m{n}": TEXT for n in range(5000)}),
    "many optional members": {"type": "object", "properties": {f"m{n}": TEXT for n in range(250)}},
    "large enum": {"enum": [f"value {n}" for n in range(100_000)]},
    "long enum": {"enum": ["x" * 60_000]},
    "like enum": {"enum": ["x" * n for n in range(300)]},
    "alike texts": {"anyOf": [{"type": "string", "maxLength": 900 + n} for n in range(32)]},
    "alike lists": {"anyOf": [lists(TEXT, maxItems=900 + n) for n in range(32)]},
    "alike objects": {"anyOf": [closed(m=TEXT, **{f"n{n}": TEXT}) for n in range(32)]},
    "long name": closed(**{"\u00e9" * 200_000: TEXT}),
    # references
    "to itself": defined(ref()),
    "left recursion": defined({"anyOf": [ref(), TEXT]}),
    "circle": defined(ref("U"), U={"anyOf": [ref("V"), TEXT]}, V=ref("T")),
    "endless": defined(closed(a=ref())),
    "tree": defined(closed(kids=lists(ref()), name=TEXT)),
    "tree of alike": defined({"anyOf": [lists(ref()), lists(ref(), maxItems=9), TEXT]}),
    "long chain": chain(1000),
    "chain": chain(60),
    "outside": {"$ref": "https://203.0.113.1/schema.json"},
    "file": {"$ref": "file:///etc/passwd"},
    "into nothing": {"$ref": "#/$defs/none"},
    "percent": {"$ref": "#/%24defs/T"},
    # patterns
    "star of nothing": {"type": "string", "pattern": "^*$"},
    "backtracking": {"type": "string", "pattern": "^(a+)+$"},
    "states": {"type": "string", "pattern": "(a|b)*a(a|b){60}"},
    "nested counts": {"type": "string", "pattern": "^(((a{1,99}){1,99}){1,99}){1,99}$"},
    "brackets": {"type": "string", "pattern": "(" * 400},
    "lookahead": {"type": "string", "pattern": "^(?=a)b$"},
    "backreference": {"type": "string", "pattern": r"^(a)\1$"},
    # names that mean something elsewhere
    "own words": closed(**{"$ref": TEXT, "x-guidance": TEXT, "root": TEXT, "$defs": TEXT}),
    "signs": closed(**{'a"]^-\\\n\x00\u2028': TEXT, "*": TEXT, "": TEXT}),
    "options of the engine": {**TEXT, "x-guidance": {"whitespace_flexible": True}},
    "word of its grammar": {"const": '" ::= root | %llguidance {} \n start: /.*/'},
    # what is no schema
    "a list": [], "a text": "string", "nothing": None, "a number": 1,
    "types": {"type": ["string"] * 3000},
    "wrong types": {"type": {"type": "string"}},
    "not": nested(30, lambda one: {"not": one}),
    "if": {"if": TEXT, "then": TEXT, "else": TEXT},
    "all of": {"allOf": [TEXT] * 100},
    "dynamic": {"$dynamicRef": "#T", "$dynamicAnchor": "T"},
}  # fmt: skip


class HostileSchemas:
    """Schemas drawn at random, many of them at a bound or beyond; the same seed draws the same."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def draw(self, number: int) -> Iterator[Any]:
        """Yield so many schemas."""
        for _ in range(number):
            self._left = self._random.choice((3, 10, 60, 400))
            self._wild = self._random.random() < 0.5
            names = [f"d{n}" for n in range(self._some((0, 0, 1, 3, 100), (200,)))]
            root = self._schema(names, 0)
            if names and isinstance(root, dict):
                root = {**root, "$defs": {name: self._schema(names, 1) for name in names}}
            yield root

    def _schema(self, names: list[str], depth: int) -> Any:
        pick = self._random
        self._left -= 1
        if self._left <= 0 or depth > self._some((2, 6, 20), (30,)):
            return self._leaf()
        kind = pick.randrange(8)
        if kind == 0 and names:
            return {"$ref": f"#/$defs/{pick.choice(names)}"}
        if kind <= 2:
            number = self._some((1, 2, 4, 32), (33,))
            return {pick.choice(("anyOf", "oneOf")): self._many(names, depth, number)}
        if kind <= 4:
            bounds = self._counts("minItems", "maxItems")
            return lists(self._schema(names, depth + 1), **bounds)
        if kind == 5:
            return {"type": "array", "prefixItems": self._many(names, depth, pick.choice((1, 3)))}
        number = self._some((0, 1, 3, 20, 250), (300,))
        members = {f"m{n}": self._schema(names, depth + 1) for n in range(number)}
        more: dict[str, Any] = {}
        if pick.random() < 0.3:
            more["additionalProperties"] = pick.choice((True, False, TEXT))
        return {
            "type": "object", "properties": members,
            "required": [name for name in members if pick.random() < 0.5], **more,
        }  # fmt: skip

    def _many(self, names: list[str], depth: int, number: int) -> list[Any]:
        return [self._schema(names, depth + 1) for _ in range(number)]

    def _some(self, within: tuple[Any, ...], beyond: tuple[Any, ...]) -> Any:
        return self._random.choice(within + beyond if self._wild else within)

    def _counts(self, low: str, high: str) -> dict[str, int]:
        pick = self._random
        least = self._some((0, 0, 0, 1, 2, 500), (1024, 1025, 1 << 31, -1))
        most = least + self._some((0, 1, 10, 5000, 1 << 30), (-1,))
        return {word: one for word, one in ((low, least), (high, most)) if pick.random() < 0.5}

    def _leaf(self) -> Any:
        pick = self._random
        kind = pick.randrange(9)
        if kind == 0:
            number = self._some((1, 3, 50), (1025,))
            return {"enum": [pick.choice((n, f"v{n}", "x" * n, None, True)) for n in range(number)]}
        if kind == 1:
            return {"const": self._some(("a", 1, -0.5, True, None, '"\\\n'), ([1], 1e300))}
        if kind == 2:
            low, high = self._some((-1, 0, 0.1, -1e15), (1e16, 5)), self._some((1, 1e15), (-2,))
            words = ("minimum", "exclusiveMaximum")
            bounds = {w: v for w, v in zip(words, (low, high), strict=True) if pick.random() < 0.5}
            return {"type": pick.choice(("integer", "number")), **bounds}
        if kind == 3:
            return {**TEXT, **self._counts("minLength", "maxLength")}
        if kind == 4:
            forms = ("date", "time", "date-time", "uuid", "ipv4", "ipv6", "uri", "email", "x")
            return {**TEXT, "format": pick.choice(forms)}
        if kind == 5:
            patterns = ("^a+$", "(a|b)*a(a|b){20}", r"\d{3}", ".*", r"\p{L}")
            return {**TEXT, "pattern": self._some(patterns, ("^(?=a)$", "["))}
        return pick.choice((
            TEXT, {}, True, {"type": "null"}, {"type": "boolean"}, {"type": ["string", "null"]},
            {"type": "object"}, lists({}),
        ))  # fmt: skip
