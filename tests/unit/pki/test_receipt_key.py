"""The receipt signing key."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from corral.core.errors import CorralError
from corral.core.home import Home
from corral.pki.receipt_key import ensure_receipt_key, load_receipt_key


def test_the_pair_fits_and_stays(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.secrets.mkdir()
    ensure_receipt_key(home)
    private = home.receipt_key.read_bytes()
    ensure_receipt_key(home)
    assert home.receipt_key.read_bytes() == private
    public = load_pem_public_key(home.receipt_public_key.read_bytes())
    assert public == load_receipt_key(home).public_key()


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.secrets.mkdir()
    with pytest.raises(CorralError) as missing:
        load_receipt_key(home)
    assert missing.value.code == "receipt_key_unreadable"
    home.receipt_key.write_bytes(b"nope")
    with pytest.raises(CorralError) as broken:
        ensure_receipt_key(home)
    assert broken.value.code == "receipt_key_unreadable"
