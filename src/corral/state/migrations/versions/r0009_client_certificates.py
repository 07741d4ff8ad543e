"""Client certificates: who may sign them, and whom they stand for.

Frozen: this file says what the schema was, so it does not import `corral.state.tables`.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "client_trust",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("pem", sa.Text, nullable=False),
        sa.Column("required", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_client_trust"),
        sa.CheckConstraint("id = 1", name="ck_client_trust_single_row"),
        sqlite_strict=True,
    )
    op.create_table(
        "client_certificates",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("sha256", sa.Text),
        sa.Column("uri", sa.Text),
        sa.Column("tenant", sa.Text),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("created_at", sa.Integer, nullable=False),
        sa.Column("revoked_at", sa.Integer),
        sa.PrimaryKeyConstraint("id", name="pk_client_certificates"),
        sa.ForeignKeyConstraint(
            ["tenant"], ["tenants.name"], name="fk_client_certificates_tenant_tenants"
        ),
        sa.CheckConstraint(
            "(sha256 IS NULL) <> (uri IS NULL)", name="ck_client_certificates_one_name"
        ),
        sa.CheckConstraint(
            "tenant IS NOT NULL OR revoked_at IS NOT NULL",
            name="ck_client_certificates_mapped_or_revoked",
        ),
        sqlite_strict=True,
        sqlite_autoincrement=True,
    )
    for column in ("sha256", "uri"):
        op.create_index(
            f"ix_client_certificates_{column}", "client_certificates", [column], unique=True,
            sqlite_where=sa.text("revoked_at IS NULL"),
        )  # fmt: skip
    for table in ("client_trust", "client_certificates"):
        for event in ("INSERT", "DELETE", "UPDATE"):
            op.execute(
                f"CREATE TRIGGER {table}_{event.lower()} AFTER {event} ON {table} "  # noqa: S608 - constants of this file
                "BEGIN UPDATE revision SET value = value + 1; END"
            )
