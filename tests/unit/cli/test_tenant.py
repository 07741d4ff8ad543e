from __future__ import annotations

from corral.core.home import Home
from tests.support.command_line import Corral


def test_add_list_freeze(corral: Corral, home: Home) -> None:
    place = ("--home", str(home.root))
    assert corral("tenant", "add", "acme", *place, "--json").document["name"] == "acme"
    assert corral("tenant", "add", "acme", *place, "--json").error_code == "tenant_exists"
    assert corral("tenant", "add", "A b", *place, "--json").error_code == "bad_tenant_name"
    assert corral("tenant", "freeze", "acme", *place).code == 0
    listed = {t["name"]: t for t in corral("tenant", "list", *place, "--json").document}
    assert listed["acme"]["frozen_at"] is not None
    assert "frozen" in corral("tenant", "list", *place).out
    assert corral("tenant", "unfreeze", "acme", *place, "--json").document["frozen"] is False
    assert corral("tenant", "freeze", "nobody", *place, "--json").error_code == "no_such_tenant"
