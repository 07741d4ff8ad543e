"""The newest signed line of each audit chain, and the tenants' wrapped data keys.

Frozen: this file says what the schema was, so it does not import `corral.state.tables`.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit_heads",
        sa.Column("chain", sa.Text, nullable=False),
        sa.Column("line", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("chain", name="pk_audit_heads"),
        sqlite_strict=True,
    )
    op.create_table(
        "tenant_keys",
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("wrapped", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("tenant", name="pk_tenant_keys"),
        sa.CheckConstraint("length(wrapped) = 60", name="ck_tenant_keys_wrapped_length"),
        sqlite_strict=True,
    )
    for event in ("INSERT", "DELETE", "UPDATE"):
        op.execute(
            f"CREATE TRIGGER tenant_keys_{event.lower()} AFTER {event} ON tenant_keys "  # noqa: S608 - constants of this file
            "BEGIN UPDATE revision SET value = value + 1; END"
        )
    op.execute(
        "CREATE TRIGGER tenants_key_delete AFTER DELETE ON tenants "
        "BEGIN DELETE FROM tenant_keys WHERE tenant = OLD.name; END"
    )
