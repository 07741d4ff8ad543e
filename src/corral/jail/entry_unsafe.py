"""Entry of every jail: `python -I -S -B /opt/python/jail.py MODULE [ARG...]` (a link to this file).

Trust: runs in the jail before any hostile byte is read, so that what it locks holds for whatever
the program turns into. Input: argv made by the launcher.

It is run as a script and without `site`: what `-m` imports to find a module (`runpy`, `pkgutil`,
`contextlib`, ...) would stay in the memory of every worker.
"""

from __future__ import annotations

import os
import sys

_OWN_OPTIONS = ("--title=", "--degraded=", "--lock=", "--require=", "--env=")


def main() -> None:
    """Lock this process, then call `main()` of the named module in it; there is no exec."""
    from corral.jail.hardware_unsafe import lock_hardware
    from corral.jail.lockdown_unsafe import forbid_file_growth, lock_process

    module, *args = sys.argv[1:]
    title = next((a.removeprefix("--title=") for a in args if a.startswith("--title=")), "")
    if "--lock=files" in args:
        forbid_file_growth()
    lock_process(title, require_mdwe="--degraded=mdwe" not in args)
    required = next((a.removeprefix("--require=") for a in args if a.startswith("--require=")), "")
    lock_hardware(tuple(required.split(",")))
    os.environ.clear()  # runtimes add HOME
    for one in args:
        if one.startswith("--env="):
            name, _, value = one.removeprefix("--env=").partition("=")
            os.environ[name] = value
    sys.argv = [module, *(a for a in args if not a.startswith(_OWN_OPTIONS))]
    __import__(module)
    sys.exit(sys.modules[module].main())


if __name__ == "__main__":
    # The folder that holds the package `corral`: site-packages of the image.
    sys.path.append(os.path.realpath(f"{os.path.realpath(__file__)}/../../.."))
    main()
