"""`corral cert`: client certificates: who may sign them, and whom they stand for.

Trust: operator side. Input: the operator's command line and files.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from corral.cli.options import HomeOption, JsonOption, open_home
from corral.cli.terminal import print_json, print_note, print_table
from corral.core.errors import CorralError

if TYPE_CHECKING:
    from corral.tenancy.certificate_table import CertificateRow

app = typer.Typer(no_args_is_help=True, help="Client certificates: who signs, whom they stand for.")

_FILE_BYTES = 1 << 20

Role = Annotated[
    str, typer.Option("--role", help="What it may do: operator, tenant-admin, user or auditor.")
]


@app.command("trust")
def trust(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]", help="PEM: certificates of CAs, and their CRLs.", show_default=False
        ),
    ] = None,
    required: Annotated[
        bool, typer.Option("--required", help="Let nobody in without a certificate.")
    ] = False,
    none: Annotated[bool, typer.Option("--none", help="Take no certificates any more.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say which authorities sign client certificates; a running server goes by it at once.

    FILE replaces what was said before: give all of them, and new CRLs, in one file. Connections
    that showed a certificate have to be made anew. If FILE has a CRL, each authority needs one.
    The CA of `corral cert issue`, if it was ever used, is taken beside them.

    Example: corral cert trust clients-ca.pem
    """
    from corral.pki.client_authority import read_client_authority
    from corral.state.database import open_database
    from corral.tenancy.certificate_table import drop_client_trust, put_client_trust

    if (file is None) != none:
        raise typer.BadParameter("say a file, or --none", param_hint="FILE")
    place = open_home(home)
    engine, own = open_database(place.database), read_client_authority(place)
    count = 0
    if file is None:
        drop_client_trust(engine)
    else:
        pem = _read(file).decode("ascii", errors="replace")
        count = put_client_trust(engine, pem, required=required, own=own)
    if as_json:
        print_json({"authorities": count, "required": required and count > 0})
    elif count:
        print_note(f"client certificates of {count} authorities are taken; next: corral cert map")
    else:
        print_note("no client certificates are taken any more")


@app.command("issue")
def issue(
    tenant: Annotated[str, typer.Argument(metavar="TENANT", help="Whom it stands for.")],
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="New file for key and certificate (PEM).")
    ],
    role: Role = "user",
    days: Annotated[int, typer.Option("--days", min=1, max=397, help="How long it is valid.")] = 90,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a key and a certificate that stands for a tenant, by a CA of corral's own.

    The CA is made at the first use, and trusted beside others. From then on a server speaks
    TLS 1.3 only. FILE is all that a client needs; keep it as you would keep an API key.

    Example: corral cert issue acme --out alice.pem
    """
    from corral.state.database import open_database
    from corral.tenancy.issued_certificate import issue_certificate

    place = open_home(home)
    row = issue_certificate(
        place, open_database(place.database), out, tenant=tenant, role=role, days=days
    )
    if as_json:
        print_json({**_document(row), "days": days})
    else:
        print_note(f"cert-{row.id} in {out} is {row.role} of {row.tenant} for {days} days")


@app.command("map")
def map_(
    tenant: Annotated[str, typer.Argument(metavar="TENANT", help="Whom it stands for.")],
    file: Annotated[
        Path | None, typer.Option("--file", help="This certificate (PEM).", show_default=False)
    ] = None,
    sha256: Annotated[
        str | None,
        typer.Option(
            "--sha256", metavar="HEX", help="The one of this fingerprint.", show_default=False
        ),
    ] = None,
    uri: Annotated[
        str | None,
        typer.Option(
            "--uri", metavar="URI", help="Each with this alternative name.", show_default=False
        ),
    ] = None,
    role: Role = "user",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a certificate, or all with a URI, stand for a tenant. Without a mapping it is nobody.

    Example: corral cert map acme --uri spiffe://corp.example/acme/ci
    """
    from corral.state.database import open_database
    from corral.tenancy.certificate_table import fingerprint_of, map_certificate

    if file is not None and sha256 is None:
        sha256 = fingerprint_of(_read(file))
    elif file is not None:
        raise typer.BadParameter("is given in place of --sha256", param_hint="--file")
    row = map_certificate(
        open_database(open_home(home).database), tenant=tenant, role=role, sha256=sha256, uri=uri
    )
    if as_json:
        print_json(_document(row))
    else:
        print_note(f"cert-{row.id} is {row.role} of {row.tenant} from the next request on")


@app.command("list")
def list_(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List what certificates stand for, and which are revoked.

    Example: corral cert list
    """
    from dataclasses import asdict

    from corral.state.database import open_database
    from corral.tenancy.certificate_table import list_certificates

    rows = list_certificates(open_database(open_home(home).database))
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    print_table(
        ("ID", "TENANT", "ROLE", "CERTIFICATE OR URI", "REVOKED"),
        (
            (
                row.id, row.tenant or "-", row.role if row.tenant else "-", row.sha256 or row.uri,
                f"{datetime.fromtimestamp(row.revoked_at, UTC):%Y-%m-%d %H:%M}"
                if row.revoked_at else "-",
            )
            for row in rows
        ),
        empty="no client certificate stands for anybody: corral cert map",
    )  # fmt: skip


@app.command("revoke")
def revoke(
    which: Annotated[
        str, typer.Argument(metavar="ID|SHA256", help="A row of corral cert list, or fingerprint.")
    ],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Refuse certificates from the next request on, and end their running ones within a second.

    A fingerprint that no row has is refused too, whatever its URIs stand for. A revoked
    fingerprint stays revoked; a URI can be mapped again.

    Example: corral cert revoke 3
    """
    from corral.state.database import open_database
    from corral.tenancy.certificate_table import revoke_certificate

    revoke_certificate(open_database(open_home(home).database), which)
    if as_json:
        print_json({"revoked": which})
    else:
        print_note(f"revoked: {which}")


def _document(row: CertificateRow) -> dict[str, object]:
    return {
        "id": row.id, "tenant": row.tenant, "role": row.role, "sha256": row.sha256, "uri": row.uri,
    }  # fmt: skip


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            found = file.read(_FILE_BYTES + 1)
    except OSError as error:
        raise CorralError("bad_certificate", "the file cannot be read") from error
    if len(found) > _FILE_BYTES:
        raise CorralError("bad_certificate", "the file is longer than 1 MiB")
    return found
