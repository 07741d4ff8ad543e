"""Entry of every jail: `python -m corral.jail.entry_unsafe MODULE [ARG...]`.

Trust: runs in the jail before any hostile byte is read, so that what it locks holds for whatever
the program turns into. Input: argv made by the launcher.
"""

from __future__ import annotations

import importlib
import os
import resource
import sys
from typing import Final

from corral.jail.lockdown_unsafe import lock_process

_OWN_OPTIONS: Final = ("--title=", "--degraded=", "--lock=")


def main() -> None:
    """Lock this process, then call `main()` of the named module in it; there is no exec."""
    module, *args = sys.argv[1:]
    title = next((a.removeprefix("--title=") for a in args if a.startswith("--title=")), "")
    if "--lock=files" in args:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    lock_process(title, require_mdwe="--degraded=mdwe" not in args)
    os.environ.clear()  # runtimes add HOME
    sys.argv = [module, *(a for a in args if not a.startswith(_OWN_OPTIONS))]
    sys.exit(importlib.import_module(module).main())


if __name__ == "__main__":
    main()
