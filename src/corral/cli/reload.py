"""`corral reload`: make the running server read its certificates again, and see that it did.

Trust: operator side. Input: certificate files of the operator, checked; log lines of the gateway,
of which only two events and one code word are believed.

 1 what the server was started with      2 the certificate: the operator's is checked, corral's own
 is renewed if it must be                3 SIGHUP            4 wait for the gateway's own word
"""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, Final

from corral.cli.options import HomeOption, JsonOption, effective_config
from corral.cli.server import server_pid, signal_server
from corral.cli.serving import Serving, noted_serving
from corral.cli.terminal import print_json, print_note
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.state.setup_lock import setup_lock

WAIT_S: Final = 15.0
_POLL_S: Final = 0.02
_CODE: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")


def reload(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Make the running server read its certificates again, without dropping a connection.

    A certificate that cannot be served with is refused, and the old one stays in use. corral's own
    is renewed if it ends within 30 days. Keys, tenants, grants and models need no reload: changes
    act at once. The keys of OIDC providers are fetched anew.

    Example: corral reload
    """
    place = Home.locate(home)
    pid = server_pid(place)  # step 1
    serving = noted_serving(place, pid)
    with setup_lock(place), _log_from_now(place) as log:
        renewed = fit_certificate(place, serving)  # step 2
        signal_server(place, signal.SIGHUP)  # step 3
        await_outcome(log, WAIT_S)  # step 4
    _renew_provider_keys(place)
    if as_json:
        print_json({"reloaded": True, "renewed": renewed, "pid": pid})
    else:
        print_note("the server uses a new certificate of its own CA" if renewed else
                   "the server has read its certificate again")  # fmt: skip


def _renew_provider_keys(home: Home) -> None:
    """Fetch the keys of OIDC providers anew, where there are any.

    Raises:
        CorralError: a provider's keys could not be fetched; the old ones stay in use.
    """
    config = effective_config(home)
    if config.identity.oidc:
        from corral.cli.oidc import refresh_keys

        for error in refresh_keys(home, config).values():
            if error is not None:
                raise error


def fit_certificate(home: Home, serving: Serving) -> bool:
    """Make sure that what the server is going to read can be served with.

    Returns:
        Whether corral's own certificate was renewed.

    Raises:
        CorralError: codes of `load_or_check_operator_certificate`, `ensure_authority` and
            `ensure_server_certificate`; `no_permission`.
    """
    from corral.pki.authority import (
        ensure_authority,
        ensure_server_certificate,
        load_or_check_operator_certificate,
    )

    if serving.cert_file:
        load_or_check_operator_certificate(serving.cert_file, serving.key_file)
        return False
    if home.tls.stat().st_uid != os.geteuid():
        # Root could write there, but the server could not read what root has written.
        raise CorralError(
            "no_permission",
            "only the owner of the state folder can renew its certificates",
            remedy="run as the user that the server runs as",
        )
    ensure_authority(home)
    return ensure_server_certificate(home, serving.names)


def await_outcome(log: BinaryIO, wait_s: float) -> None:
    """Wait until the gateway says that it uses the new certificate.

    Args:
        log: the server's log, positioned where it ended before the signal.
        wait_s: how long to wait.

    Raises:
        CorralError: codes `tls_reload_failed`, `reload_unconfirmed`.
    """
    deadline = time.monotonic() + wait_s
    pending = b""
    while time.monotonic() < deadline:
        piece = log.read(65536)
        if not piece:
            time.sleep(_POLL_S)
            continue
        *lines, pending = (pending + piece).split(b"\n")
        for event, code in map(_gateway_event, lines):
            if event == "tls_reloaded":
                return
            if event == "tls_reload_failed":
                raise CorralError(
                    "tls_reload_failed",
                    f"the server cannot use the new certificate ({code}) and keeps the old one",
                    remedy="put the certificate and its key right, then again: corral reload",
                )
    raise CorralError(
        "reload_unconfirmed",
        f"the server has not said within {wait_s:.0f} s whether it uses the new certificate",
        remedy="see what it does with: corral logs",
    )


def _gateway_event(line: bytes) -> tuple[str, str]:
    """Return event and code of a line of the gateway, else empty words."""
    try:
        record = json.loads(line)
    except ValueError:
        return "", ""
    if not isinstance(record, dict) or record.get("module") != "gateway.main":
        return "", ""
    code = str(record.get("code", ""))
    return str(record.get("event", "")), code if _CODE.fullmatch(code) else "unknown"


@contextmanager
def _log_from_now(home: Home) -> Iterator[BinaryIO]:
    try:
        log = home.log_file.open("rb", buffering=0)
    except FileNotFoundError as error:
        raise CorralError(
            "no_log", "there is no log from which the outcome could be read",
            remedy="restart the server: corral stop, then corral up",
        ) from error  # fmt: skip
    with log:
        log.seek(0, os.SEEK_END)
        yield log
