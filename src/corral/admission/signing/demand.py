"""What `corral pull --signed-by` demands, and the signature file that must show it.

Trust: operator side. Input: the operator's options; signatures of anybody's, beside a local file or
fetched in the same jail as the model. They are verified before the model is fetched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from corral.admission.registry_source import RegistrySource
from corral.admission.signing.attached import verify_attached
from corral.admission.signing.cosign import SignedManifest
from corral.admission.signing.detached import find_detached, read_detached
from corral.admission.signing.refusal import refused
from corral.admission.signing.trust_root import find_signer
from corral.admission.signing.verification import SignedModel, verify_signature
from corral.admission.source import (
    HttpsSource,
    HubSource,
    LocalSource,
    PypiSource,
    RemoteSource,
    Source,
)
from corral.core.config import Config

FetchSmall = Callable[[Sequence[RemoteSource]], bytes]
"""Fetches the first of several files that is there, or a registry's set of signatures."""


@dataclass(frozen=True, slots=True)
class SignatureDemand:
    """Who must have signed the model.

    Attributes:
        signed_by: name of a trusted signer.
        signature: the signature file; None looks beside the model.
        signed_name: what the model was called when it was signed; None: as its source calls it.
        fingerprint: of the key that must have made the signature; None: any that counts.
        identity: that the certificate must have named; None: any that counts.
    """

    signed_by: str
    signature: Path | None = None
    signed_name: str | None = None
    fingerprint: str | None = None
    identity: str | None = None

    def file_name(self, source: Source) -> str:
        """Return the name that the signature must bear; empty if the source has none."""
        if isinstance(source, RegistrySource) and source.kind == "oci" and not self.signature:
            return self.signed_name or f"{source.host}/{source.repository}"
        return self.signed_name or _last_part(source)


def verify_demand(
    demand: SignatureDemand, source: Source, config: Config, base: Path, fetch: FetchSmall
) -> SignedModel | SignedManifest:
    """Return the proof that the demanded signer signed something; not yet that it is this model.

    An artifact of an OCI registry is asked for cosign's signatures of its manifest.

    Raises:
        CorralError: `unknown_signer`; codes of `verify_signature`, `verify_attached`,
            `read_detached` and `fetch`.
    """
    trusted, now = find_signer(config, demand.signed_by, base), datetime.now(UTC)
    signed: SignedModel | SignedManifest
    if demand.signature is not None:
        signed = verify_signature(read_detached(demand.signature), trusted, now)
    elif isinstance(source, LocalSource):
        signed = verify_signature(read_detached(find_detached(source.path)), trusted, now)
    elif isinstance(source, RegistrySource) and source.kind == "oci":
        signed = verify_attached(fetch((source,)), trusted, now, source.manifest)
    else:
        signed = verify_signature(fetch(_beside(source)), trusted, now)
    signer = signed.signer
    if demand.fingerprint not in {None, signer.fingerprint} or (
        demand.identity not in {None, signer.identity}
    ):
        raise refused("signer_mismatch", "another key or identity than the locked one signed this")
    return signed


def _beside(source: RemoteSource) -> tuple[RemoteSource, ...]:
    """Return where a remote model's signature lies: FILE.sig, else model.sig of its folder."""
    match source:
        case HttpsSource(url=url) if not urlsplit(url).query:
            return (HttpsSource(url + ".sig"), HttpsSource(url.rpartition("/")[0] + "/model.sig"))
        case HubSource(file=file):
            folder = file.rpartition("/")[0]
            whole = f"{folder}/model.sig" if folder else "model.sig"
            return (replace(source, file=file + ".sig"), replace(source, file=whole))
    raise refused("signature_missing", "no signature file can be asked for at this kind of source")


def _last_part(source: Source) -> str:
    match source:
        case LocalSource(path=path):
            return path.name
        case HubSource(file=file) | PypiSource(member=file):
            return file.rpartition("/")[2]
        case HttpsSource(url=url):
            return unquote(urlsplit(url).path).rpartition("/")[2]
    return ""
