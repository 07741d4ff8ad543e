"""Files that belong together: a hostile part of a set, addition to a model, or model beside one.

The first byte chooses what the rest is; the property is that of `gguf`.
"""

from __future__ import annotations

from fuzz.target import Target
from fuzz.targets.gguf import hold
from tests.support.additions import ADAPTER, PROJECTOR, VECTOR
from tests.support.gguf_file import GgufFile, part_names, parts_of
from tests.support.scanned import scan

_SOUND = GgufFile().encode()
_PARTS = [part.encode() for part in parts_of(GgufFile(), 2)]
_NAMES = part_names(2)


def check(data: bytes) -> None:
    """Scan the file with its companions."""
    choice, raw = data[:1], data[1:]
    if choice == b"p":
        hold(scan(_PARTS[0], name=_NAMES[0], parts=[(_NAMES[1], raw)]))
    elif choice == b"f":
        hold(scan(raw, name=_NAMES[0], parts=[(_NAMES[1], _PARTS[1])]))
    elif choice == b"a":
        hold(scan(raw, companion="base", model=_SOUND))
    elif choice == b"b":
        hold(scan(ADAPTER.encode(), companion="base", model=raw))
    else:
        hold(scan(raw, companion="target", model=_SOUND))


TARGET = Target(
    "gguf_set",
    check,
    (
        b"p" + _PARTS[1], b"f" + _PARTS[0], b"b" + _SOUND, b"t" + _SOUND,
        b"a" + ADAPTER.encode(), b"a" + VECTOR.encode(), b"a" + PROJECTOR.encode(),
    ),
)  # fmt: skip
