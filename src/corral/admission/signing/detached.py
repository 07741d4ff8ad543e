"""Find and read the signature file that lies beside a model.

Trust: operator side. Input: file names that the operator gave; bytes are hostile and only counted.
"""

from __future__ import annotations

import os
from pathlib import Path

from corral.admission.sealing import open_local_file
from corral.admission.signing.bundle import BUNDLE_BYTES
from corral.admission.signing.refusal import refused
from corral.core.errors import CorralError


def find_detached(model: Path) -> Path:
    """Return where a model's signature lies: `FILE.sig`, else `model.sig` of its folder.

    Raises:
        CorralError: code `signature_missing`.
    """
    if model.is_dir():
        places = [model / "model.sig", model.with_name(model.absolute().name + ".sig")]
    else:
        places = [model.with_name(model.name + ".sig"), model.with_name("model.sig")]
    for place in places:
        if os.path.lexists(place):
            return place
    raise refused("signature_missing", "there is no signature beside the model")


def read_detached(path: Path) -> bytes:
    """Return the bytes of a signature file.

    Raises:
        CorralError: codes `signature_missing`, `signature_malformed` (too large).
    """
    try:
        fd = open_local_file(path)
    except CorralError as error:
        raise refused(
            "signature_missing", "the signature file is not there, or is a link or no plain file"
        ) from error
    return read_open(fd)


def read_open(fd: int) -> bytes:
    """Return the bytes of an open signature file, and close it.

    Raises:
        CorralError: code `signature_malformed` (too large).
    """
    with os.fdopen(fd, "rb") as file:
        raw = file.read(BUNDLE_BYTES + 1)
    if len(raw) > BUNDLE_BYTES:
        raise refused("signature_malformed", "the signature file is too large to be one")
    return raw
