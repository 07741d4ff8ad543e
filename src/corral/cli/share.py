"""`corral share`: models that tenants share with each other, as the operator sees and does it.

Trust: operator side. Input: the operator's command line. Tenants do the same over the admin API.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from corral.cli.options import HomeOption, JsonOption, ModelArgument, open_home
from corral.cli.terminal import print_json, print_note, print_table

if TYPE_CHECKING:
    from corral.tenancy.shares import Share

app = typer.Typer(no_args_is_help=True, help="Shares: a model that one tenant lets another use.")

ShareArgument = Annotated[int, typer.Argument(metavar="ID", help="As corral share list shows it.")]
ForTenant = Annotated[
    str, typer.Option("--tenant", metavar="TENANT", help="For whom: the owner or the receiver.")
]


@app.command("offer")
def offer(
    model: ModelArgument,
    owner: Annotated[str, typer.Option("--from", metavar="TENANT", help="Who was granted it.")],
    receiver: Annotated[str, typer.Option("--to", metavar="TENANT", help="Who may accept it.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Offer a model of one tenant to another; it gives no right until that one accepts.

    Example: corral share offer smollm2-135m-instruct --from acme --to bolt
    """
    from corral.core.ids import parse_tenant_name
    from corral.tenancy.shares import offer_share

    database = open_home(home).database
    share = offer_share(database, owner=parse_tenant_name(owner), receiver=receiver, model=model)
    _tell(share, as_json, f"offered; next: corral share accept {share.id} --tenant {receiver}")


@app.command("list")
def list_(
    tenant: Annotated[
        str | None,
        typer.Option("--tenant", help="Only those from or to this tenant.", show_default=False),
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """List offers and accepted shares; what is known of a model: corral show MODEL.

    Example: corral share list --tenant bolt
    """
    from corral.tenancy.shares import list_shares

    shares = list_shares(open_home(home).database, tenant=tenant)
    if as_json:
        print_json([share_document(one) for one in shares])
        return
    print_table(
        ("ID", "MODEL", "FROM", "TO", "SHA256", "STATE"),
        ((str(s.id), s.model, s.owner, s.receiver, f"{s.digest[:12]}…", s.status) for s in shares),
        empty="no shares",
    )


@app.command("accept")
def accept(
    share_id: ShareArgument, tenant: ForTenant, home: HomeOption = None, as_json: JsonOption = False
) -> None:
    """Accept an offer for its receiver: the artifact that was offered, and no later one.

    Example: corral share accept 7 --tenant bolt
    """
    from corral.core.errors import CorralError
    from corral.core.ids import parse_tenant_name
    from corral.tenancy.shares import accept_share, list_shares

    database, receiver = open_home(home).database, parse_tenant_name(tenant)
    offers = list_shares(database, tenant=receiver, side="receiver")
    offered = next((one.digest for one in offers if one.id == share_id), None)
    if offered is None:
        raise CorralError(
            "share_not_found", "there is no such share", remedy="see them: corral share list"
        )
    share = accept_share(database, share_id, receiver=receiver, digest=offered)
    _tell(share, as_json, f"{share.receiver} may use {share.model} in its own sandbox")


@app.command("end")
def end(
    share_id: ShareArgument, tenant: ForTenant, home: HomeOption = None, as_json: JsonOption = False
) -> None:
    """Take a share back, decline or leave it, for one of its two tenants; at once.

    Example: corral share end 7 --tenant acme
    """
    from corral.core.ids import parse_tenant_name
    from corral.tenancy.shares import end_share

    share = end_share(open_home(home).database, share_id, tenant=parse_tenant_name(tenant))
    _tell(share, as_json, f"{share.receiver} may no longer use {share.model} by this share")


def share_document(share: Share) -> dict[str, object]:
    """Return a share as JSON shows it; times in ISO 8601."""
    return {
        "id": share.id,
        "model": share.model,
        "sha256": share.digest,
        "from": share.owner,
        "to": share.receiver,
        "status": share.status,
        "offered_at": _iso(share.offered_at),
        "accepted_at": _iso(share.accepted_at),
        "ended_at": _iso(share.ended_at),
    }


def _tell(share: Share, as_json: bool, note: str) -> None:
    if as_json:
        print_json(share_document(share))
    else:
        print_note(note)


def _iso(seconds: int | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()
