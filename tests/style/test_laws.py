"""The laws of the repository: names, sizes, docstrings, what only `*_unsafe.py` may do."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src" / "corral").rglob("*.py"))
PROGRAMS = [
    path
    for path in SOURCES
    if "migrations" not in path.parts and path.read_text(encoding="utf-8").strip()
]
EVERYTHING = sorted(
    path
    for folder in ("src", "tests", "bench", "fuzz", "scripts")
    for path in (ROOT / folder).rglob("*.py")
)

FILE_LINES_MAX = 400
TRUSTED = {"launcher": 1864, "sandbox": 912, "core": 372, "ipc": 217, "jail": 285}
"""The trusted base: most lines of code (no blank lines, comments, docstrings) by package; ADR 4."""
BANNED_FILES = re.compile(r"^(utils?|common|helpers?|managers?|misc|stuff)(_unsafe)?\.py$")
BANNED_NAMES = re.compile(r"^_*(handle_|process_|do_it|manager$)")
UNSAFE_MODULES = {"ctypes", "subprocess", "importlib", "multiprocessing", "pty"}
HARMLESS_PARTS = {("importlib", "metadata"), ("importlib", "resources")}
"""Reading a package's own version or files runs nobody's code."""
UNSAFE_CALLS = re.compile(
    r"^os\.(fork|forkpty|exec\w*|spawn\w*|posix_spawn\w*|system|popen|set\w*[ug]id\w*|setgroups)$"
)


def ids(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


def test_no_file_is_too_long() -> None:
    lines = {
        str(p.relative_to(ROOT)): p.read_text(encoding="utf-8").count("\n") for p in EVERYTHING
    }
    assert len(lines) > 400, "the walk misses files"
    assert {file: count for file, count in lines.items() if count > FILE_LINES_MAX} == {}


@pytest.mark.parametrize("path", SOURCES, ids=ids(SOURCES))
def test_names_say_what_a_thing_is(path: Path) -> None:
    assert not BANNED_FILES.match(path.name)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            assert not BANNED_NAMES.match(node.name.lower()), node.name


@pytest.mark.parametrize("path", PROGRAMS, ids=ids(PROGRAMS))
def test_module_docstring_states_its_trust_zone(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    assert docstring, "no module docstring"
    if path != ROOT / "src" / "corral" / "__init__.py":
        assert "Trust:" in docstring


@pytest.mark.parametrize("path", PROGRAMS, ids=ids(PROGRAMS))
def test_only_unsafe_files_start_processes_or_call_c(path: Path) -> None:
    if path.name.endswith("_unsafe.py"):
        return
    found = list(unsafe_uses(ast.parse(path.read_text(encoding="utf-8"))))
    assert not found, f"{', '.join(found)}: only in *_unsafe.py"


def test_the_unsafe_finder_finds() -> None:
    source = (
        "import ctypes\nfrom subprocess import run\nimport os\nos.fork()\nos.execv('a', [])\n"
        "__import__('x')\nfrom os import posix_spawn\nimport importlib.util\nexec('1')\n"
        "from importlib import import_module\n"
    )
    assert len(list(unsafe_uses(ast.parse(source)))) == 9
    assert not list(unsafe_uses(ast.parse("from importlib.metadata import version\nimport os")))


def unsafe_uses(tree: ast.AST) -> list[str]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [a.name for a in node.names if is_unsafe_module(a.name)]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found += [n for n in names if is_unsafe_module(n) or UNSAFE_CALLS.match(n)]
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if UNSAFE_CALLS.match(name) or name in {"__import__", "exec", "eval"}:
                found.append(name)
    return found


def is_unsafe_module(name: str) -> bool:
    parts = tuple(name.split("."))
    return parts[0] in UNSAFE_MODULES and parts[:2] not in HARMLESS_PARTS


def test_trusted_base_is_standard_library_only() -> None:
    allowed = set(sys.stdlib_module_names) | {"corral"}
    for path in trusted_files():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                assert name.split(".")[0] in allowed, f"{path}: {name}"
                if name.startswith("corral."):
                    assert name.split(".")[1] in TRUSTED, f"{path}: {name}"


@pytest.mark.parametrize("package", TRUSTED)
def test_trusted_base_is_small(package: str) -> None:
    files = [path for path in trusted_files() if f"/corral/{package}/" in str(path)]
    total = sum(code_lines(path) for path in files)
    assert TRUSTED[package] - 100 < total <= TRUSTED[package], f"{total} lines of code"


def test_the_record_of_the_budget_says_what_is_counted() -> None:
    folder = ROOT / "docs" / "adr"
    text = (folder / "0004-trusted-base-budget.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| `(\w+)` \| ([0-9,]+) \|", text, re.MULTILINE)
    assert {name: int(lines.replace(",", "")) for name, lines in table} == TRUSTED
    title = (
        f"The trusted base may have {sum(TRUSTED.values()):,} lines of code, counted with `jail`"
    )
    assert text.startswith(f"# 4. {title}\n")
    assert f"| {title} |" in (folder / "README.md").read_text(encoding="utf-8")


def trusted_files() -> list[Path]:
    return [p for p in SOURCES if p.relative_to(ROOT / "src" / "corral").parts[0] in TRUSTED]


def code_lines(path: Path) -> int:
    """Count lines that hold code: no blank line, comment or docstring."""
    text = path.read_text(encoding="utf-8")
    prose: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Constant):
            continue
        if isinstance(node.value.value, str):
            prose.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return sum(
        1
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.lstrip().startswith("#") and number not in prose
    )


def test_no_unfinished_work() -> None:
    marks = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|NotImplementedError")
    for path in SOURCES:
        assert not marks.search(path.read_text(encoding="utf-8")), path
