"""Models that a tenant shares with another.

Frozen: this file says what the schema was, so it does not import `corral.state.tables`.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "shares",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("owner", sa.Text, sa.ForeignKey("tenants.name"), nullable=False),
        sa.Column("receiver", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("offered_at", sa.Integer, nullable=False),
        sa.Column("accepted_at", sa.Integer),
        sa.Column("ended_at", sa.Integer),
        sa.CheckConstraint("length(digest) = 64", name=op.f("ck_shares_digest_length")),
        sa.CheckConstraint("owner <> receiver", name=op.f("ck_shares_two_tenants")),
        sqlite_strict=True,
        sqlite_autoincrement=True,
    )
    for event in ("INSERT", "DELETE", "UPDATE"):
        op.execute(
            f"CREATE TRIGGER shares_{event.lower()} AFTER {event} ON shares "  # noqa: S608 - constants of this file
            "BEGIN UPDATE revision SET value = value + 1; END"
        )
