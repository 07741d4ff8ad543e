"""`corral cert` by its verbs."""

from __future__ import annotations

import re
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from corral.core.home import Home
from corral.pki.client_authority import client_ca_key_file, read_client_authority
from corral.state.connection import read_rows
from corral.tenancy.certificate_table import fingerprint_of
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


@pytest.mark.claim("MTLS-09")
def test_one_is_issued_into_a_new_file_and_nothing_is_left_of_a_failure(
    corral: Corral, home: Home, tmp_path: Path
) -> None:
    place = ("--home", str(home.root), "--json")
    file = tmp_path / "alice.pem"
    issue = ("cert", "issue", "default", "--out")
    assert corral("cert", "issue", "nobody", "--out", str(file), *place).error_code == (
        "no_such_tenant"
    )
    assert corral(*issue, str(file), "--role", "king", *place).error_code == "bad_role"
    assert corral(*issue, str(file), "--days", "398", *place).code == 2
    assert read_client_authority(home) is None, "nothing was begun"

    said = corral(*issue, str(file), "--role", "auditor", "--days", "3", *place).document
    leaf = x509.load_pem_x509_certificate(file.read_bytes())
    assert said["sha256"] == fingerprint_of(file.read_bytes()) == leaf.fingerprint(SHA256()).hex()
    assert (said["id"], said["tenant"], said["role"], said["days"]) == (1, "default", "auditor", 3)
    key = client_ca_key_file(home)
    assert [stat.S_IMODE(one.stat().st_mode) for one in (file, key)] == [0o600, 0o600]
    assert leaf.not_valid_after_utc - datetime.now(UTC) < timedelta(days=3)
    (uri,) = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert re.fullmatch(r"corral://tenant/default/[0-9a-f]{32}", uri.value)
    secret = file.read_bytes().split(b"-----")[2].strip()
    kept = [one for one in home.root.rglob("*") if one.is_file() and secret in one.read_bytes()]
    assert not kept, "the private key is in the file alone"

    before = file.read_bytes()
    link = tmp_path / "link.pem"
    link.symlink_to(tmp_path / "elsewhere.pem")
    for name in (file, link):
        assert corral(*issue, str(name), *place).error_code == "certificate_exists"
    nowhere = str(tmp_path / "no" / "folder.pem")
    assert corral(*issue, nowhere, *place).error_code == "certificate_not_written"
    away = key.rename(tmp_path / "away")
    assert corral(*issue, str(tmp_path / "b.pem"), *place).error_code == "ca_key_missing"
    away.rename(key)
    assert sorted(one.name for one in tmp_path.glob("*.pem")) == ["alice.pem", "link.pem"]
    assert file.read_bytes() == before
    assert len(corral("cert", "list", *place).document) == 1

    again = tmp_path / "bob.pem"
    assert f"cert-2 in {again}" in corral(*issue, str(again), *place[:2]).err
    assert corral("cert", "trust", str(file), *place).error_code == "client_ca_unusable"
    ca = authority()
    trusted = tmp_path / "ca"
    trusted.write_text("not one")
    assert corral("cert", "trust", str(trusted), *place).error_code == "client_ca_unusable"
    trusted.write_text(ca.pem + ca.revocations())
    assert corral("cert", "trust", str(trusted), *place).document["authorities"] == 2
    ((pem,),) = read_rows(home.database, "SELECT pem FROM client_trust")
    assert pem.count("BEGIN X509 CRL") == 2
    own = read_client_authority(home)
    assert own is not None
    assert own.certificate in pem
    assert own.revocations in pem
