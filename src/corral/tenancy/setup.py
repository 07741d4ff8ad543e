"""Make a state folder ready: folders, secrets, certificates, database, first tenants and keys.

Trust: operator side, often root. Must never take over a folder that is not corral's, and never
replace a secret that something already depends on.
Input: the operator's choice of folder, checked.

The steps, in this order; each does nothing when it is done already, so an interrupted run is
completed by the next:
 1 folders with their modes   2 pepper   3 receipt, audit and master key   4 CA, server certificate
 5 database and schema        6 first tenants, grants and keys, in one transaction
A folder is new until step 5 is done; what the caller wants in a new one is done just before that,
under the same lock.
The keys come last: they are either shown to the caller or do not exist (only a crash between that
commit and the showing loses them; `corral key create` makes others). A caller that delivers them
itself does so before the commit: keys that could not be delivered are never made.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from corral.core.errors import CorralError
from corral.core.home import Home
from corral.pki.atomic import write_atomically
from corral.pki.audit_key import ensure_audit_key
from corral.pki.authority import ensure_authority, ensure_server_certificate
from corral.pki.master_key import ensure_master_key, master_key_file
from corral.pki.receipt_key import ensure_receipt_key
from corral.state.connection import read_rows
from corral.state.schema import ensure_current
from corral.state.setup_lock import setup_lock
from corral.tenancy.token import PEPPER_BYTES, load_pepper

if TYPE_CHECKING:
    from corral.tenancy.first_keys import FirstKeys

_PASSABLE: Final = 0o711
_PRIVATE: Final = 0o700


def initialise(
    home: Home,
    deliver: Callable[[FirstKeys], None] | None = None,
    *,
    on_new: Callable[[Home], None] | None = None,
) -> FirstKeys | None:
    """Make or complete the state folder; safe to call at every start and from two processes.

    Args:
        home: the folder need not exist.
        deliver: gets the first keys before they are valid; if it raises, there are none.
        on_new: called in a folder that is new, with folders, secrets and certificates in it.

    Returns:
        The first keys if this run made them, else None.

    Raises:
        CorralError: codes `home_unusable`, `home_not_empty`, `home_unsafe`, `pepper_missing`,
            `bad_pepper`, `receipt_key_missing`, `master_key_missing`, and those of `pki` and
            `state`.
    """
    with _prepared(home, on_new):
        if read_rows(home.database, "SELECT 1 FROM tenants WHERE name = 'default'"):
            return None
        from corral.tenancy.first_keys import make_first_keys

        return make_first_keys(home.database, load_pepper(home.pepper), deliver)


def prepare_home(home: Home, *, on_new: Callable[[Home], None] | None = None) -> None:
    """Do steps 1 to 5 only: enough to admit models; the first keys wait for who can show them.

    Args:
        home: as for `initialise`.
        on_new: as for `initialise`.

    Raises:
        CorralError: as `initialise`.
    """
    with _prepared(home, on_new):
        return


@contextmanager
def _prepared(home: Home, on_new: Callable[[Home], None] | None) -> Iterator[None]:
    _make_root(home)
    with setup_lock(home):
        _make_folders(home)
        old = home.database.exists()
        if old:
            ensure_current(home.database)
        _ensure_pepper(home, old=old)
        _ensure_receipt_key(home, old=old)
        ensure_audit_key(home)
        _ensure_master_key(home, old=old)
        ensure_authority(home)
        if not home.server_cert.exists():
            ensure_server_certificate(home, ())
        if not old:
            if on_new is not None:
                on_new(home)
            ensure_current(home.database)
        yield


def _folders(home: Home) -> tuple[tuple[Path, int], ...]:
    # Passable: jails reach their bind mounts through these with an unprivileged uid, and clients
    # on this host read ca.crt; without the listing right, nobody can look around.
    return (
        (home.root, _PASSABLE),
        (home.state, _PRIVATE),
        (home.secrets, _PRIVATE),
        (home.tls, _PASSABLE),
        (home.blobs.parent, _PASSABLE),
        (home.blobs, _PASSABLE),
        (home.quarantine, _PRIVATE),
        (home.images, _PASSABLE),
        (home.run, _PRIVATE),
        (home.log_file.parent, _PRIVATE),
    )


def _make_root(home: Home) -> None:
    try:
        home.root.mkdir(mode=_PASSABLE, parents=True, exist_ok=True)
        entries = {entry.name for entry in home.root.iterdir()}
    except OSError as error:
        raise CorralError(
            "home_unusable",
            "the state folder cannot be made or read",
            remedy="choose another: --home DIR",
        ) from error
    # The folder's mode is about to change: never that of a folder which is something else's.
    known = {path.name for path, _ in _folders(home)} | {"store", home.config_file.name}
    if entries and not entries & known:
        raise CorralError(
            "home_not_empty",
            "the state folder holds other things and nothing of corral's",
            remedy="choose an empty or a new folder: --home DIR",
        )


def _make_folders(home: Home) -> None:
    for path, mode in _folders(home):
        try:
            path.mkdir(mode=mode, exist_ok=True)
            found = path.lstat()
            if not stat.S_ISDIR(found.st_mode):
                raise _unsafe(path)
            # Another owner could change everything below; only root may hand `state` to the
            # gateway's uid and still run here.
            handed = path == home.state and os.geteuid() == 0
            if found.st_uid != os.geteuid() and not handed:
                raise _unsafe(path)
            if stat.S_IMODE(found.st_mode) != mode:
                path.chmod(mode)
        except OSError as error:
            raise _unsafe(path) from error


def _ensure_pepper(home: Home, *, old: bool) -> None:
    if home.pepper.exists():
        load_pepper(home.pepper)
        return
    if old and read_rows(home.database, "SELECT 1 FROM keys LIMIT 1"):
        raise CorralError(
            "pepper_missing",
            "there are API keys, but the pepper that checks them is gone",
            remedy="restore the state folder's secrets/pepper from a backup",
        )
    write_atomically(home.pepper, secrets.token_bytes(PEPPER_BYTES), mode=0o600)


def _ensure_receipt_key(home: Home, *, old: bool) -> None:
    if (
        not home.receipt_key.exists()
        and old
        and read_rows(home.database, "SELECT 1 FROM models LIMIT 1")
    ):
        raise CorralError(
            "receipt_key_missing",
            "there are admitted models, but the key that signed their receipts is gone",
            remedy="restore the state folder's secrets/receipt.key from a backup",
        )
    ensure_receipt_key(home)


def _ensure_master_key(home: Home, *, old: bool) -> None:
    if (
        not master_key_file(home).exists()
        and old
        and read_rows(home.database, "SELECT 1 FROM tenant_keys LIMIT 1")
    ):
        raise CorralError(
            "master_key_missing",
            "there are tenants' keys, but the key that protects them is gone",
            remedy="restore the state folder's secrets/master.key from a backup",
        )
    ensure_master_key(home)


def _unsafe(path: Path) -> CorralError:
    return CorralError(
        "home_unsafe",
        f"{path.name!r} in the state folder is not a folder of the user who runs this",
        remedy="run as the folder's owner, or choose another folder: --home DIR",
    )
