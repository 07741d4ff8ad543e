"""What `corral up` found out about the host: the gateway's own namespaces show nothing of it.

Trust: gateway [net]. Input: the document that the launcher passes as `host`, written by the
operator's side at start; of our own making, checked all the same. `corral.doctor` makes it.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec


class HostFact(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One wall or one fact of the host."""

    name: str
    state: Literal["enforced", "absent", "host-owned"]
    detail: str
    remedy: str
    needed: bool
    accepted: bool


class HostFlaw(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One published flaw of an installed runtime."""

    id: str
    runtime: str
    status: Literal["fixed", "fixed-by-distribution", "open"]
    title: str
    fixed_in: tuple[str, ...]
    reached: bool
    meaning: str
    source: str


class HostReport(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"version": "schema"}
):
    """The whole report, as of the server's start.

    Attributes:
        version: of the document's form.
        probed_at: Unix seconds.
        degraded: walls that are absent by the operator's leave.
    """

    version: int
    probed_at: int
    can_start: bool
    degraded: tuple[str, ...]
    facts: tuple[HostFact, ...]
    flaws: tuple[HostFlaw, ...]


_decoder: Final = msgspec.json.Decoder(HostReport)


def parse_host_report(text: bytes) -> HostReport | None:
    """Return the report, or None if the text is none."""
    try:
        return _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
