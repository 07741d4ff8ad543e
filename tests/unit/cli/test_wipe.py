"""A tenant that was wiped: nothing of its key is anywhere in the database's files."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from corral.core.errors import CorralError
from corral.core.home import Home
from corral.core.ids import TenantName
from corral.pki.master_key import load_master_key
from corral.state.connection import open_writer
from corral.tenancy.data_keys import DataKeys, unwrap_key, wrap_key
from corral.tenancy.grants import grant_model
from corral.tenancy.keyring import Keyring
from corral.tenancy.keys import create_key
from corral.tenancy.setup import initialise
from corral.tenancy.tenants import add_tenant
from corral.tenancy.wipe import erase_tenant, freeze_for_wipe, holds
from tests.support.command_line import Corral

ACME, OTHER = TenantName("acme"), TenantName("other")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    place = Home(tmp_path / "home")
    initialise(place)
    for tenant in (ACME, OTHER):
        add_tenant(place.database, tenant)
        grant_model(place.database, tenant, "*")
    return place


def _wrapped(home: Home, tenant: str) -> bytes:
    with closing(open_writer(home.database)) as connection:
        row = connection.execute(
            "SELECT wrapped FROM tenant_keys WHERE tenant = ?", (tenant,)
        ).fetchone()
    return bytes(row[0])


@pytest.mark.claim("REST-01")
def test_keys_are_wrapped_and_bound_to_their_tenant(home: Home) -> None:
    master = load_master_key(home)
    keys = DataKeys(home.database, master)
    acme, other = keys.data_key(ACME), keys.data_key(OTHER)
    assert len({acme, other, keys.audit_key(ACME), keys.audit_key(OTHER)}) == 4
    assert not holds(home.database, acme), "the key itself is not in the database"
    assert holds(home.database, _wrapped(home, ACME)), "the search finds what is there"
    again = DataKeys(home.database, master)
    assert again.data_key(ACME) == acme
    again.close()
    swapped = _wrapped(home, OTHER)
    with closing(open_writer(home.database)) as connection:
        connection.execute("UPDATE tenant_keys SET wrapped = ? WHERE tenant = 'acme'", (swapped,))
    with pytest.raises(CorralError, match="tenant_key_unreadable"):
        keys.data_key(ACME)  # noticed at once: a key in memory is no excuse
    assert keys.data_key(OTHER) == other
    keys.close()
    wrapped = wrap_key(master, ACME, acme)
    assert unwrap_key(master, ACME, wrapped) == acme
    for place in range(len(wrapped)):
        changed = wrapped[:place] + bytes([wrapped[place] ^ 1]) + wrapped[place + 1 :]
        with pytest.raises(CorralError, match="tenant_key_unreadable"):
            unwrap_key(master, ACME, changed)
    with pytest.raises(CorralError, match="tenant_key_unreadable"):
        unwrap_key(bytes(32), ACME, wrapped)


@pytest.mark.claim("REST-02")
def test_a_wiped_key_is_nowhere(home: Home) -> None:
    keys = DataKeys(home.database, load_master_key(home))
    old, kept = keys.data_key(ACME), keys.data_key(OTHER)
    wrapped = _wrapped(home, ACME)
    token, _ = create_key(home.database, home.pepper.read_bytes(), tenant=ACME, name="k")
    keyring = Keyring(home.database, home.pepper.read_bytes())
    assert keyring.authenticate(token) is not None
    # The control: an ordinary deletion leaves the bytes where they are.
    with closing(open_writer(home.database)) as connection:
        connection.execute("PRAGMA secure_delete = OFF")
        connection.execute("DELETE FROM tenant_keys WHERE tenant = 'acme'")
        assert holds(home.database, wrapped)
        connection.execute("INSERT INTO tenant_keys VALUES ('acme', ?, 1)", (wrapped,))
    erase_tenant(home.database, freeze_for_wipe(home.database, ACME))
    assert not holds(home.database, wrapped)
    assert keyring.authenticate(token) is None
    assert (keys.data_key(OTHER), keys.data_key(ACME) == old) == (kept, False)
    erase_tenant(home.database, ACME)  # again is no error
    keys.close()
    keyring.close()
    with pytest.raises(CorralError, match="no_such_tenant"):
        freeze_for_wipe(home.database, "nobody")


@pytest.mark.claim("REST-02")
def test_a_reader_that_keeps_the_old_pages_is_told(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = DataKeys(home.database, load_master_key(home))
    keys.data_key(ACME)
    keys.close()
    wrapped = _wrapped(home, ACME)
    monkeypatch.setattr("corral.state.connection.BUSY_TIMEOUT_S", 0.05)
    with closing(sqlite3.connect(home.database)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM tenant_keys").fetchall()
        for _ in range(2):  # the row is gone after the first, and its bytes are not
            with pytest.raises(CorralError, match="wipe_incomplete"):
                erase_tenant(home.database, ACME)
            assert holds(home.database, wrapped)
    erase_tenant(home.database, ACME)
    assert not holds(home.database, wrapped)


@pytest.mark.claim("REST-02")
def test_the_command(corral: Corral, home: Home) -> None:
    place = ("--home", str(home.root))
    assert corral("tenant", "wipe", "acme", *place).code == 1, "not without --yes"
    keys = DataKeys(home.database, load_master_key(home))
    keys.data_key(ACME)
    keys.close()
    wrapped = _wrapped(home, ACME)
    done = corral("tenant", "wipe", "acme", "--yes", "--json", *place)
    assert done.document == {"name": "acme", "wiped": True, "stopped": 0}
    found = [
        path for path in home.root.rglob("*") if path.is_file() and wrapped in path.read_bytes()
    ]
    assert found == []
    exported = corral("audit", "export", "--tenant", "acme", *place).out
    assert '"action":"tenant:wipe"' in exported
    assert '"code":"ok"' in exported
