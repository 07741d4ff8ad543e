"""What a running server was started with, as far as `corral reload` must know it.

Trust: operator side. Input: a file of the state folder that `corral up` wrote when it was ready.
The configuration file is no substitute: it may have changed since, and options came on top of it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from corral.core.errors import CorralError
from corral.core.home import Home


@dataclass(frozen=True, slots=True)
class Serving:
    """Where a server's certificate comes from.

    Attributes:
        pid: of the server that this is true of.
        names: what corral's own certificate must carry besides the loopback names.
        cert_file: the operator's certificate; empty means corral's own.
        key_file: the key of `cert_file`.
    """

    pid: int
    names: tuple[str, ...]
    cert_file: str
    key_file: str


def note_serving(home: Home, serving: Serving) -> None:
    """Write down what the server was started with.

    Raises:
        CorralError: code `state_write_failed`.
    """
    from corral.pki.atomic import write_atomically

    write_atomically(_file(home), json.dumps(asdict(serving)).encode(), mode=0o600)


def noted_serving(home: Home, pid: int) -> Serving:
    """Return what the running server was started with.

    Args:
        home: state folder.
        pid: the running server; a note of another one is not believed.

    Raises:
        CorralError: code `not_ready`.
    """
    try:
        document = json.loads(_file(home).read_bytes())
        noted = Serving(
            pid=int(document["pid"]),
            names=tuple(str(name) for name in document["names"]),
            cert_file=str(document["cert_file"]),
            key_file=str(document["key_file"]),
        )
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        noted = None
    if noted is None or noted.pid != pid:
        raise CorralError(
            "not_ready",
            "the server has not said yet that it serves, or it is of an older version",
            remedy="wait until corral up is ready; restart a server of an older version",
        )
    return noted


def _file(home: Home) -> Path:
    return home.run / "serving.json"
