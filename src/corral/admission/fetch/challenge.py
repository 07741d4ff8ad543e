"""What a registry asks for before it answers: a token for pulling, from a place that it names.

Trust: fetch jail; no I/O. Input: untrusted `WWW-Authenticate` (RFC 9110, distribution token
specification). Only realm and service are taken from it: the scope that is asked for is ours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode, urlsplit

import msgspec

from corral.core.errors import CorralError

_HEADER_CHARS: Final = 4096
_PARAMETER: Final = re.compile(r'\s*([A-Za-z_]+)="([^"\\\x00-\x1f\x7f]*)"\s*(?:,|\Z)')
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/=-]{1,16384}")


@dataclass(frozen=True, slots=True)
class Challenge:
    """A demand for a bearer token.

    Attributes:
        realm: where tokens are given out; not checked yet.
        service: what the registry calls itself there.
    """

    realm: str
    service: str

    def token_url(self, repository: str) -> str:
        """Return where to ask for leave to pull from one repository, and for nothing else."""
        query = {"service": self.service} if self.service else {}
        query["scope"] = f"repository:{repository}:pull"
        return urlsplit(self.realm)._replace(query=urlencode(query), fragment="").geturl()


def parse_challenge(header: str) -> Challenge | None:
    """Return the challenge of a 401, or None where it is not one for a bearer token."""
    scheme, _, rest = header[:_HEADER_CHARS].partition(" ")
    if scheme.lower() != "bearer" or len(header) > _HEADER_CHARS:
        return None
    parameters: dict[str, str] = {}
    while rest:
        found = _PARAMETER.match(rest)
        if found is None or found[1].lower() in parameters:
            return None
        parameters[found[1].lower()] = found[2]
        rest = rest[found.end() :]
    try:
        urlsplit(parameters.get("realm", ""))
    except ValueError:
        return None
    return Challenge(parameters.get("realm", ""), parameters.get("service", ""))


class _Grant(msgspec.Struct):
    token: str = ""
    access_token: str = ""


def parse_token(body: bytes) -> str:
    """Return the token of an answer.

    Raises:
        CorralError: code `http_error`.
    """
    try:
        grant = msgspec.json.decode(body, type=_Grant)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _no_token() from error
    token = grant.token or grant.access_token
    if not _TOKEN.fullmatch(token):
        raise _no_token()
    return token


def _no_token() -> CorralError:
    return CorralError("http_error", "the registry's token server gave no token")
