"""Fetch signatures in the jail that fetches models; nothing of them stays in quarantine.

A file beside the model, or what a registry keeps of signatures (`admission.signature_set`).

Trust: operator side. Input: bytes of anybody's, at most `BUNDLE_BYTES`, which are only handed on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from corral.admission.expectation import Expectation
from corral.admission.fetch.client import fetch_folder, fetch_source
from corral.admission.fetch.wire import MODEL, Wanted
from corral.admission.progress import no_progress
from corral.admission.quarantine import remove_folder
from corral.admission.registry_source import RegistrySource
from corral.admission.sealing import open_fetched_file
from corral.admission.signing.bundle import BUNDLE_BYTES
from corral.admission.signing.detached import read_open
from corral.admission.signing.refusal import refused
from corral.admission.source import RemoteSource
from corral.control.client import LauncherClient
from corral.core.config import Config
from corral.core.errors import CorralError
from corral.core.home import Home


@dataclass(frozen=True, slots=True)
class SignatureFetch:
    """Fetches the first of several places of signatures that is there."""

    home: Home
    config: Config
    launcher: LauncherClient

    def __call__(self, places: Sequence[RemoteSource]) -> bytes:
        """Return its bytes.

        Raises:
            CorralError: code `signature_missing`: none is there; codes of `fetch_source`.
        """
        config = replace(self.config.fetch, max_bytes=BUNDLE_BYTES)
        for place in places:
            wanted: Wanted = "signatures" if isinstance(place, RegistrySource) else "model"
            folder = fetch_folder(place, wanted)
            try:
                fetch_source(
                    place,
                    config=config,
                    expect=Expectation(),
                    launcher=self.launcher,
                    progress=no_progress,
                    wanted=wanted,
                )
                return read_open(open_fetched_file(self.home.quarantine / folder, MODEL))
            except CorralError as error:
                if wanted == "signatures" or error.code not in {"not_found", "http_error"}:
                    raise
            finally:
                remove_folder(self.home, folder)
        raise refused("signature_missing", "the source has no signature file beside the model")
