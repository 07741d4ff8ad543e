"""Issue a client certificate by corral's own CA, and let it stand for a tenant.

Trust: operator side. Input: an operator's words, checked. The private key is in the file that the
operator names, and nowhere else. The row goes by the certificate's fingerprint, and comes last: a
run that is killed leaves at most a certificate that is nobody.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from sqlalchemy import Engine

from corral.core.errors import CorralError
from corral.core.home import Home
from corral.core.ids import parse_tenant_name
from corral.pki.atomic import sync_folder
from corral.pki.client_authority import ensure_client_authority, sign_client
from corral.state.setup_lock import setup_lock
from corral.state.transaction import snapshot
from corral.tenancy.certificate_table import (
    CertificateRow,
    add_client_trust,
    check_role,
    fingerprint_of,
    map_certificate,
)
from corral.tenancy.tenants import find_tenant


def issue_certificate(
    home: Home, engine: Engine, place: Path, *, tenant: str, role: str, days: int
) -> CertificateRow:
    """Make a key and its certificate; on any failure there is neither a file nor a row.

    Args:
        home: state folder of an installation.
        engine: of its database.
        place: the file to make, 0600: private key and certificate as PEM.
        tenant: whom the certificate stands for.
        role: what it may do.
        days: how long it is valid, 1 to `pki.client_authority.CLIENT_DAYS_MAX`.

    Raises:
        CorralError: codes `no_such_tenant`, `bad_tenant_name`, `bad_role`, `certificate_exists`,
            `certificate_not_written`, `ca_key_missing`, `ca_unreadable`, `state_write_failed`,
            `client_ca_unusable`, `database_unavailable`.
    """
    name = parse_tenant_name(tenant)
    check_role(role)
    with snapshot(home.database) as connection:
        find_tenant(connection, name)
    with setup_lock(home), _new_file(place) as file:
        own = ensure_client_authority(home)
        pem = sign_client(home, f"{name}/{secrets.token_hex(16)}", days)
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
        sync_folder(place.parent)
        add_client_trust(engine, own)
        return map_certificate(engine, tenant=name, role=role, sha256=fingerprint_of(pem))


@contextmanager
def _new_file(place: Path) -> Iterator[BinaryIO]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    made = False
    try:
        with os.fdopen(os.open(place, flags, 0o600), "wb") as file:
            made = True
            os.fchmod(file.fileno(), 0o600)
            yield file
    except BaseException as error:
        if made:
            place.unlink(missing_ok=True)
        if isinstance(error, FileExistsError):
            raise CorralError(
                "certificate_exists", "there is a file of that name, which is not replaced",
                remedy="choose another name: --out",
            ) from error  # fmt: skip
        if isinstance(error, OSError):
            raise CorralError(
                "certificate_not_written",
                "the certificate's file cannot be written",
                remedy="look at the disk's space and who owns the folder of --out",
            ) from error
        raise
