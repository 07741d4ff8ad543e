"""The keys of a real OIDC provider, through the real fetch job, to the keyring that lets in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from corral.admission.provider_keys import fetch_provider_keys, public_keys
from corral.core.config import Config, Fetch
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.state.database import open_database
from corral.tenancy.grants import grant_model
from corral.tenancy.issuer_keys import list_issuer_keys, put_issuer_keys
from corral.tenancy.keyring import Keyring
from corral.tenancy.oidc import OidcTokens
from corral.tenancy.oidc_provider import Provider, parse_providers
from corral.tenancy.permissions import Permission
from corral.tenancy.setup import initialise
from tests.support.bare_jobs import bare_jobs
from tests.support.oidc_server import AUDIENCE, OidcServer, oidc_server

# The provider's own, which is written for an older authlib.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def server() -> Iterator[OidcServer]:
    with oidc_server() as running:
        yield running


@pytest.fixture
def trusted(server: OidcServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OidcServer:
    bundle = tmp_path / "ca.pem"
    bundle.write_text(server.ca_pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    return server


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    initialise(home)
    return home


def provider_of(server: OidcServer, **changes: object) -> Provider:
    table = {
        "issuer": server.issuer, "audience": AUDIENCE, "tenant_claim": "department",
        "role_claim": "groups", "tenants": {"R&D": "default"}, "roles": {"users": "user"},
    }  # fmt: skip
    (provider,) = parse_providers({"mock": {**table, **changes}})
    return provider


def fetch(server: OidcServer, home: Home, **changes: object) -> str:
    config = Config(fetch=Fetch(hosts=(), private_hosts=(server.host, "other:1")))
    with bare_jobs(home) as launcher:
        return fetch_provider_keys(
            provider_of(server, **changes), home=home, config=config, launcher=launcher
        )


@pytest.mark.claim("OIDC-01")
def test_a_login_at_a_real_provider_lets_in_and_a_rotated_key_does_after_a_refresh(
    trusted: OidcServer, home: Home
) -> None:
    engine = open_database(home.database)
    grant_model(home.database, "default", "m")
    provider = provider_of(trusted)
    pepper = home.pepper.read_bytes()
    keyring = Keyring(home.database, pepper)
    keyring.take_also(OidcTokens((provider,), keyring, pepper).authenticate)
    token = trusted.token(department="R&D", groups=["staff", "users"])
    assert keyring.authenticate(token) is None, "no keys, nobody"
    put_issuer_keys(engine, provider, fetch(trusted, home))
    principal = keyring.authenticate(token)
    assert principal is not None
    assert (principal.tenant, principal.role, principal.credential) == ("default", "user", "oidc")
    assert principal.may(Permission.COMPLETION_CREATE)
    assert principal.may_use("m")
    for wrong in (
        trusted.token(department="Sales", groups="users"),
        trusted.token(department="default", groups="users"),
        trusted.token(department="R&D", groups="staff"),
        trusted.token(department="R&D"),
        trusted.token(groups="users"),
        trusted.token("other", department="R&D", groups="users"),
    ):
        assert keyring.authenticate(wrong) is None

    trusted.rotate()
    rotated = trusted.token(department="R&D", groups="users")
    assert keyring.authenticate(rotated) is None
    put_issuer_keys(engine, provider, fetch(trusted, home))
    assert keyring.authenticate(rotated) is not None
    assert keyring.authenticate(token) is None, "the key of before is not published any more"
    assert [one.issuer for one in list_issuer_keys(engine)] == [trusted.issuer]
    assert list(home.quarantine.iterdir()) == []
    keyring.close()
    engine.dispose()


@pytest.mark.claim("OIDC-03")
def test_keys_come_from_the_issuer_alone(trusted: OidcServer, home: Home) -> None:
    with pytest.raises(CorralError) as refused:
        fetch(trusted, home, issuer=trusted.issuer + "/")
    assert refused.value.code == "oidc_keys_unusable"
    assert "another issuer" in refused.value.message
    other = f"https://127.0.0.1:{trusted.issuer.rpartition(':')[2]}"
    with pytest.raises(CorralError) as refused:
        fetch(trusted, home, issuer=other)  # neither a name of its certificate nor allowed: private
    assert refused.value.code in {"private_address", "network_error"}


@pytest.mark.parametrize(
    "document",
    [{}, {"keys": {}}, {"keys": []}, {"keys": [{"kty": "oct", "k": "AAAA"}]}, {"keys": [1, None]},
     {"keys": [{"kty": "RSA"}] * 101}],
    ids=["empty", "table", "none", "symmetric", "junk", "many"],
)  # fmt: skip
def test_what_is_no_key_set(document: dict[str, object]) -> None:
    with pytest.raises(CorralError) as refused:
        public_keys(document)
    assert refused.value.code == "oidc_keys_unusable"


@pytest.mark.claim("OIDC-03")
def test_private_parts_of_a_key_go_no_further() -> None:
    row = {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "1", "d": "SECRET", "p": "SECRET"}
    assert "SECRET" not in public_keys({"keys": [row, {"kty": "oct", "k": "SECRET"}]})
