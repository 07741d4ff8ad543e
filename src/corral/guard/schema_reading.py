"""A schema as a caller wrote it, read into `schema_nodes`; what is not of the subset is refused.

Trust: gateway [net]; pure. Input: a hostile value, already bounded in depth and number of values
by `json_text.check_value`. Nothing of it is in a refusal but the place, counted by numbers, and
names of keywords that are known here. Spec: JSON Schema 2020-12, of which this is the part that the
engine's converter and ours read alike (docs/api.md has the table).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from corral.guard.schema_nodes import (
    STEERED_ITEMS_MAX,
    AnyValue,
    Array,
    Choice,
    Object,
    Ref,
    Tuple,
)
from corral.guard.schema_refusal import refused
from corral.guard.schema_run import Node, value_key
from corral.guard.schema_scalars import (
    FORMATS,
    STEERED_CHARACTERS_MAX,
    Boolean,
    Literals,
    Null,
    Number,
    Text,
)
from corral.guard.schema_values import (
    BOUNDS,
    counts_of,
    format_of,
    number_of,
    pattern_of,
    range_of,
    types_of,
)

DEPTH_MAX: Final = 24
NODES_MAX: Final = 1024
DEFS_MAX: Final = 128
MEMBERS_MAX: Final = 256
ALTERNATIVES_MAX: Final = 32
LITERALS_MAX: Final = 1024
"""Of all `enum` of a schema together."""
PATTERNS_MAX: Final = 32
NAME_CHARACTERS_MAX: Final = 256

_ANNOTATIONS: Final = frozenset({
    "$schema", "$id", "$comment", "title", "description", "default", "examples", "example",
    "deprecated", "readOnly", "writeOnly", "discriminator", "contentEncoding", "contentMediaType",
})  # fmt: skip
_IS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
}
_KEYWORDS: Final[Mapping[str, frozenset[str]]] = {
    "object": frozenset({"properties", "required", "additionalProperties"}),
    "array": frozenset({"items", "prefixItems", "minItems", "maxItems", "uniqueItems"}),
    "string": frozenset({"minLength", "maxLength", "pattern", "format"}),
    "number": frozenset({
        "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "format",
    }),
    "integer": frozenset({
        "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "format",
    }),
    "boolean": frozenset(),
    "null": frozenset(),
}  # fmt: skip
_NAMED: Final = frozenset({
    *_ANNOTATIONS, *(word for words in _KEYWORDS.values() for word in words), "type", "enum",
    "const", "anyOf", "oneOf", "allOf", "$ref", "$defs", "definitions", "not", "if", "then",
    "else", "patternProperties", "propertyNames", "minProperties", "maxProperties", "contains",
    "multipleOf", "dependentRequired", "dependentSchemas", "unevaluatedProperties",
    "unevaluatedItems", "$anchor", "$dynamicRef", "$dynamicAnchor", "additionalItems", "nullable",
})  # fmt: skip
"""Keywords that a refusal may name; any other is the caller's own text."""


class Reading:
    """One schema being read.

    Args:
        root: the whole schema.
        param: the field that it came in.
        patterns_max: how many patterns it may have: each costs before anything is known of it.

    Attributes:
        defs: what its definitions say, by names of ours; the whole is `root`.
        patterns: how many patterns it has.

    Raises:
        SchemaError: it is not of the subset.
    """

    def __init__(self, root: Any, param: str, patterns_max: int = PATTERNS_MAX) -> None:
        self.defs: dict[str, Node] = {}
        self._nodes = 0
        self._literals = 0
        self.patterns = 0
        self._patterns_max = patterns_max
        self._names: dict[str, str] = {"#": "root"}
        definitions: list[tuple[Any, str]] = []
        if isinstance(root, dict):
            for word in ("$defs", "definitions"):
                definitions += self._definitions(root, word, param)
        for number, (definition, place) in enumerate(definitions):
            self.defs[f"d{number}"] = self._node(definition, place, 1)
        self.defs["root"] = self._node(root, param, 0)

    def _definitions(self, root: dict[str, Any], word: str, param: str) -> list[tuple[Any, str]]:
        found = root.get(word, {})
        if not isinstance(found, dict):
            raise refused(f"{param}.{word}", "this is no object")
        listed: list[tuple[Any, str]] = []
        for number, (name, definition) in enumerate(found.items()):
            self._names[f"#/{word}/{_pointer(name)}"] = f"d{len(self._names) - 1}"
            listed.append((definition, f"{param}.{word}[{number}]"))
        if len(self._names) > DEFS_MAX:
            raise refused(f"{param}.{word}", "it has too many definitions")
        return listed

    def _node(self, schema: Any, at: str, depth: int) -> Node:
        self._nodes += 1
        if self._nodes > NODES_MAX:
            raise refused(at, "it has too many parts")
        if depth > DEPTH_MAX:
            raise refused(at, "it is nested too deeply")
        if schema is True:
            return AnyValue()
        if not isinstance(schema, dict):
            raise refused(at, "this is no object")
        words = {
            word for word in schema
            if word not in _ANNOTATIONS and not word.startswith("x-")
        }  # fmt: skip
        if depth == 0:
            words -= {"$defs", "definitions"}
        for word, read in (
            ("$ref", self._ref), ("anyOf", self._any_of), ("oneOf", self._one_of),
            ("allOf", self._all_of), ("const", self._const), ("enum", self._enum),
        ):  # fmt: skip
            if word in words:
                alone = {word, "type"} if word in {"const", "enum"} else {word}
                self._only(words, alone, at)
                return read(schema, f"{at}.{word}", depth)
        return self._typed(schema, words, at, depth)

    def _only(self, words: set[str], known: set[str] | frozenset[str], at: str) -> None:
        for word in sorted(words - known):
            if word in _NAMED:
                raise refused(f"{at}.{word}", "this keyword is not supported here")
            raise refused(at, "it has a keyword that is not known")

    # references and choices

    def _ref(self, schema: dict[str, Any], at: str, depth: int) -> Node:
        ref = schema["$ref"]
        name = self._names.get(ref) if isinstance(ref, str) else None
        if name is None:
            raise refused(at, "this leads to no definition of this schema")
        return Ref(name)

    def _any_of(self, schema: dict[str, Any], at: str, depth: int) -> Node:
        return Choice(self._alternatives(schema["anyOf"], at, depth))

    def _one_of(self, schema: dict[str, Any], at: str, depth: int) -> Node:
        return Choice(self._alternatives(schema["oneOf"], at, depth), single=True)

    def _all_of(self, schema: dict[str, Any], at: str, depth: int) -> Node:
        found = schema["allOf"]
        if not isinstance(found, list) or len(found) != 1:
            raise refused(at, "this is taken with exactly one schema")
        return self._node(found[0], f"{at}[0]", depth)

    def _alternatives(self, found: Any, at: str, depth: int) -> tuple[Node, ...]:
        if not isinstance(found, list) or not 1 <= len(found) <= ALTERNATIVES_MAX:
            raise refused(at, f"this is a list of 1 to {ALTERNATIVES_MAX} schemas")
        return tuple(
            self._node(one, f"{at}[{number}]", depth + 1) for number, one in enumerate(found)
        )

    # scalars of a list

    def _const(self, schema: dict[str, Any], at: str, depth: int) -> Node:
        return self._among([schema["const"]], schema, at)

    def _enum(self, schema: dict[str, Any], at: str, depth: int) -> Node:
        return self._among(schema["enum"], schema, at)

    def _among(self, values: Any, schema: dict[str, Any], at: str) -> Node:
        if not isinstance(values, list) or not values:
            raise refused(at, "this is a list of values")
        self._literals += len(values)
        if self._literals > LITERALS_MAX:
            raise refused(at, f"it has more than {LITERALS_MAX} values in all")
        for value in values:
            if isinstance(value, dict | list):
                raise refused(at, "only texts, numbers, true, false and null are taken here")
            if isinstance(value, int | float) and not isinstance(value, bool):
                number_of(value, at)
        types = types_of(schema, at)
        kept = [one for one in values if not types or any(_IS[kind](one) for kind in types)]
        if not kept:
            raise refused(at, "none of these is of the type")
        by_key = {value_key(one): one for one in kept}
        return Literals(tuple(by_key.values()), frozenset(by_key))

    # what has a type

    def _typed(self, schema: dict[str, Any], words: set[str], at: str, depth: int) -> Node:
        types = types_of(schema, at)
        if not types:
            types = [kind for kind in ("object", "array") if words & _KEYWORDS[kind]][:1]
        if not types:
            self._only(words, set(), at)
            return AnyValue()
        self._only(words, {"type"}.union(*(_KEYWORDS[kind] for kind in types)), at)
        read: Mapping[str, Callable[[dict[str, Any], str, int], Node]] = {
            "object": self._object, "array": self._array, "string": self._text,
            "number": self._numeric, "integer": self._numeric,
            "boolean": lambda *_: Boolean(), "null": lambda *_: Null(),
        }  # fmt: skip
        nodes = tuple(
            read[kind]({**schema, "type": kind}, at, depth + (len(types) > 1)) for kind in types
        )
        return nodes[0] if len(nodes) == 1 else Choice(nodes)

    def _object(self, schema: dict[str, Any], at: str, depth: int) -> Node:
        found = schema.get("properties", {})
        if not isinstance(found, dict) or len(found) > MEMBERS_MAX:
            raise refused(f"{at}.properties", f"this is an object of at most {MEMBERS_MAX} members")
        members: dict[str, Node] = {}
        for number, (name, member) in enumerate(found.items()):
            place = f"{at}.properties[{number}]"
            if len(name) > NAME_CHARACTERS_MAX:
                raise refused(place, "its name is too long")
            members[name] = self._node(member, place, depth + 1)
        # What is not said is closed where members are named, as OpenAI's strict mode wants it.
        said = schema.get("additionalProperties", "properties" not in schema)
        others: Node | None = None
        if said is not False:
            others = self._node(said, f"{at}.additionalProperties", depth + 1)
        return self._with_required(schema, members, others, f"{at}.required")

    def _with_required(
        self, schema: dict[str, Any], members: dict[str, Node], others: Node | None, at: str
    ) -> Node:
        required = schema.get("required", [])
        if (
            not isinstance(required, list)
            or len(required) > MEMBERS_MAX
            or not all(isinstance(one, str) for one in required)
        ):
            raise refused(at, f"this is a list of at most {MEMBERS_MAX} names")
        for name in required:
            if name not in members:
                if others is None:
                    raise refused(at, "it names a member that there cannot be")
                members[name] = others
        return Object(members, frozenset(required), others)

    def _array(self, schema: dict[str, Any], at: str, depth: int) -> Node:
        least, most = counts_of(schema, at, "minItems", "maxItems", STEERED_ITEMS_MAX)
        unique = schema.get("uniqueItems", False)
        if not isinstance(unique, bool):
            raise refused(f"{at}.uniqueItems", "this is true or false")
        if "prefixItems" in schema:
            return self._tuple(schema, at, depth, least, most)
        items = self._node(schema.get("items", True), f"{at}.items", depth + 1)
        return Array(items, least, most, unique)

    def _tuple(
        self, schema: dict[str, Any], at: str, depth: int, least: int, most: int | None
    ) -> Node:
        found = schema["prefixItems"]
        if not isinstance(found, list) or not 1 <= len(found) <= ALTERNATIVES_MAX:
            raise refused(f"{at}.prefixItems", f"this is a list of 1 to {ALTERNATIVES_MAX} schemas")
        if schema.get("items", False) is not False or schema.get("uniqueItems"):
            raise refused(f"{at}.prefixItems", "it is taken without other items")
        if least > len(found) or (most is not None and most < len(found)):
            raise refused(f"{at}.prefixItems", "these are too many or too few items")
        return Tuple(tuple(
            self._node(one, f"{at}.prefixItems[{number}]", depth + 1)
            for number, one in enumerate(found)
        ))  # fmt: skip

    def _text(self, schema: dict[str, Any], at: str, depth: int) -> Node:
        least, most = counts_of(schema, at, "minLength", "maxLength", STEERED_CHARACTERS_MAX)
        form = format_of(schema, at)
        if "pattern" in schema:
            self.patterns += 1
            if self.patterns > self._patterns_max:
                raise refused(f"{at}.pattern", f"there are more than {PATTERNS_MAX} patterns")
        return Text(
            least, most, pattern_of(schema, f"{at}.pattern"), form if form in FORMATS else ""
        )

    def _numeric(self, schema: dict[str, Any], at: str, depth: int) -> Node:
        format_of(schema, at)
        bounds = tuple(
            (word, number_of(schema[word], f"{at}.{word}")) for word in BOUNDS if word in schema
        )
        return Number(schema["type"] == "integer", range_of(bounds, schema["type"], at))


def _pointer(name: str) -> str:
    """Return a name as a JSON pointer has it (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")
