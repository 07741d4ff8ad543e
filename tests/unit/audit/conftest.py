from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.support.audit_chain import Written, write_chain


@pytest.fixture(scope="session")
def signer() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory, signer: Ed25519PrivateKey) -> Written:
    """A chain with each kind of record, over three segments, the first of which was retired."""
    return write_chain(tmp_path_factory.mktemp("chain"), signer)


@pytest.fixture
def written(tmp_path: Path, pristine: Written) -> Written:
    return pristine.copy(tmp_path / "copy")
