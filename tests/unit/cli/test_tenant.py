from __future__ import annotations

from corral.core.home import Home
from tests.support.command_line import Corral


def test_add_list_freeze_thaw(corral: Corral, home: Home) -> None:
    place = ("--home", str(home.root))
    assert corral("tenant", "add", "acme", *place, "--json").document["name"] == "acme"
    assert corral("tenant", "add", "acme", *place, "--json").error_code == "tenant_exists"
    assert corral("tenant", "add", "A b", *place, "--json").error_code == "bad_tenant_name"
    assert corral("tenant", "freeze", "acme", *place).code == 0
    listed = {t["name"]: t for t in corral("tenant", "list", *place, "--json").document}
    assert listed["acme"]["frozen_at"] is not None
    assert "frozen" in corral("tenant", "list", *place).out
    assert corral("tenant", "thaw", "acme", *place, "--json").document["frozen"] is False
    assert corral("tenant", "freeze", "nobody", *place, "--json").error_code == "no_such_tenant"


def test_show_and_remove(corral: Corral, home: Home) -> None:
    place = ("--home", str(home.root))
    corral("tenant", "add", "acme", *place)
    corral("key", "create", "acme", *place)
    assert corral("tenant", "show", "acme", *place, "--json").document["live_keys"] == 1
    assert "1 live of 1" in corral("tenant", "show", "acme", *place).out
    assert corral("tenant", "remove", "acme", *place, "--json").error_code == "tenant_in_use"
    removed = corral("tenant", "remove", "acme", "--yes", *place, "--json").document
    assert removed == {"name": "acme", "removed": True, "revoked_keys": 1}
    assert corral("tenant", "add", "acme", *place, "--json").error_code == "tenant_name_used"
    assert corral("tenant", "add", "acme", "--reuse", *place).code == 0
