"""JSON by the interpreter's own C code, without the modules that `json` and msgspec bring along.

Trust: jail zone. Input: lines of the gateway, chunks of the engine; both are checked by who asks.

Every worker carries what it imports: msgspec 3.1 MiB, `json` 0.4 MiB (docs/benchmarks.md), and each
module is one more thing for hostile code to build on. `_json` is what `json` itself runs on.
"""

from __future__ import annotations

from _json import encode_basestring, make_encoder, make_scanner

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn


def _refuse(value: object) -> NoReturn:
    raise ValueError(f"not JSON: {value!r:.20}")


class _Grammar:
    """What `_json.make_scanner` asks of a decoder."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = staticmethod(_refuse)  # NaN and Infinity


# typeshed takes the maker for the made.
_scan = make_scanner(_Grammar())  # type: ignore[arg-type]
_pieces = make_encoder(None, _refuse, encode_basestring, None, ":", ",", False, False, False)


def encode(value: Any) -> bytes:
    """Return JSON in UTF-8 without spaces; lone surrogates become `?`.

    Raises:
        ValueError: not of dict, list, tuple, str, int, float, bool and None, or not finite.
    """
    return "".join(_pieces(value, 0)).encode("utf-8", "replace")


def decode(data: bytes) -> Any:
    """Return the one JSON value that `data` is, without spaces around it.

    Raises:
        ValueError: not JSON, not UTF-8, or nested too deeply.
    """
    try:
        text = data.decode()
        value, end = _scan(text, 0)
    except Exception as error:
        # Among them an ImportError: `_json` looks for the class of its own error, and a sealed
        # worker cannot load the module that has it.
        raise ValueError("not JSON") from error
    if end != len(text):
        raise ValueError("more than one value")
    return value
