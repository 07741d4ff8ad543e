"""The operator's own certificate."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from corral.core.errors import CorralError
from corral.pki.operator import load_or_check_operator_certificate

Files = tuple[Path, Path]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    issued = trustme.CA().issue_cert("box.lan")
    cert, key = tmp_path / "box.crt", tmp_path / "box.key"
    cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())
    key.chmod(0o600)
    return cert, key


def _refused(files: Files, code: str, now: datetime | None = None) -> None:
    with pytest.raises(CorralError) as refused:
        load_or_check_operator_certificate(*files, now=now)
    assert refused.value.code == code
    assert str(files[0].parent) not in str(refused.value)


def test_a_good_pair_is_loaded(files: Files) -> None:
    loaded = load_or_check_operator_certificate(str(files[0]), str(files[1]))
    assert loaded.certificate_pem == files[0].read_bytes()
    assert loaded.not_after > datetime.now(UTC)
    assert "PRIVATE" not in repr(loaded)


def test_an_encrypted_or_broken_key(files: Files) -> None:
    files[1].write_bytes(b"-----BEGIN PRIVATE KEY-----\nnope\n-----END PRIVATE KEY-----\n")
    _refused(files, "tls_key_unreadable")


def test_a_broken_certificate(files: Files) -> None:
    files[0].write_bytes(b"nope")
    _refused(files, "tls_cert_unreadable")


def test_missing_files(files: Files) -> None:
    files[1].unlink()
    _refused(files, "tls_key_unreadable")
    files[0].unlink()
    _refused(files, "tls_cert_unreadable")


def test_a_fifo_is_refused_and_not_waited_for(files: Files) -> None:
    files[0].unlink()
    os.mkfifo(files[0])
    _refused(files, "tls_cert_unreadable")


def test_an_endless_file_is_refused(files: Files) -> None:
    files[0].write_bytes(b"x" * (1 << 20) + b"x")
    _refused(files, "tls_cert_unreadable")


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o660, 0o602])
def test_a_key_open_to_others(files: Files, mode: int) -> None:
    files[1].chmod(mode)
    _refused(files, "tls_key_exposed")


def test_a_key_of_another_certificate(files: Files) -> None:
    files[1].write_bytes(trustme.CA().issue_cert("x.lan").private_key_pem.bytes())
    _refused(files, "tls_key_mismatch")


def test_an_expired_certificate(files: Files) -> None:
    end = load_or_check_operator_certificate(*files).not_after
    _refused(files, "tls_cert_expired", now=end + timedelta(seconds=1))
