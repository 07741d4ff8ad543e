"""`corral cert` by its verbs."""

from __future__ import annotations

from pathlib import Path

from corral.core.home import Home
from tests.support.client_ca import authority
from tests.support.command_line import Corral


def test_certificates_are_trusted_mapped_listed_and_revoked(
    corral: Corral, home: Home, tmp_path: Path
) -> None:
    place = ("--home", str(home.root), "--json")
    ca = authority()
    leaf = ca.client()
    trusted, file = tmp_path / "ca.pem", tmp_path / "leaf.pem"
    trusted.write_text(ca.pem)
    file.write_text(leaf.pem)
    said = corral("cert", "trust", str(trusted), "--required", *place).document
    assert said == {"authorities": 1, "required": True}
    by_file = corral("cert", "map", "default", "--file", str(file), *place).document
    assert (by_file["id"], by_file["sha256"], by_file["role"]) == (1, leaf.sha256, "user")
    by_uri = corral("cert", "map", "default", "--uri", "x:y", "--role", "auditor", *place).document
    assert (by_uri["uri"], by_uri["role"]) == ("x:y", "auditor")
    assert corral("cert", "revoke", leaf.sha256, *place).code == 0
    again = corral("cert", "map", "default", "--file", str(file), *place)
    assert (again.code, again.error_code) == (1, "certificate_revoked")
    rows = corral("cert", "list", *place).document
    assert [(row["id"], row["revoked_at"] is None) for row in rows] == [(1, False), (2, True)]
    assert "x:y" in corral("cert", "list", *place[:2]).out
    assert corral("cert", "trust", "--none", *place).document["authorities"] == 0
    assert corral("cert", "trust", *place).code == 2
    assert corral("cert", "trust", str(file), *place).error_code == "client_ca_unusable"
    assert corral("cert", "trust", "/nowhere", *place).error_code == "bad_certificate"
    of_one = ("--tenant", "default", "--key", "cert-2", "tokens_per_day=9")
    assert corral("quota", "set", *of_one, *place).code == 0
    assert "cert-2" in corral("quota", "show", *place[:2]).out
