"""Which shared libraries a set of binaries needs, by asking the system's own `ldd`.

Trust: trusted base. Input: binaries of corral's own installation, whose hashes the lock file pins;
`ldd` maps them without running their code.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Final

_ABSOLUTE: Final = re.compile(r"(?:=> )?(/\S+) \(0x[0-9a-f]+\)$")


def list_libraries(binaries: list[Path]) -> list[Path]:
    """Return absolute paths of every library that `binaries` load, the dynamic loader too.

    Raises:
        OSError: `ldd` is missing.
    """
    found: set[Path] = set()
    if not binaries:
        return []
    done = subprocess.run(
        ["/usr/bin/ldd", *map(str, binaries)],
        capture_output=True, text=True, check=False, env={"LC_ALL": "C"}, timeout=120,
    )  # fmt: skip
    for line in done.stdout.splitlines():
        match = _ABSOLUTE.search(line.strip())
        if match:
            found.add(Path(match.group(1)))
    return sorted(found)
