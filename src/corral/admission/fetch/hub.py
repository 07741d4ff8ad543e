"""The download address of a file in a Hugging Face repository.

Trust: fetch jail. Input: a parsed source; its parts are of a small alphabet (`admission.source`).
The hub's `X-Linked-ETag` (sha256 of the file) and `X-Repo-Commit` are read in `fetch.download`.
"""

from __future__ import annotations

from urllib.parse import quote

from corral.admission.source import HubSource


def hub_url(source: HubSource, endpoint: str) -> str:
    """Return the `resolve` address of the file at its revision."""
    revision = quote(source.revision, safe="")
    return (
        f"{endpoint.rstrip('/')}/{quote(source.org)}/{quote(source.repo)}"
        f"/resolve/{revision}/{quote(source.file)}"
    )
