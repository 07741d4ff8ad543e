"""The CA of client certificates over the years."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from corral.core.errors import CorralError
from corral.core.home import Home
from corral.pki.client_authority import (
    client_ca_file,
    client_ca_key_file,
    ensure_client_authority,
    read_client_authority,
    sign_client,
)

NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.tls.mkdir()
    home.secrets.mkdir()
    return home


def test_it_stays_is_renewed_with_its_key_and_is_never_outlived(home: Home) -> None:
    first = ensure_client_authority(home, now=NOW)
    assert ensure_client_authority(home, now=NOW) == read_client_authority(home) == first
    later = NOW + timedelta(days=3650 - 31)
    assert ensure_client_authority(home, now=later) == first
    leaf = x509.load_pem_x509_certificate(sign_client(home, "acme/0", 90, now=later))
    ca = x509.load_pem_x509_certificate(first.certificate.encode())
    assert leaf.not_valid_after_utc == ca.not_valid_after_utc
    leaf.verify_directly_issued_by(ca)
    renewed = ensure_client_authority(home, now=NOW + timedelta(days=3650 - 29))
    assert renewed.certificate != first.certificate
    assert renewed.revocations != first.revocations
    leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(renewed.certificate.encode()))


@pytest.mark.parametrize("name", ["clients-ca.crt", "clients-ca.crl"])
def test_a_run_that_was_killed_is_completed(home: Home, name: str) -> None:
    ensure_client_authority(home)
    key = client_ca_key_file(home).read_bytes()
    (home.tls / name).unlink()
    assert read_client_authority(home) is None
    done = ensure_client_authority(home)
    assert client_ca_key_file(home).read_bytes() == key
    crl = x509.load_pem_x509_crl(done.revocations.encode())
    ca = x509.load_pem_x509_certificate(done.certificate.encode())
    assert crl.is_signature_valid(ca.public_key())  # type: ignore[arg-type]
    assert (crl.next_update_utc, len(crl)) == (ca.not_valid_after_utc, 0)


def test_without_its_key_it_is_kept_and_signs_nothing(home: Home) -> None:
    made = ensure_client_authority(home)
    client_ca_key_file(home).unlink()
    assert ensure_client_authority(home) == made
    with pytest.raises(CorralError) as refused:
        sign_client(home, "acme/0", 1)
    assert refused.value.code == "ca_key_missing"
    assert "secrets/clients-ca.key" in str(refused.value.remedy)
    (home.tls / "clients-ca.crl").unlink()
    with pytest.raises(CorralError) as refused:
        ensure_client_authority(home)
    assert refused.value.code == "ca_key_missing"
    client_ca_file(home).write_bytes(b"\xff")
    (home.tls / "clients-ca.crl").touch()
    with pytest.raises(CorralError) as refused:
        read_client_authority(home)
    assert refused.value.code == "ca_unreadable"
