"""`corral verify`: who signed a model, and whether its files are what was signed.

Trust: operator side. Input: the operator's command line; signature file and model may be anybody's:
the model is only hashed, the signature file is parsed and verified by `admission.signing`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from corral.cli.options import HomeOption, JsonOption, effective_config
from corral.cli.sign import IgnoreOption, PathArgument, left_out
from corral.cli.terminal import print_facts, print_json
from corral.core.home import Home

if TYPE_CHECKING:
    from corral.admission.signing.trust_root import TrustedSigner


def verify(
    path: PathArgument,
    signature: Annotated[
        Path | None,
        typer.Option(
            "--signature",
            metavar="FILE",
            help="Signature file; else PATH.sig or model.sig beside the model.",
            show_default=False,
        ),
    ] = None,
    signed_by: Annotated[
        str | None,
        typer.Option(
            "--signed-by", metavar="NAME", help="Signer of trust.signers.", show_default=False
        ),
    ] = None,
    public_key: Annotated[
        Path | None,
        typer.Option(
            "--public-key", metavar="FILE", help="The signer's key (PEM).", show_default=False
        ),
    ] = None,
    cert_root: Annotated[
        Path | None,
        typer.Option(
            "--cert-root",
            metavar="FILE",
            help="Certificates (PEM) that the signer's must lead to; with --identity: its name.",
            show_default=False,
        ),
    ] = None,
    identity: Annotated[
        str | None,
        typer.Option(
            "--identity",
            metavar="NAME",
            help="Who signed: with --issuer a Sigstore identity, with --cert-root a name (DNS, "
            "e-mail or URI) of the certificate.",
            show_default=False,
        ),
    ] = None,
    issuer: Annotated[
        str | None,
        typer.Option(
            "--issuer", metavar="URL", help="OpenID issuer of the identity.", show_default=False
        ),
    ] = None,
    trusted_root: Annotated[
        Path | None,
        typer.Option(
            "--trusted-root",
            metavar="FILE",
            help="Sigstore's keys; without it Sigstore's servers are asked.",
            show_default=False,
        ),
    ] = None,
    signed_name: Annotated[
        str | None,
        typer.Option(
            "--signed-name",
            metavar="NAME",
            help="What the model was called when it was signed; else PATH's name.",
            show_default=False,
        ),
    ] = None,
    ignore: IgnoreOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Verify a model's signature: who signed, and that every file is what was signed.

    Refused: a changed, missing or additional file (also one of git), a link, a renamed model,
    another signer. Exit code 0 means all of it holds.

    Example: corral verify ./model.gguf --public-key signing.pub
    """
    import msgspec

    from corral.admission.signing.detached import find_detached, read_detached
    from corral.admission.signing.refusal import refused
    from corral.admission.signing.tree import check_model, model_name
    from corral.admission.signing.verification import verify_signature

    trusted = _trusted(home, signed_by, public_key, cert_root, identity, issuer, trusted_root)
    place = signature or find_detached(path)
    signed = verify_signature(read_detached(place), trusted, datetime.now(UTC))
    if signed.manifest.name != (signed_name or model_name(path)):
        raise refused("signature_name", f"it was signed under the name {signed.manifest.name}")
    count = check_model(path, signed.manifest, left_out(path, place, ignore))
    if as_json:
        print_json({"verified": True, "files": count, "signer": msgspec.to_builtins(signed.signer)})
        return
    print_facts(
        (
            ("verified", signed.manifest.name),
            ("files", count),
            ("signer", signed.signer.name or signed.signer.identity or signed.signer.kind),
            ("key", signed.signer.fingerprint),
        )
    )


def _trusted(
    home: str | None,
    signed_by: str | None,
    public_key: Path | None,
    cert_root: Path | None,
    identity: str | None,
    issuer: str | None,
    trusted_root: Path | None,
) -> TrustedSigner:
    from corral.admission.signing.certificate import Demand
    from corral.admission.signing.trust_root import (
        SigstoreRoot,
        TrustedSigner,
        find_signer,
        load_certificate_root,
        load_key_root,
    )

    given = {
        "--signed-by": signed_by,
        "--public-key": public_key,
        "--cert-root": cert_root,
        "--identity": identity,
        "--issuer": issuer,
        "--trusted-root": trusted_root,
    }
    match {name for name, value in given.items() if value is not None}:
        case names if names == {"--signed-by"} and signed_by is not None:
            place = Home.locate(home)
            return find_signer(effective_config(place), signed_by, place.root)
        case names if names == {"--public-key"} and public_key is not None:
            return TrustedSigner("", load_key_root(public_key))
        case names if names == {"--cert-root", "--identity"} and cert_root and identity:
            return TrustedSigner("", load_certificate_root(cert_root, Demand(san=identity)))
        case names if names - {"--trusted-root"} == {"--identity", "--issuer"}:
            return TrustedSigner("", SigstoreRoot(identity or "", issuer or "", trusted_root))
    raise typer.BadParameter(
        "one of --signed-by; --public-key; --cert-root with --identity; --identity with --issuer",
        param_hint="--signed-by",
    )
