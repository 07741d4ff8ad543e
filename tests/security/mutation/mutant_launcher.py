"""The real launcher, in a process of the test, with one wall taken away. Not shipped.

argv: the source folder, the repository's root, a file that names the walls to remove (read at each
start of a jail), and the launcher's own arguments.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main() -> None:
    source, root, chosen, *argv = sys.argv[1:]
    sys.path[:0] = [source, root]
    from corral.launcher import main as launcher
    from corral.launcher import namespaces_unsafe, pen, stage
    from tests.security.mutation.walls import BASES, WALLS

    control = os.open(chosen, os.O_RDONLY)  # before the launcher hides folders from itself
    control = os.dup2(control, 200)

    def removed() -> list[str]:
        return [n for n in os.pread(control, 4096, 0).decode().splitlines() if n]

    compile_bundle, start_bundle = pen.compile_bundle, pen.start_bundle

    def compile_mutant(*args, **named):  # type: ignore[no-untyped-def]
        bundle = compile_bundle(*args, **named)
        for name in removed():
            if name in WALLS | BASES:
                (WALLS | BASES)[name].change(bundle)
        return bundle

    def start_mutant(runtime, name, document, stdio, extra, *rest, **named):  # type: ignore[no-untyped-def]
        if "descriptor hygiene" in removed():
            extra = [*extra, os.open("/", os.O_RDONLY | os.O_DIRECTORY)]
        return start_bundle(runtime, name, document, stdio, extra, *rest, **named)

    pen.compile_bundle, pen.start_bundle = compile_mutant, start_mutant
    if "read-only root" in removed():
        flags = stage._flags
        stage._flags = lambda target: (
            flags(target) & ~1 if target.parent == stage.IMAGES else flags(target)
        )
        whole = pen.compile_bundle

        def writable(*args, **named):  # type: ignore[no-untyped-def]
            bundle = whole(*args, **named)
            bundle["root"]["readonly"] = False
            return bundle

        pen.compile_bundle = writable
    if "launcher capabilities" in removed():
        namespaces_unsafe.linux.keep_capabilities = lambda _: None  # type: ignore[assignment]
    Path(chosen).stat()
    launcher.main(argv)


main()
