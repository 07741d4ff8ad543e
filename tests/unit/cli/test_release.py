from __future__ import annotations

from corral.core.home import Home
from corral.tenancy.ward import Ward
from tests.support.command_line import Corral


def test_a_quarantine_is_released_once(corral: Corral, home: Home) -> None:
    place = ("--home", str(home.root))
    ward = Ward(home.database)
    for model in ("smol", "big"):
        ward.hold("acme", model.ljust(64, "0"), model=model, crashes=5, seconds=60)
    ward.close()
    assert corral("release", "acme", "smol", *place, "--json").document == {
        "tenant": "acme", "model": "smol", "quarantined": False,
    }  # fmt: skip
    again = corral("release", "acme", "smol", *place, "--json")
    assert (again.code, again.error_code) == (1, "not_quarantined")
    assert corral("release", "other", "big", *place, "--json").error_code == "not_quarantined"
    assert "acme may use big again" in corral("release", "acme", "big", *place).err
