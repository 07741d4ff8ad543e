"""What a source has now, asked of its servers without fetching it.

Trust: operator side. Input: the operator's source; what its servers say came through a fetch jail
and is hostile.
"""

from __future__ import annotations

import os

from corral.admission.expectation import Expectation
from corral.admission.fetch.client import ask_source
from corral.admission.fetch.wire import Told
from corral.admission.manifest_proof import KeptManifest, read_manifest
from corral.admission.quarantine import remove_folder
from corral.admission.registry_source import RegistrySource
from corral.admission.source import RemoteSource
from corral.control.client import LauncherClient
from corral.core.config import Fetch
from corral.core.home import Home


def inquire(
    source: RemoteSource,
    *,
    home: Home,
    config: Fetch,
    expect: Expectation,
    launcher: LauncherClient,
) -> tuple[Told, KeptManifest | None]:
    """Return what the servers say, and a registry's manifest; nothing is left in quarantine.

    Raises:
        CorralError: codes of `ask_source`, `read_manifest`.
    """
    folder = f"ask-{os.urandom(8).hex()}"
    try:
        told = ask_source(source, folder=folder, config=config, expect=expect, launcher=launcher)
        registry = isinstance(source, RegistrySource)
        return told, read_manifest(home.quarantine / folder) if registry else None
    finally:
        remove_folder(home, folder)
