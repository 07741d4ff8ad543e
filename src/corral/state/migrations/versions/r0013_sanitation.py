"""The operator's sanitation policies: one document, see `guard.policy_file`.

Frozen: this file says what the schema was, so it does not import `corral.state.tables`.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sanitation",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("changed_at", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sanitation"),
        sa.CheckConstraint("id = 1", name="ck_sanitation_single_row"),
        sqlite_strict=True,
    )
    for event in ("INSERT", "DELETE", "UPDATE"):
        op.execute(
            f"CREATE TRIGGER sanitation_{event.lower()} AFTER {event} ON sanitation "  # noqa: S608 - constants of this file
            "BEGIN UPDATE revision SET value = value + 1; END"
        )
