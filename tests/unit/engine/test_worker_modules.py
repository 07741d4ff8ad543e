"""Exactly these modules are in a worker: each costs every tenant memory and serves hostile code."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ENTRY = Path("src/corral/jail/entry_unsafe.py").absolute()
INTERPRETER = {
    "__main__", "_abc", "_codecs", "_frozen_importlib", "_frozen_importlib_external", "_imp", "_io",
    "_signal", "_thread", "_warnings", "_weakref", "abc", "builtins", "codecs", "encodings",
    "encodings.aliases", "encodings.utf_8", "io", "marshal", "posix", "sys", "time", "zipimport",
}  # fmt: skip
"""Loaded before the first line of the program."""
OWN = {
    "corral", "corral.core", "corral.core.limits", "corral.engine",
    "corral.engine.allocator_unsafe", "corral.engine.drivers",
    "corral.engine.drivers.extension_unsafe", "corral.engine.drivers.interface",
    "corral.engine.drivers.tokeniser_unsafe", "corral.engine.drivers.xllamacpp",
    "corral.engine.media_bounds", "corral.engine.media_prompt", "corral.engine.pacer",
    "corral.engine.plain_json", "corral.engine.prompt_ids", "corral.engine.sample_image",
    "corral.engine.seal", "corral.engine.translate",
    "corral.engine.worker", "corral.engine.worker_wire", "corral.jail", "corral.jail.filter",
    "corral.jail.hardware_unsafe", "corral.jail.lockdown_unsafe", "corral.jail.seal_unsafe",
}  # fmt: skip
USED = {
    "__future__", "_collections_abc", "_ctypes", "_json", "_queue", "_stat", "_struct", "ctypes",
    "ctypes._endian", "errno", "genericpath", "os", "os.path", "posixpath", "stat", "struct",
    "types",
}  # fmt: skip
"""What the program imports, and what that imports."""
ENGINE = {
    "_collections", "_functools", "_operator", "collections", "collections.abc", "enum",
    "functools", "itertools", "keyword", "operator", "reprlib", "cython_runtime", "xllamacpp",
    "xllamacpp._version", "xllamacpp.xllamacpp",
}  # fmt: skip
"""The engine's extension and what it imports, most of it for `enum`."""
NOT_BY_NAME = "_cython_"
"""The Cython version's own module, without code."""
PROGRAM = """
import sys
def main():
    import corral.engine.worker
    from corral.engine.drivers.extension_unsafe import load_extension
    load_extension()
    print(" ".join(sys.modules))
"""


@pytest.mark.claim("SEAL-01")
def test_the_modules_of_a_worker(tmp_path: Path) -> None:
    (tmp_path / "look.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "-S", "-B", str(ENTRY), "look", "--degraded=mdwe"],
        capture_output=True, text=True, check=False,
        env={"PYTHONPATH": f"{tmp_path}:{sysconfig.get_path('purelib')}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = {name for name in done.stdout.split() if not name.startswith(NOT_BY_NAME)} - {"look"}
    assert found == INTERPRETER | OWN | USED | ENGINE
