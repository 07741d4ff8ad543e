"""Stored completions on their shelf: whose they are, what is on the disk, what is forgotten."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corral.core.errors import CorralError
from corral.core.ids import TenantName
from corral.state.schema import ensure_current
from corral.tenancy.data_keys import DataKeys
from corral.tenancy.quota import Scope
from corral.tenancy.quota_table import change_quotas
from corral.tenancy.stored import PAGE_BYTES, Shelf, forget_old, open_part, seal_part
from corral.tenancy.tenants import add_tenant, freeze_tenant, remove_tenant
from corral.tenancy.wipe import erase_tenant, freeze_for_wipe, holds

MARK = b"ZQXPLAINTEXT"
MASTER = bytes(32)
DAY_MS = 86_400_000


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "corral.db"
    ensure_current(path)
    for name in ("acme", "bolt"):
        add_tenant(path, name)
    return path


@pytest.fixture
def acme(database: Path) -> Shelf:
    return Shelf(database, TenantName("acme"), 10, 1 << 20, 30)


@pytest.fixture
def bolt(acme: Shelf) -> Shelf:
    return replace(acme, tenant=TenantName("bolt"))


@pytest.fixture
def key(database: Path) -> Callable[[str], bytes]:
    keys = DataKeys(database, MASTER)
    return lambda tenant: keys.storage_key(TenantName(tenant))


def change(database: Path, sql: str, *values: object) -> int:
    with sqlite3.connect(database) as connection:
        rows = connection.execute(sql, values).rowcount
    connection.close()
    return rows


def listed(shelf: Shelf, key: bytes, **options: object) -> tuple[list[bytes], bool] | None:
    asked = {"after": "", "order": "asc", "limit": 20, "wanted": lambda _: True} | options
    return shelf.page(key, **asked)


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(CorralError) as caught:
        call()
    return caught.value.code


@pytest.mark.claim("REST-07")
def test_no_plain_text_is_on_the_disk(acme, key, database):
    acme.put(key("acme"), "one", MARK, b"messages " + MARK)
    assert acme.find(key("acme"), "one", "answer") == MARK
    assert acme.find(key("acme"), "one", "messages") == b"messages " + MARK
    assert not holds(database, MARK)
    # The control: written as it is, it is found.
    change(database, "UPDATE stored_completions SET answer = ?", MARK)
    assert holds(database, MARK)


@pytest.mark.claim("REST-08")
def test_rows_that_were_put_in_anothers_place_are_refused(acme, bolt, key, database):
    acme.put(key("acme"), "one", b"a1", b"m1")
    acme.put(key("acme"), "two", b"a2", b"m2")
    bolt.put(key("bolt"), "three", b"a3", b"m3")

    def read(shelf: Shelf, name: str, part: str = "answer") -> bytes | None:
        return shelf.find(key(shelf.tenant), name, part)

    assert [read(acme, "one"), read(acme, "two"), read(bolt, "three")] == [b"a1", b"a2", b"a3"]
    sealed = "(SELECT answer FROM stored_completions WHERE id = ?)"
    for source, target, shelf in (("one", "three", bolt), ("one", "two", acme)):
        change(
            database, f"UPDATE stored_completions SET answer = {sealed} WHERE id = ?",
            source, target,
        )  # fmt: skip
        assert code_of(lambda s=shelf, t=target: read(s, t)) == "stored_unreadable"
        assert code_of(lambda s=shelf: listed(s, key(s.tenant))) == "stored_unreadable"
    change(database, "UPDATE stored_completions SET messages = answer WHERE id = 'one'")
    assert code_of(lambda: read(acme, "one", "messages")) == "stored_unreadable"
    assert read(acme, "one") == b"a1", "the control: what nobody touched"
    change(database, "UPDATE stored_completions SET created_ms = created_ms + 1 WHERE id = 'one'")
    assert code_of(lambda: read(acme, "one")) == "stored_unreadable"
    # A whole row under another tenant's name is that tenant's to find, and not to read.
    change(database, "UPDATE stored_completions SET tenant = 'bolt' WHERE id = 'two'")
    assert code_of(lambda: read(bolt, "two")) == "stored_unreadable"


@pytest.mark.claim("REST-08")
@given(text=st.binary(max_size=64), about=st.binary(max_size=32), bit=st.integers(0))
def test_a_flipped_bit_is_refused(text, about, bit):
    key = secrets.token_bytes(32)
    sealed = seal_part(key, about, text)
    assert open_part(key, about, sealed) == text
    place = bit % (8 * len(sealed))
    flipped = bytearray(sealed)
    flipped[place // 8] ^= 1 << place % 8
    assert code_of(lambda: open_part(key, about, bytes(flipped))) == "stored_unreadable"
    assert code_of(lambda: open_part(key, about + b"x", sealed)) == "stored_unreadable"
    assert code_of(lambda: open_part(bytes(32), about, sealed)) == "stored_unreadable"
    assert code_of(lambda: open_part(key, about, sealed[: place // 8])) == "stored_unreadable"


def test_no_nonce_comes_twice():
    nonces = {seal_part(bytes(32), b"", b"same")[:12] for _ in range(5000)}
    assert len(nonces) == 5000


@pytest.mark.claim("REST-09")
def test_another_tenants_id_is_like_none(acme, bolt, key):
    acme.put(key("acme"), "one", b"a", b"m")
    for name in ("one", "never"):
        assert bolt.find(key("bolt"), name, "answer") is None
        assert bolt.find(key("bolt"), name, "messages") is None
        assert bolt.delete(name) is False
        assert listed(bolt, key("bolt"), after=name) is None
    assert listed(bolt, key("bolt")) == ([], False)
    assert acme.delete("one") is True, "the control"
    assert acme.delete("one") is False


@pytest.mark.claim("REST-10")
def test_a_wipe_destroys_what_was_stored(acme, bolt, key, database):
    acme.put(key("acme"), "one", b"a", b"m")
    bolt.put(key("bolt"), "two", b"b", b"m")
    old_key = key("acme")
    with sqlite3.connect(database) as connection:
        (copied,) = connection.execute("SELECT answer FROM stored_completions WHERE id = 'one'")
    connection.close()
    erase_tenant(database, freeze_for_wipe(database, "acme"))
    assert not holds(database, copied[0][12:])
    assert code_of(lambda: acme.put(old_key, "late", b"a", b"m")) == "storage_refused"
    freeze_tenant(database, "acme", frozen=False)
    assert key("acme") != old_key
    assert acme.find(key("acme"), "one", "answer") is None
    # A copy of before is of no use to the new key; the old one, which is gone, would open it.
    about = acme._about("answer", "one", 1)
    assert code_of(lambda: open_part(key("acme"), about, copied[0])) == "stored_unreadable"
    assert bolt.find(key("bolt"), "two", "answer") == b"b", "the control"


def test_removed_tenants_leave_nothing(acme, key, database):
    acme.put(key("acme"), "one", b"a", b"m")
    remove_tenant(database, "acme", sure=True)
    assert change(database, "DELETE FROM stored_completions") == 0


def test_caps(acme, key):
    small = replace(acme, count_max=2)
    assert small.has_room()
    for name in ("one", "two"):
        small.put(key("acme"), name, b"a", b"m")
    assert not small.has_room()
    assert code_of(lambda: small.put(key("acme"), "three", b"a", b"m")) == "storage_full"
    assert small.delete("one")
    small.put(key("acme"), "three", b"a", b"m")
    light = replace(acme, bytes_max=300)
    assert code_of(lambda: light.put(key("acme"), "four", bytes(200), b"m")) == "storage_full"
    light.put(key("acme"), "four", bytes(50), b"m")


def test_what_is_old_is_forgotten(acme, key, database):
    for number in range(4):
        acme.put(key("acme"), f"c{number}", b"a", b"m")
    old = "UPDATE stored_completions SET created_ms = created_ms - ? WHERE id = ?"
    change(database, old, 31 * DAY_MS, "c0")
    change(database, old, 8 * DAY_MS, "c1")
    assert acme.find(key("acme"), "c0", "answer") is None
    assert acme.delete("c0") is False
    forget_old(database)  # of 30 days, where nothing else was said
    assert change(database, "UPDATE stored_completions SET id = id") == 3
    change_quotas(database, Scope("acme"), {"stored_days": 7})
    forget_old(database)
    assert change(database, "UPDATE stored_completions SET id = id") == 2
    change(database, old, 31 * DAY_MS, "c2")
    acme.put(key("acme"), "new", b"a", b"m")
    assert change(database, "UPDATE stored_completions SET id = id") == 2


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    database = tmp_path_factory.mktemp("pages") / "corral.db"
    ensure_current(database)
    add_tenant(database, "acme")
    return database


@settings(max_examples=10)
@given(
    count=st.integers(0, 9), limit=st.integers(1, 5), order=st.sampled_from(["asc", "desc"])
)  # fmt: skip
def test_pages_together_are_the_list(pages, count, limit, order):
    database = pages
    change(database, "DELETE FROM stored_completions")
    shelf, key = Shelf(database, TenantName("acme"), 10, 1 << 20, 30), bytes(32)
    names = [f"id-{number * 7 % 10}" for number in range(count)]
    for name in names:
        shelf.put(key, name, name.encode(), b"")
    # Several of one moment are told apart by their ids.
    wanted = sorted(names, key=lambda n: (_time(database, n), n), reverse=order == "desc")
    found: list[str] = []
    more = True
    while more:
        page = listed(shelf, key, after=found[-1] if found else "", order=order, limit=limit)
        assert page is not None
        assert len(page[0]) <= limit
        found += [one.decode() for one in page[0]]
        more = page[1]
    assert found == wanted


def _time(database: Path, name: str) -> int:
    with sqlite3.connect(database) as connection:
        (row,) = connection.execute(
            "SELECT created_ms FROM stored_completions WHERE id = ?", (name,)
        )
    connection.close()
    return int(row[0])


def test_a_page_is_bounded_in_bytes(acme, key):
    large = replace(acme, bytes_max=1 << 30)
    for number in range(3):
        large.put(key("acme"), f"c{number}", bytes(PAGE_BYTES // 2 + 1), b"m")
    page = listed(large, key("acme"))
    assert page is not None
    assert (len(page[0]), page[1]) == (1, True)
    assert listed(large, key("acme"), wanted=lambda _: False) == ([], False)


def test_a_database_that_is_none(acme, database):
    database.write_bytes(b"x" * 4096)
    assert code_of(acme.has_room) == "database_unavailable"
