"""The number under which usage and limits know a credential, whatever its kind.

Trust: gateway [net] and operator side; pure. An API key has the id of its row. What has no row in
`keys` has a number above all of those, and below 2**53, so that JSON keeps it exact:

    2**51 + row     a client certificate, or all certificates of one URI: row of the mapping
    2**52 + 52 bit  a user of an OIDC provider: keyed hash of who it is (`tenancy.oidc_user`)
"""

from __future__ import annotations

import re
from typing import Final

CERTIFICATES: Final = 1 << 51
USERS: Final = 1 << 52
_NAME: Final = re.compile(r"(cert)-([1-9][0-9]{0,14})|(oidc)-([0-9a-f]{13})")


def holder_name(number: int) -> str:
    """Return a number as people read it: `7`, `cert-3`, `oidc-0123456789abc`."""
    if number >= USERS:
        return f"oidc-{number - USERS:013x}"
    return f"cert-{number - CERTIFICATES}" if number >= CERTIFICATES else str(number)


def parse_holder(text: str) -> int | None:
    """Return the number of a certificate's or a user's name, else None."""
    match = _NAME.fullmatch(text)
    if match is None:
        return None
    return CERTIFICATES + int(match[2]) if match[1] else USERS + int(match[4], 16)
