"""Adapters from where models come from: downloads, signatures; as a pull checks them."""

from __future__ import annotations

from pathlib import Path

import pytest

from corral.admission.deriving import Wanted, WantedFile, derive_model
from corral.admission.expectation import Expectation
from corral.admission.receipt import Receipt
from corral.admission.signing.demand import SignatureDemand
from corral.admission.signing.making import sign_with_key
from corral.admission.signing.statement import make_statement
from corral.control.client import LauncherClient
from corral.core.config import Config, Trust
from corral.core.errors import CorralError
from corral.core.home import Home
from tests.support.download_server import DownloadServer, Page
from tests.support.signatures import new_key, public_pem
from tests.unit.admission.conftest import Pull, Trial, reaching
from tests.unit.admission.test_adapters import BODY, SHA
from tests.unit.admission.test_deriving import left

KEY = new_key()


class Laying:
    """Derives `laid` from `tiny`, with whatever adapter."""

    def __init__(self, home: Home, launcher: LauncherClient, trial: Trial) -> None:
        self._home, self._launcher, self._trial = home, launcher, trial

    def __call__(
        self, source: str, *, config: Config, expect: Expectation | None = None,
        demand: SignatureDemand | None = None,
    ) -> Receipt:  # fmt: skip
        adapter = WantedFile(source, expect or Expectation(), demand, 1000)
        return derive_model(
            "tiny", name="laid", wanted=Wanted(laid=adapter), home=self._home, config=config,
            launcher=self._launcher, trial=self._trial,
        ).receipt  # fmt: skip

    def refusal(self, source: str, **options: object) -> str:
        before = left(self._home)
        with pytest.raises(CorralError) as caught:
            self(source, **options)  # type: ignore[arg-type]
        assert left(self._home) == before
        return caught.value.code


@pytest.fixture
def lay(home: Home, launcher: LauncherClient, trial: Trial, pull: Pull, model_file: Path) -> Laying:
    pull(model_file, name="tiny")
    return Laying(home, launcher, trial)


@pytest.mark.claim("DRV-07")
def test_an_adapter_is_downloaded_by_the_rules_of_a_model(
    home: Home, lay: Laying, server: DownloadServer
) -> None:
    server.pages["/a.gguf"] = Page(BODY)
    server.pages["/a.gguf?token=S3CRET"] = Page(BODY)
    far, near = server.url("/a.gguf"), reaching(server)
    assert lay.refusal(server.url("/none.gguf"), config=near) == "not_found"
    assert lay.refusal(far, config=Config()) == "private_address"
    assert lay.refusal(far, config=reaching(server, 9)) == "too_large"
    wrong = Expectation.parse(sha256="a" * 64)
    assert lay.refusal(far, config=near, expect=wrong) == "hash_mismatch"
    wheel = Expectation.parse(wheel_sha256="a" * 64)
    assert lay.refusal(far, config=near, expect=wheel) == "bad_source"
    parts = server.url("/a-00001-of-00002.gguf")
    assert lay.refusal(parts, config=near) == "bad_source"
    adapter = lay(far + "?token=S3CRET", config=near, expect=Expectation(sha256=SHA)).laid
    assert adapter is not None
    assert (adapter.digest, adapter.sha256_demanded) == (SHA, True)
    assert adapter.source == server.url("/a.gguf?query-removed")
    files = [path for path in home.root.rglob("*") if path.is_file()]
    assert not [path for path in files if b"S3CRET" in path.read_bytes()]


@pytest.mark.claim("DRV-07")
def test_a_demanded_signature_is_of_the_adapter(home: Home, lay: Laying, tmp_path: Path) -> None:
    (home.root / "alice.pub").write_bytes(public_pem(KEY))
    table = {"kind": "key", "public_key": "alice.pub"}
    config, alice = Config(trust=Trust({"alice": table})), SignatureDemand("alice")
    file, signature = tmp_path / "a.gguf", tmp_path / "a.gguf.sig"
    file.write_bytes(BODY)
    source = str(file)
    assert lay.refusal(source, config=config, demand=alice) == "signature_missing"
    signature.write_bytes(sign_with_key(make_statement("a.gguf", [(".", "0" * 64)]), KEY))  # type: ignore[list-item]
    assert lay.refusal(source, config=config, demand=alice) == "signature_mismatch"
    signature.write_bytes(sign_with_key(make_statement("a.gguf", [(".", SHA)]), new_key()))
    assert lay.refusal(source, config=config, demand=alice).startswith("sign")
    signature.write_bytes(sign_with_key(make_statement("a.gguf", [(".", SHA)]), KEY))
    receipt = lay(source, config=config, demand=alice)
    assert receipt.laid is not None
    assert [signer.name for signer in receipt.laid.signers] == ["alice"]
    assert receipt.signers == (), "nobody signed the base"
    # So the whole is what the base is: anybody's.
    assert receipt.trust == "untrusted"
