"""The words of Jinja that chat templates need, and those that no template has a good use for.

Trust: scan jail; constants. Everything that is not allowed here is refused: the lists are what the
templates of llama.cpp and Hugging Face use, and harmless neighbours of it.
"""

from __future__ import annotations

import re
from typing import Final

from jinja2 import nodes

NODES: Final[frozenset[type[nodes.Node]]] = frozenset({
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.Const, nodes.Tuple, nodes.List,
    nodes.Dict, nodes.Pair, nodes.Keyword, nodes.Name, nodes.NSRef, nodes.For, nodes.If,
    nodes.CondExpr, nodes.Assign, nodes.AssignBlock, nodes.Macro, nodes.Call, nodes.CallBlock,
    nodes.Filter, nodes.FilterBlock, nodes.Test, nodes.Getattr, nodes.Getitem, nodes.Slice,
    nodes.Concat, nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod, nodes.Pow,
    nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.Neg, nodes.Pos,
    nodes.Break, nodes.Continue, nodes.Scope, nodes.With,
})  # fmt: skip
LOADERS: Final = (
    nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends, nodes.Block,
)  # fmt: skip
"""What reads other templates, or defines parts of them."""

FILTERS: Final = frozenset({
    "tojson", "length", "count", "trim", "string", "default", "d", "join", "items", "list",
    "selectattr", "rejectattr", "select", "reject", "safe", "dictsort", "lower", "upper",
    "capitalize", "title", "map", "replace", "from_json", "indent", "int", "float", "unique",
    "sort", "min", "max", "sum", "first", "last", "abs", "round", "reverse", "e", "escape",
    "groupby", "batch", "slice", "center", "wordcount", "truncate",
})  # fmt: skip
TESTS: Final = frozenset({
    "defined", "undefined", "string", "none", "mapping", "iterable", "sequence", "boolean", "true",
    "false", "number", "integer", "float", "eq", "equalto", "==", "ne", "!=", "lt", "lessthan",
    "<", "le", "<=", "gt", "greaterthan", ">", "ge", ">=", "in", "odd", "even", "divisibleby",
    "lower", "upper", "sameas", "callable",
})  # fmt: skip
GLOBALS: Final = frozenset({"raise_exception", "strftime_now", "namespace", "range", "dict"})
METHODS: Final = frozenset({
    "split", "rsplit", "splitlines", "strip", "lstrip", "rstrip", "startswith", "endswith",
    "replace", "items", "keys", "values", "get", "pop", "append", "extend", "insert", "update",
    "lower", "upper", "title", "capitalize", "join", "find", "rfind", "index", "count",
    "removeprefix", "removesuffix", "isdigit", "isalpha", "isalnum", "isspace", "isupper",
    "islower", "strftime", "copy", "cycle",
})  # fmt: skip
REFLECTION: Final = frozenset({
    "mro", "format_map", "func_globals", "func_code", "func_closure", "func_defaults", "im_func",
    "im_self", "im_class", "gi_frame", "gi_code", "gi_yieldfrom", "cr_frame", "cr_code",
    "cr_origin", "cr_await", "ag_frame", "ag_code", "ag_await", "f_globals", "f_builtins",
    "f_locals", "f_back", "f_code", "tb_frame", "tb_next", "co_code", "co_consts",
})  # fmt: skip
"""Attributes that lead from a value to the interpreter."""
INTERNALS: Final = frozenset({
    "self", "lipsum", "cycler", "joiner", "super", "environment", "config", "request", "session",
    "get_flashed_messages", "url_for", "g", "context", "eval", "exec", "open", "getattr",
    "setattr", "globals", "locals", "vars", "compile", "breakpoint", "debug", "os", "sys",
})  # fmt: skip
"""Names that lead to Python's or a web framework's objects where such a renderer has them."""
BY_ATTRIBUTE: Final = frozenset({
    "map", "selectattr", "rejectattr", "sort", "groupby", "unique", "min", "max", "sum", "join",
})  # fmt: skip
"""Filters that look up an attribute whose name is a string."""

KINDS: Final = frozenset({
    "text", "image", "image_url", "video", "video_url", "audio", "audio_url", "input_audio", "type",
    "thinking", "file", "value", "url", "refusal", "blocks", "parts",
})  # fmt: skip
"""Kinds and keys of a message's parts. They are words too: the renderer tries each."""
SEARCHING: Final = frozenset({
    "startswith", "endswith", "find", "rfind", "index", "count", "split", "rsplit", "replace",
    "removeprefix", "removesuffix",
})  # fmt: skip
"""Methods that look for a text in another."""

_DUNDER: Final = re.compile(r"__\s*[A-Za-z]|[A-Za-z]\s*__")


def leads_inside(name: str) -> bool:
    """Return whether an attribute of this name leads to the interpreter."""
    return any(part.startswith("__") or part in REFLECTION for part in name.split("."))


def looks_like_reflection(text: str) -> bool:
    """Return whether a string is, or is a piece of, the name of such an attribute."""
    return bool(_DUNDER.search(text)) or (text.strip() in REFLECTION and text.strip() != "mro")
