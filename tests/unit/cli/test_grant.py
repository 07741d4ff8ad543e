from __future__ import annotations

from corral.core.home import Home
from tests.support.command_line import Corral


def test_add_list_revoke(corral: Corral, home: Home) -> None:
    place = ("--home", str(home.root))
    corral("tenant", "add", "acme", *place)
    assert corral("grant", "add", "acme", "smol", *place, "--json").document["granted"] is True
    assert corral("grant", "add", "nobody", "smol", *place, "--json").error_code == "no_such_tenant"
    listed = corral("grant", "list", "--tenant", "acme", *place, "--json").document
    assert [(g["tenant"], g["model"]) for g in listed] == [("acme", "smol")]
    assert "smol" in corral("grant", "list", *place).out
    assert corral("grant", "revoke", "acme", "smol", *place).code == 0
    assert corral("grant", "revoke", "acme", "smol", *place, "--json").error_code == "no_such_grant"
    empty = corral("grant", "list", "--tenant", "acme", *place)
    assert (empty.out, "no grants" in empty.err) == ("", True)
