"""A login at a real provider, its keys through the real fetch jail, to the real server."""

from __future__ import annotations

import json

import pytest

from corral.tenancy.holder import holder_name
from corral.tenancy.oidc_user import user_key, user_number
from tests.support.oidc_server import oidc_server
from tests.support.server import MODEL, corral, corral_json, wait_until

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.mark.claim("OIDC-01")
@pytest.mark.claim("OIDC-04")
def test_keys_come_by_themselves_and_after_a_rotation(home, server_factory, tmp_path, monkeypatch):
    with oidc_server() as provider:
        bundle = tmp_path / "ca.pem"
        bundle.write_text(provider.ca_pem)
        monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
        with (home / "corral.toml").open("a") as file:
            file.write(
                f'\n[fetch]\nprivate_hosts = ["{provider.host}"]\n[identity.oidc.mock]\n'
                f'issuer = "{provider.issuer}"\naudience = "corral"\ntenant_claim = "org"\n'
                'role_claim = "role"\nroles = {u = "user"}\n'
            )
        server = server_factory()

        def answers(token):
            with_it = server.http(token).get("/v1/models")
            return with_it.status_code == 200 and MODEL in with_it.text

        token = provider.token(org="default", role="u")
        assert wait_until(lambda: answers(token)), "corral up fetched the keys by itself"
        assert not answers(provider.token(org="admin", role="u"))
        provider.rotate()
        rotated = provider.token(org="default", role="u")
        assert not answers(rotated)
        assert corral_json(home, "oidc", "refresh") == {"mock": None}
        assert answers(rotated)
        assert not answers(token)
        (row,) = corral_json(home, "oidc", "list")
        assert row["fetched_at"] is not None
        records = map(json.loads, corral(home, "audit", "tail", "--json").stdout.splitlines())
        users = {one["key"] for one in records if one.get("key", "").startswith("oidc")}
        pepper = (home / "secrets" / "pepper").read_bytes()
        number = user_number(user_key(pepper), provider.issuer, "alice")
        assert users == {holder_name(number)}, "one user, whatever key has signed"
