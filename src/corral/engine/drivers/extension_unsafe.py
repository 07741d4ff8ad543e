"""Load the engine's extension module without the Python modules around it.

Trust: jail zone; the only place where the worker imports by name. Input: our own installation.

The package's own `__init__` and the start of the extension import an estimator of GPU layers,
`inspect` (for eight constants) and `json` (for dicts, which we never ask for): 5 MiB in every
worker, for nothing. Small stand-ins take their places while it starts. An extension that asks for
more fails to load, loudly.
"""

from __future__ import annotations

import os
import sys

from corral.engine.plain_json import decode, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

_FLAGS: Final = {
    "CO_OPTIMIZED": 1, "CO_NEWLOCALS": 2, "CO_VARARGS": 4, "CO_VARKEYWORDS": 8, "CO_NESTED": 16,
    "CO_GENERATOR": 32, "CO_COROUTINE": 128, "CO_ITERABLE_COROUTINE": 256,
    "CO_ASYNC_GENERATOR": 512,
}  # fmt: skip
"""Code flags of the interpreter's C API (code.h); Cython looks them up by name."""

_Module: Final = type(sys)


def load_extension() -> tuple[Any, str]:
    """Import the engine's extension module; return it and its version.

    Raises:
        ImportError: the engine is not installed.
    """
    folder = next((f"{p}/xllamacpp" for p in sys.path if os.access(f"{p}/xllamacpp", os.R_OK)), "")
    if not folder:
        raise ImportError("xllamacpp is not installed")
    package = _Module("xllamacpp")
    package.__path__ = [folder]
    sys.modules["xllamacpp"] = package
    stand_ins = {
        "inspect": _stand_in("inspect", _FLAGS),
        "json": _stand_in("json", {"loads": _loads, "dumps": _dumps}),
    }
    missing = [name for name in stand_ins if name not in sys.modules]
    sys.modules.update({name: stand_ins[name] for name in missing})
    try:
        __import__("xllamacpp.xllamacpp")
        __import__("xllamacpp._version")
        version = sys.modules["xllamacpp._version"].get_versions()["version"]
    finally:
        for name in missing:
            del sys.modules[name]
    return sys.modules["xllamacpp.xllamacpp"], str(version)


def _stand_in(name: str, content: dict[str, Any]) -> Any:
    module = _Module(name)
    module.__dict__.update(content)
    return module


def _loads(text: str) -> Any:
    return decode(text.strip().encode())


def _dumps(value: Any) -> str:
    return encode(value).decode()
