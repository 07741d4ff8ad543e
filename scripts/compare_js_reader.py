"""Whether Hugging Face's JavaScript parser reads in an accepted file what we read.

`make compare-js-reader [SEED=n]`: the files of the differential tests and thousands of mutations of
them; of those that a scan does not reject, each is read by both. Exits 1 if one is read otherwise,
2 if there is no Node.js. The parser is pinned in scripts/js_reader/package-lock.json.
"""

from __future__ import annotations

import json
import random
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from gguf import GGMLQuantizationType

from fuzz.mutation import mutate
from tests.support.library_reader import read_by_us
from tests.support.scanned import scan
from tests.unit.admission.scan.test_differential import READ

HERE: Final = Path(__file__).parent / "js_reader"
FILES: Final = 6000


def accepted(seed: int) -> list[bytes]:
    """Return the sound files, and mutations of them that a scan does not reject."""
    chance = random.Random(seed)
    sound = [file.encode() for file in READ.values()]
    mutations = (mutate(chance.choice(sound), chance) for _ in range(FILES))
    return sound + [raw for raw in mutations if scan(raw).verdict != "reject"]


def shown(value: Any) -> str:
    """Return a value as read.mjs writes it."""
    if isinstance(value, bytes):
        return f"s:{value.hex()}"
    return f"n:{int(value) if isinstance(value, bool) else value}"


def is_same(ours: str, theirs: str) -> bool:
    """Return whether two values are one: numbers as numbers, since each language writes its own."""
    if ours == theirs or ours[0] == "s" or theirs[0] == "s":
        return ours == theirs
    one, other = float(ours[2:]), float(theirs[2:])
    return struct.pack("d", one) == struct.pack("d", other)


def difference(raw: bytes, read: dict[str, Any]) -> str:
    """Return what is read otherwise; empty: nothing."""
    if "error" in read:
        return f"refused: {read['error']}"
    values, tensors = read_by_us(raw)
    theirs = {key: rest for key, *rest in read["values"]}
    if list(theirs) != [shown(key.encode()) for key in values]:
        return "other keys"
    for key, (kind, is_list, items) in values.items():
        their_kind, their_list, their_items = theirs[shown(key.encode())]
        same_kind = (kind, is_list) == (their_kind, their_list)
        same = len(items) == len(their_items) and all(
            is_same(shown(one), other) for one, other in zip(items, their_items, strict=True)
        )
        if not (same_kind and same):
            return f"another value of {key!r}"
    ours = [
        (shown(name.encode()), [str(n) for n in shape], kind, offset)
        for name, shape, kind, offset, _ in tensors
    ]
    found = [
        (name, shape, GGMLQuantizationType(kind).name, int(read["start"]) + int(offset))
        for name, shape, kind, offset in read["tensors"]
    ]
    return "" if ours == found else "other tensors"


def main() -> int:
    """Compare, print the figures, and say by the exit code whether all was read the same."""
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        print("needs Node.js and npm: apt-get install nodejs npm", file=sys.stderr)
        return 2
    subprocess.run([npm, "ci", "--silent", "--ignore-scripts"], cwd=HERE, check=True)
    files = accepted(seed)
    with tempfile.TemporaryDirectory() as folder:
        for number, raw in enumerate(files):
            (Path(folder) / f"{number:05d}.gguf").write_bytes(raw)
        done = subprocess.run(
            [node, HERE / "read.mjs", folder], check=True, capture_output=True, text=True
        )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    found = [
        (line["name"], text)
        for raw, line in zip(files, lines, strict=True)
        if (text := difference(raw, line))
    ]
    for name, text in found:
        print(f"{name}: {text}")
    print(
        f"seed {seed}: {len(READ)} sound files and {FILES} mutations, {len(files)} accepted, "
        f"{len(found)} read otherwise by @huggingface/gguf"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
