"""Load the engine's extension module without the package around it.

Trust: jail zone; the only place where corral imports by name. Input: our own installation.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from typing import Any


def load_extension() -> tuple[Any, str]:
    """Import the engine's extension module; return it and its version.

    The package's own `__init__` also imports an estimator of GPU layers with `inspect` and
    `dataclasses`: 2 MiB in every worker, for nothing. A bare package in its place leaves that out.
    """
    spec = importlib.util.find_spec("xllamacpp")
    if spec is None or spec.submodule_search_locations is None:
        raise ImportError("xllamacpp is not installed")
    package = types.ModuleType("xllamacpp")
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules["xllamacpp"] = package
    engine = importlib.import_module("xllamacpp.xllamacpp")
    version = importlib.import_module("xllamacpp._version").get_versions()["version"]
    return engine, str(version)
