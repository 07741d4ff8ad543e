"""Limits that the operator sets, what was used of them, and the engine's time of each request.

Frozen: this file says what the schema was, so it does not import `corral.state.tables`.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "quotas",
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("key_id", sa.Integer, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("value", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "key_id", "model", "name", name="pk_quotas"),
        sa.ForeignKeyConstraint(["tenant"], ["tenants.name"], name="fk_quotas_tenant_tenants"),
        sqlite_strict=True,
    )
    op.create_table(
        "spent",
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("key_id", sa.Integer, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("level", sa.Integer, nullable=False),
        sa.Column("ts_ms", sa.Integer, nullable=False),
        sa.Column("day", sa.Integer, nullable=False),
        sa.Column("day_used", sa.Integer, nullable=False),
        sa.Column("month", sa.Integer, nullable=False),
        sa.Column("month_used", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "key_id", "model", name="pk_spent"),
        sqlite_strict=True,
    )
    op.add_column("usage", sa.Column("engine_ms", sa.Integer, nullable=False, server_default="0"))
    for event in ("INSERT", "DELETE", "UPDATE"):
        op.execute(
            f"CREATE TRIGGER quotas_{event.lower()} AFTER {event} ON quotas "  # noqa: S608 - constants of this file
            "BEGIN UPDATE revision SET value = value + 1; END"
        )
