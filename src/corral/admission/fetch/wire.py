"""One request line to the fetch job, JSON lines of progress and one result back.

Trust: shared by the operator side and the fetch jail.
Input: each side checks the other. The job is hostile from the operator side's view: its codes are
of a closed set, and its texts are bounded and printable or the line is refused.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from corral.admission.layer import LAYERS, LayerClaim

REQUEST_BYTES: Final = 4 << 20
"""Longest request: it carries a CA bundle (about 220 KiB on Debian)."""
LINE_BYTES: Final = 1 << 20
MODEL: Final = "model"
"""Name of the fetched file in its folder: ours, never one from the network."""
PART: Final = "model.part"
"""Name of the model file while it is incomplete."""
MANIFEST: Final = "manifest"
"""Name of the registry's manifest in that folder."""

CODES: Final = frozenset({
    "bad_archive", "bad_manifest", "hash_mismatch", "host_not_allowed", "http_error",
    "member_not_found", "member_ambiguous", "network_error", "no_space", "not_found",
    "private_address", "redirect_refused", "too_large", "fetch_failed",
})  # fmt: skip
"""Every code that a fetch job may report."""

Wanted = Literal["model", "signatures"]
_Hex = Annotated[str, Meta(pattern=r"\A(?:[0-9a-f]{64})?\Z")]
_Text = Annotated[str, Meta(max_length=400)]
_Bytes = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
_Validator = Annotated[str, Meta(max_length=1024)]


class FetchRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to fetch, and what may be reached for it.

    Attributes:
        source: canonical text of a `RemoteSource`.
        hosts: allowed hosts: `name`, `*.suffix`, or `name:port` for one port other than 443.
        private_hosts: `host:port` that may resolve to a private address.
        sha256: expected digest of the model file; empty if none.
        wheel_sha256: expected digest of the wheel; empty if none.
        ca_pem: certificates to trust; the jail has no files for them.
        credentials: `host:port` → value of `Authorization` for this host alone.
        only_ask: say what is there, and fetch nothing but what says it.
        limit_rate: most bytes per second; 0 for no limit.
        copied: whether our private copy of the file needs blocks of its own.
        wanted: the model, or what its registry keeps of signatures (`admission.signature_set`).
    """

    source: str
    hosts: tuple[str, ...]
    private_hosts: tuple[str, ...]
    max_bytes: int
    sha256: str
    wheel_sha256: str
    ca_pem: str
    pypi_index: str
    hf_endpoint: str
    credentials: dict[str, str] = {}
    only_ask: bool = False
    limit_rate: int = 0
    copied: bool = True
    wanted: Wanted = "model"


class Moved(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="ev", tag="moved"):
    """Progress; `total_bytes` is 0 if unknown.

    Attributes:
        ready_bytes: how much of the model file is final from its start; less than before: it
            starts over.
    """

    done_bytes: _Bytes
    total_bytes: _Bytes
    ready_bytes: _Bytes = 0


class Arrived(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="ev", tag="arrived"
):
    """The file `model` lies in the folder. All of this is a claim until we hash it.

    Attributes:
        layers: what a registry's manifest has besides the model.
        validator: strong ETag, or a date, of the version that was fetched; empty if the server
            gives none.
    """

    size_bytes: _Bytes
    sha256: _Hex
    final_url: Annotated[str, Meta(max_length=4096)]
    wheel_sha256: _Hex = ""
    revision: Annotated[str, Meta(pattern=r"\A[0-9a-f]{0,64}\Z")] = ""
    layers: Annotated[tuple[LayerClaim, ...], Meta(max_length=LAYERS)] = ()
    validator: _Validator = ""


class Told(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="ev", tag="told"):
    """What the servers say of the file, of which nothing was fetched.

    Attributes:
        size_bytes: of the download: the file, or the wheel around it; -1 if nobody says.
        sha256: of the file; empty if nobody says.
        validator: as in `Arrived`.
    """

    size_bytes: Annotated[int, Meta(ge=-1, le=(1 << 63) - 1)]
    sha256: _Hex
    final_url: Annotated[str, Meta(max_length=4096)]
    wheel_sha256: _Hex = ""
    revision: Annotated[str, Meta(pattern=r"\A[0-9a-f]{0,64}\Z")] = ""
    validator: _Validator = ""


class Refused(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="ev", tag="refused"
):
    """It could not be fetched."""

    code: str
    message: _Text
    remedy: _Text = ""


FromJob = Moved | Arrived | Told | Refused

_from_job: Final[msgspec.json.Decoder[FromJob]] = msgspec.json.Decoder(FromJob)
_request: Final = msgspec.json.Decoder(FetchRequest)


def encode(message: FromJob | FetchRequest) -> bytes:
    """Return one line."""
    return msgspec.json.encode(message) + b"\n"


def parse_request(line: bytes) -> FetchRequest | None:
    """Return the request, or None if it is none."""
    try:
        return _request.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def parse_from_job(line: bytes) -> FromJob | None:
    """Return what the job says, or None if it broke the schema."""
    try:
        message = _from_job.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    match message:
        case Refused(code=code, message=text, remedy=remedy):
            sound = code in CODES and text.isprintable() and remedy.isprintable()
        case Arrived(final_url=url) | Told(final_url=url):
            sound = url.isascii() and url.isprintable()
        case _:
            sound = True
    return message if sound else None
