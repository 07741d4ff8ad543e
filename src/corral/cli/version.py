"""`corral version`: what is installed here.

Trust: operator side. Input: none.
"""

from __future__ import annotations

import platform
from importlib.metadata import version as installed

from corral import __version__
from corral.cli.options import JsonOption
from corral.cli.terminal import print_json, screen


def version(as_json: JsonOption = False) -> None:
    """Print the versions of corral, its engine and Python.

    Example: corral version --json
    """
    versions = {
        "corral": __version__,
        "engine": f"xllamacpp {installed('xllamacpp')}",
        "python": platform.python_version(),
    }
    if as_json:
        print_json(versions)
    else:
        screen().print(
            "  ".join(f"{name} {text}" for name, text in versions.items()), soft_wrap=True
        )
