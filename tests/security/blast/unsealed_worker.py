"""Workers that say `ready` and are not sealed, as code that took over during the load would.

Which lie it is, its tenant's name says; other tenants get `hostile_worker.py`. Standard library and
corral only: it runs in the engine image, in the worker's place, behind the real launcher, gateway
and profile.
"""

import os
import struct
import sys
from contextlib import suppress

from corral.engine import genuine
from corral.engine.plain_json import encode
from corral.jail import seal_unsafe
from corral.jail.filter import ALLOW

ALLOW_ALL = struct.pack("=HBBI", 0x06, 0, 0, ALLOW)


class Bare(genuine.Seal):
    """No last filter at all."""

    def finish(self) -> None:
        os.closerange(3, 1024)


class Half(genuine.Seal):
    """The last filter in the main thread, and in none of the engine's."""

    def finish(self) -> None:
        seal_unsafe._TSYNC = 0
        super().finish()


class Holding(genuine.Seal):
    """Everything but that the model's descriptor stays open."""

    def finish(self) -> None:
        os.closerange = lambda *_: None
        super().finish()


class Forged(genuine.Seal):
    """A filter more, which allows everything: nobody outside can tell it from the right one."""

    def finish(self) -> None:
        os.closerange(3, 1024)
        seal_unsafe.install_filter(ALLOW_ALL)


LIES = {"bare": Bare, "half": Half, "holding": Holding, "forged": Forged}


class Talkative(genuine.Worker):
    """Says, in place of an answer, what it can still do."""

    def _answer(self, request, turn):  # type: ignore[no-untyped-def]
        able = ["serve"]
        for name, attempt in (
            ("uname", os.uname),
            ("exec", lambda: os.execv("/opt/python/bin/corral-engine", ["x"])),
            ("fork", os.fork),
        ):
            with suppress(PermissionError):
                attempt()
                able.append(name)
        turn.take(encode({"choices": [{"text": " ".join(able)}]}))


def main() -> None:
    title = next(a for a in sys.orig_argv if a.startswith("--title="))
    lie = next((LIES[name] for name in LIES if f"={name}/" in title), None)
    if lie is None:
        from corral.engine import hostile

        hostile.main()
        return
    genuine.Seal = lie  # type: ignore[misc]
    genuine.Worker = Talkative  # type: ignore[misc]
    genuine.main()
