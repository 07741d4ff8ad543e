"""Which stable codes the sources can mint, read from their syntax.

A code enters by a constructor that carries one, as "code" of a dictionary, or by a function that
hands one of its parameters on to one of these. The finder follows them, and names every expression
that it cannot resolve, so that no code can be made in a way that escapes it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

CARRIERS = {
    "CorralError": 0, "ConfigError": 0, "SandboxError": 0, "IpcError": 0,
    "ApiError": 1, "Refusal": 0, "Unavailable": 0, "Broken": 0, "Failed": 1,
    "Fatal": 0, "Denied": 0, "Refused": 0, "TrialResult": 1, "Finding": 0, "ScanRefusal": 0,
    "Format": 0, "SchemaError": 0,
}  # fmt: skip
"""Constructors, and where their code stands."""
PASSED_ON = re.compile(r"\.code$|\['code'\]\)?$")
"""Expressions that only hand on a code which another value carries."""
SLUG = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


@dataclass
class Minted:
    """What was found.

    Attributes:
        places: files by code.
        kinds: names of the constructors and functions that carried it, by code.
        unresolved: expressions that stand where a code should.
    """

    places: dict[str, set[str]] = field(default_factory=dict)
    kinds: dict[str, set[str]] = field(default_factory=dict)
    unresolved: list[str] = field(default_factory=list)


@dataclass
class _Module:
    path: str
    tree: ast.Module
    parents: dict[ast.AST, ast.AST]
    constants: dict[str, ast.expr]
    imported: dict[str, str]


def minted_codes(package: Path) -> Minted:
    """Return every code of the sources below `package`."""
    modules = [_read(path, package) for path in sorted(package.rglob("*.py"))]
    carriers: dict[tuple[str, str], int] = {}
    while True:
        found = Minted()
        grown = dict(carriers)
        for module in modules:
            for call, name, position in _carrying_calls(module, carriers):
                code = _code_of(call, position)
                if code is not None:
                    _resolve(module, modules, call, code, name, found, grown)
            for table, code in _coded_dictionaries(module):
                _resolve(module, modules, table, code, "dict", found, grown)
        if grown == carriers:
            return found
        carriers = grown


def _read(path: Path, package: Path) -> _Module:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    constants: dict[str, ast.expr] = {}
    imported: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            constants[node.targets[0].id] = node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            constants[node.target.id] = node.value
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                imported[alias.asname or alias.name] = node.module
    return _Module(str(path.relative_to(package)), tree, parents, constants, imported)


def _carrying_calls(
    module: _Module, carriers: dict[tuple[str, str], int]
) -> Iterator[tuple[ast.Call, str, int]]:
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Call) or ast.unparse(node.func).startswith("os."):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
        if name == "Finding" and module.path.startswith("guard/"):
            continue  # a kind of the sanitation: tests/style/test_sanitation_codes.py
        if name in CARRIERS:
            yield node, name, CARRIERS[name]
            continue
        home = _file_of(module.imported.get(name, "")) or module.path
        if (home, name) in carriers:
            yield node, name, carriers[home, name]
        elif isinstance(node.func, ast.Attribute):
            # A method of a class of this module, or of one that it imports a name from.
            for path in (module.path, *map(_file_of, module.imported.values())):
                if (path, f".{name}") in carriers:
                    yield node, name, carriers[path, f".{name}"]
                    break


def _coded_dictionaries(module: _Module) -> Iterator[tuple[ast.Dict, ast.expr]]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "code":
                    yield node, value


def _file_of(dotted: str) -> str:
    return dotted.removeprefix("corral.").replace(".", "/") + ".py" if dotted else ""


def _code_of(call: ast.Call, position: int) -> ast.expr | None:
    for keyword in call.keywords:
        if keyword.arg == "code":
            return keyword.value
    if len(call.args) > position and not any(isinstance(a, ast.Starred) for a in call.args):
        return call.args[position]
    return None


def _resolve(
    module: _Module,
    modules: list[_Module],
    at: ast.AST,
    code: ast.expr,
    kind: str,
    found: Minted,
    carriers: dict[tuple[str, str], int],
) -> None:
    if isinstance(code, ast.Constant) and isinstance(code.value, str):
        if SLUG.fullmatch(code.value):
            found.places.setdefault(code.value, set()).add(module.path)
            found.kinds.setdefault(code.value, set()).add(kind)
        elif code.value:
            found.unresolved.append(f"{module.path}: {code.value!r}")
    elif isinstance(code, ast.Name):
        _resolve_name(module, modules, at, code.id, kind, found, carriers)
    elif parts := _parts(module, code):
        for part in parts:
            inside = part if part in module.parents else at
            _resolve(module, modules, inside, part, kind, found, carriers)
    elif not PASSED_ON.search(ast.unparse(code)):
        found.unresolved.append(f"{module.path}:{code.lineno}: {ast.unparse(code)}")


def _parts(module: _Module, code: ast.expr) -> list[ast.expr]:
    """Return the expressions, one of which is the value of this one."""
    match code:
        case ast.IfExp(body=body, orelse=orelse):
            return [body, orelse]
        case ast.Await(value=value):
            return [value]
        case ast.Call(func=ast.Attribute(value=table, attr="get"), args=[_, default]):
            return [*_values(module, table), default]
        case ast.Call(func=callee):
            return _results(module, callee)
        case ast.Subscript(value=table):
            return _values(module, table)
        case ast.Attribute(value=ast.Name(id="self")):
            return _assigned(module.tree, code)
    return []


def _values(module: _Module, table: ast.expr) -> list[ast.expr]:
    if isinstance(table, ast.Name):
        table = module.constants.get(table.id, table)
    return list(table.values) if isinstance(table, ast.Dict) else []


def _results(module: _Module, callee: ast.expr) -> list[ast.expr]:
    """Return what a function of this module may return."""
    name = callee.attr if isinstance(callee, ast.Attribute) else ast.unparse(callee)
    return [
        node.value
        for function in ast.walk(module.tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and function.name == name
        for node in ast.walk(function)
        if isinstance(node, ast.Return) and node.value is not None
    ]


def _resolve_name(
    module: _Module,
    modules: list[_Module],
    at: ast.AST,
    name: str,
    kind: str,
    found: Minted,
    carriers: dict[tuple[str, str], int],
) -> None:
    """Follow a name: a value assigned in the function, its parameter, or a constant."""
    function = module.parents.get(at)
    while function is not None:
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            if name in _captured(function):
                return
            values = _assigned(function, ast.Name(name))
            for value in values:
                _resolve(module, modules, at, value, kind, found, carriers)
            position = _parameter(module, function, name)
            if position is not None:
                method = isinstance(module.parents.get(function), ast.ClassDef)
                carriers[module.path, f".{function.name}" if method else function.name] = position
                defaults = _default(function, name)
                if defaults is not None:
                    _resolve(module, modules, at, defaults, kind, found, carriers)
            if values or position is not None:
                return
        function = module.parents.get(function)
    home = module
    if name in module.imported:
        path = _file_of(module.imported[name])
        home = next((m for m in modules if m.path == path), module)
    if name in home.constants:
        _resolve(home, modules, home.tree, home.constants[name], kind, found, carriers)
    else:
        found.unresolved.append(f"{module.path}: {name}")


def _assigned(within: ast.AST, target: ast.expr) -> list[ast.expr]:
    text = ast.unparse(target)
    return [
        node.value
        for node in ast.walk(within)
        if isinstance(node, ast.Assign) and text in map(ast.unparse, node.targets)
    ]


def _captured(function: ast.AST) -> set[str]:
    """Return the names that a `match` takes out of a value: what carries a code already."""
    return {n.name for n in ast.walk(function) if isinstance(n, ast.MatchAs) and n.name}


def _parameter(
    module: _Module, function: ast.FunctionDef | ast.AsyncFunctionDef, name: str
) -> int | None:
    names = [a.arg for a in (*function.args.posonlyargs, *function.args.args)]
    if (
        names
        and names[0] in {"self", "cls"}
        and isinstance(module.parents.get(function), ast.ClassDef)
    ):
        names = names[1:]
    if name in names:
        return names.index(name)
    return 99 if name in {a.arg for a in function.args.kwonlyargs} else None


def _default(function: ast.FunctionDef | ast.AsyncFunctionDef, name: str) -> ast.expr | None:
    positional = [*function.args.posonlyargs, *function.args.args]
    with_default = positional[len(positional) - len(function.args.defaults) :]
    pairs = [
        *zip(with_default, function.args.defaults, strict=True),
        *zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True),
    ]
    return next((value for one, value in pairs if one.arg == name), None)
