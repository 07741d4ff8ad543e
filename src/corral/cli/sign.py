"""`corral sign`: a detached signature of a model (OpenSSF model-signing, OMS v1.0).

Trust: operator side. Input: the operator's command line and files; the model is only hashed. Keys
and passphrases come from files or a prompt, never from the command line or the environment.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from corral.cli.options import JsonOption
from corral.cli.terminal import print_facts, print_json, print_note

PathArgument = Annotated[Path, typer.Argument(metavar="PATH", help="A model's file or folder.")]
IgnoreOption = Annotated[
    list[str] | None,
    typer.Option(
        "--ignore",
        metavar="NAME",
        help="Leave out this file or folder of a folder; what the signature says of it does not "
        "count. May be repeated.",
        show_default=False,
    ),
]


def sign(
    path: PathArgument,
    key: Annotated[
        Path | None,
        typer.Option("--key", metavar="FILE", help="ECDSA private key (PEM).", show_default=False),
    ] = None,
    cert: Annotated[
        Path | None,
        typer.Option(
            "--cert",
            metavar="FILE",
            help="The key's certificate and its issuers (PEM), to go into the signature.",
            show_default=False,
        ),
    ] = None,
    sigstore: Annotated[
        bool, typer.Option("--sigstore", help="Sign as an OpenID identity; needs the network.")
    ] = False,
    passphrase_file: Annotated[
        Path | None,
        typer.Option(
            "--passphrase-file",
            metavar="FILE",
            help="The key's passphrase; else it is asked for.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="Signature file; else PATH.sig.", show_default=False
        ),
    ] = None,
    ignore: IgnoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sign a model's file or folder; the signature lies beside it, the model is not changed.

    Every file counts, also those of git; what is not a plain file is refused.

    Example: corral sign ./model.gguf --key signing.pem
    """
    from corral.admission.signing.making import load_chain, sign_with_key
    from corral.admission.signing.statement import make_statement
    from corral.admission.signing.tree import hash_model, model_name
    from corral.pki.atomic import write_atomically

    if sigstore == (key is not None) or (cert is not None and key is None):
        raise typer.BadParameter(
            "one of --key, --key with --cert, or --sigstore", param_hint="--key"
        )
    target = out or path.with_name(f"{model_name(path)}.sig")
    name = model_name(path)
    if sigstore:
        from corral.admission.signing.sigstore_identity import sign_sigstore

        files = hash_model(path, left_out(path, target, ignore))
        bundle = sign_sigstore(make_statement(name, files))
    elif key is not None:
        from corral.admission.signing.keys import load_signing_key

        private = load_signing_key(key, lambda: _passphrase(passphrase_file))
        chain = load_chain(cert, private) if cert else ()
        files = hash_model(path, left_out(path, target, ignore))
        bundle = sign_with_key(make_statement(name, files), private, chain)
    write_atomically(target, bundle, mode=0o644)
    if as_json:
        print_json({"signature": str(target), "name": name, "files": len(files)})
        return
    print_facts((("signed", name), ("files", len(files)), ("signature", target)))
    print_note(f"next: corral verify {path} --signature {target} --public-key KEY.pub")


def left_out(path: Path, signature: Path, ignored: list[str] | None) -> frozenset[str]:
    """Return the names below a folder that a signature does not cover: itself, and what is named.

    Only the signature file's own place is left out by itself, not whatever else ends in .sig.
    """
    names = frozenset(name.strip("/") for name in ignored or ())
    try:
        return names | {signature.resolve().relative_to(path.resolve()).as_posix()}
    except ValueError:
        return names


def _passphrase(file: Path | None) -> bytes:
    if file is None:
        text: str = typer.prompt("Passphrase of the key", hide_input=True, err=True)
        return text.encode()
    from corral.admission.signing.keys import read_small

    return read_small(file).rstrip(b"\r\n")
