"""`corral reload`: make the running server read its certificates again.

Trust: operator side. Input: none.
"""

from __future__ import annotations

import signal

from corral.cli.options import HomeOption, JsonOption
from corral.cli.server import signal_server
from corral.cli.terminal import print_json, print_note
from corral.core.home import Home


def reload(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Make the running server read its certificates again, without dropping a connection.

    Keys, tenants, grants and models need no reload: changes act at once.

    Example: corral reload
    """
    pid = signal_server(Home.locate(home), signal.SIGHUP)
    if as_json:
        print_json({"reloaded": True, "pid": pid})
    else:
        print_note("the server reads its certificates again")
