"""Fetch an OIDC provider's public keys in the jail that fetches models.

Trust: operator side. Input: two JSON documents of the provider, hostile: bounded, of one form, and
only what a public key has is kept. OpenID Connect Discovery 1.0, section 4; RFC 7517.

 1 discovery: ISSUER/.well-known/openid-configuration    2 its `issuer` is the one that was asked
 3 its `jwks_uri` is https, on the issuer's host or one that the configuration names
 4 the key set     5 only public fields of asymmetric keys go on

The jail may reach these hosts and no other; a new one is made for each document.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlsplit

from corral.admission.expectation import Expectation
from corral.admission.fetch.client import fetch_folder, fetch_source
from corral.admission.fetch.wire import MODEL
from corral.admission.progress import no_progress
from corral.admission.quarantine import remove_folder
from corral.admission.sealing import open_fetched_file
from corral.admission.source import HttpsSource
from corral.control.client import LauncherClient
from corral.core.config import Config
from corral.core.errors import CorralError
from corral.core.home import Home
from corral.tenancy.oidc_provider import Provider

_DOCUMENT_BYTES: Final = 256 << 10
_KEYS: Final = 100
_FIELDS: Final = ("kty", "n", "e", "crv", "x", "y", "kid", "alg", "use")
_DISCOVERY: Final = "/.well-known/openid-configuration"


def fetch_provider_keys(
    provider: Provider, *, home: Home, config: Config, launcher: LauncherClient
) -> str:
    """Return the provider's key set as JSON, public fields only.

    Raises:
        CorralError: code `oidc_keys_unusable`; codes of `fetch_source`.
    """
    issuer = provider.issuer.rstrip("/")
    own = _place(issuer)
    hosts = (own, *(host if ":" in host else f"{host}:443" for host in provider.hosts))
    private = tuple(host for host in config.fetch.private_hosts if host.lower() in hosts)
    reach = replace(
        config.fetch, hosts=hosts, private_hosts=private, max_bytes=_DOCUMENT_BYTES, token_files=()
    )

    def get(url: str) -> dict[str, Any]:
        if not (url.isascii() and url.isprintable()):
            raise _unusable("it names an address that is none")
        source = HttpsSource(url)
        folder = fetch_folder(source)
        try:
            fetch_source(
                source, config=reach, expect=Expectation(), launcher=launcher, progress=no_progress
            )
            with os.fdopen(open_fetched_file(home.quarantine / folder, MODEL), "rb") as file:
                return _parse(file.read(_DOCUMENT_BYTES + 1))
        finally:
            remove_folder(home, folder)

    discovery = get(issuer + _DISCOVERY)
    if discovery.get("issuer") != provider.issuer:
        raise _unusable("its discovery document is of another issuer")
    uri = discovery.get("jwks_uri")
    if not isinstance(uri, str) or urlsplit(uri).scheme != "https":
        raise _unusable("its discovery document has no https jwks_uri")
    if _place(uri) not in hosts:
        raise _unusable("its keys are on a host that identity.oidc…hosts does not name")
    return public_keys(get(uri))


def public_keys(document: dict[str, Any]) -> str:
    """Return a key set with the public fields of its asymmetric keys.

    Raises:
        CorralError: code `oidc_keys_unusable`.
    """
    rows = document.get("keys")
    if not isinstance(rows, list) or len(rows) > _KEYS:
        raise _unusable("its key set is none")
    kept = [
        {name: row[name] for name in _FIELDS if isinstance(row.get(name), str)}
        for row in rows
        if isinstance(row, dict) and row.get("kty") in {"RSA", "EC", "OKP"}
    ]
    if not kept:
        raise _unusable("its key set has no public key")
    return json.dumps({"keys": kept})


def _parse(raw: bytes) -> dict[str, Any]:
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise _unusable("it answers with something else than JSON") from error
    if len(raw) > _DOCUMENT_BYTES or not isinstance(document, dict):
        raise _unusable("it answers with something else than a JSON object")
    return document


def _place(url: str) -> str:
    try:
        parts = urlsplit(url)
        return f"{(parts.hostname or '').lower()}:{parts.port or 443}"
    except ValueError as error:
        raise _unusable("an address of it is no URL") from error


def _unusable(why: str) -> CorralError:
    return CorralError(
        "oidc_keys_unusable", f"the provider's keys cannot be used: {why}",
        remedy="compare identity.oidc of corral.toml with the provider's discovery document",
    )  # fmt: skip
