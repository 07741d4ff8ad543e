"""Which certificates the fetch jail is given."""

from pathlib import Path

import pytest

from corral.admission.fetch.trust import trusted_ca_pem
from corral.core.errors import CorralError


def test_the_machine_has_some() -> None:
    assert trusted_ca_pem().startswith("-----BEGIN CERTIFICATE-----")


@pytest.mark.parametrize("content", [b"", b"no certificate", b"x" * (4 << 20)])
def test_an_unusable_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_bytes(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    with pytest.raises(CorralError) as caught:
        trusted_ca_pem()
    assert caught.value.code == "ca_unreadable"
