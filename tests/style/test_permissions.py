"""Every address names what a credential needs for it, and only known ones are open to strangers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from corral.gateway.app import ADDRESSES, STRANGERS
from corral.tenancy.permissions import OUTLASTING, Permission

ROOT = Path(__file__).parents[2]
OPEN = {"/healthz", "/readyz", "/admin/v1/openapi.json", "/admin/v1/docs"}


def test_every_address_names_its_permission() -> None:
    for address in ADDRESSES:
        if address.path in OPEN:
            assert address.permission is STRANGERS, address.path
        else:
            assert isinstance(address.permission, Permission), address.path
    assert len({(one.method, one.path) for one in ADDRESSES}) == len(ADDRESSES)


@pytest.mark.claim("PERM-09")
def test_every_change_but_a_completion_needs_what_a_replaced_secret_has_not() -> None:
    changes = [one for one in ADDRESSES if one.method != "GET" and one.path not in OPEN]
    asking = {"/v1/chat/completions", "/v1/completions"}
    assert {one.path for one in changes if one.needs not in OUTLASTING} == asking
    assert len(changes) > len(asking) + 8
    assert not {one.needs for one in ADDRESSES if one.method == "GET"} & OUTLASTING - {
        Permission.MODEL_SHARE
    }


def test_the_table_is_the_only_place_where_routes_are_made() -> None:
    made = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "src" / "corral").rglob("*.py")
        if re.search(r"\b(Route|Mount|WebSocketRoute)\(", path.read_text(encoding="utf-8"))
    }
    assert made == {"src/corral/gateway/app.py"}


def test_the_page_for_users_has_every_permission() -> None:
    page = (ROOT / "docs" / "tenants.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([a-z]+:[a-z-]+)` \|", page, re.MULTILINE)) == set(Permission)
