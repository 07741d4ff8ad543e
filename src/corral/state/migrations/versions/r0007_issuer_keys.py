"""Public keys of OIDC providers, as the operator's side fetched them.

Frozen: this file says what the schema was, so it does not import `corral.state.tables`.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "issuer_keys",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("issuer", sa.Text, nullable=False),
        sa.Column("jwks", sa.Text, nullable=False),
        sa.Column("fetched_at", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_issuer_keys"),
        sqlite_strict=True,
    )
    for event in ("INSERT", "DELETE", "UPDATE"):
        op.execute(
            f"CREATE TRIGGER issuer_keys_{event.lower()} AFTER {event} ON issuer_keys "  # noqa: S608 - constants of this file
            "BEGIN UPDATE revision SET value = value + 1; END"
        )
