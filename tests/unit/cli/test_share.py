from __future__ import annotations

from corral.core.home import Home
from tests.support.admitted_row import make_receipt, put_receipt
from tests.support.command_line import Corral


def test_offer_accept_end(corral: Corral, home: Home) -> None:
    place = ("--home", str(home.root), "--json")
    put_receipt(home, make_receipt(name="smol"))
    for tenant in ("acme", "bolt"):
        corral("tenant", "add", tenant, *place)
    offer = ("share", "offer", "smol", "--from", "acme", "--to", "bolt", *place)
    assert corral(*offer).error_code == "model_not_found"
    corral("grant", "add", "acme", "smol", *place)
    offered = corral(*offer).document
    assert (offered["from"], offered["to"], offered["status"]) == ("acme", "bolt", "offered")
    assert corral("share", "list", "--tenant", "bolt", *place).document == [offered]
    number = str(offered["id"])
    foreign = corral("share", "accept", number, "--tenant", "acme", *place)
    assert foreign.error_code == "share_not_found"
    accepted = corral("share", "accept", number, "--tenant", "bolt", *place).document
    assert (accepted["status"], accepted["sha256"]) == ("accepted", "a" * 64)
    assert "accepted" in corral("share", "list", *place[:2]).out
    ended = corral("share", "end", number, "--tenant", "acme", *place).document
    assert ended["status"] == "ended"
    assert corral("share", "list", *place).document == []
    assert "no shares" in corral("share", "list", *place[:2]).err
